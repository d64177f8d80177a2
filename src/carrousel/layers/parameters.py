"""The options and parameters of a recurrent layer, with torch.nn's names, shapes, order and initial values.

Letters: I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions. A cell's `from_x` is the
order of the blocks of H rows in weight_ih and bias_ih, its `from_h` of those in weight_hh and bias_hh, its `weights` of
those in weight_ch.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.types import Device
from typing_extensions import Unpack

from carrousel.cells import Cell
from carrousel.layers.arguments import show_arguments
from carrousel.layers.checks import check_cell, check_dense, check_flag, check_options, check_projection
from carrousel.layers.initialization import INITIALISATIONS, check_initialisation, set_chrono, set_forget_bias
from carrousel.layers.options import NoOptions, refuse_unknown
from carrousel.layers.per_sample import describe_refusal, has_expanded_weights
from carrousel.layers.regularization import Regularization
from carrousel.layers.rnnbase_names import RNNBaseNames
from carrousel.layers.torch_backend import flatten_for_cudnn, is_standard
from carrousel.layers.torch_layers import to_torch
from carrousel.scan.options import check_memory
from carrousel.scan.weights import Weights

# The names of parameters without the suffix of layer and direction, in the order of the fields of Weights.
FIELDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_ch", "weight_hr")

NORMED = "weight_ln"  # the name of weight_ch in a cell that normalises

# The defaults of the options: repr shows those that differ.
USUAL: dict[str, Any] = {
    "proj_size": 0,
    "num_layers": 1,
    "bias": True,
    "batch_first": False,
    "dropout": 0,
    "bidirectional": False,
    "initialise": "torch",
    "forget_bias": None,
    "longest_lag": None,
    "learn_initial": False,
    "memory": "full",
}


def shapes_of(cell: Cell, I: int, H: int, bias: bool, proj_size: int) -> dict[str, tuple[int, ...]]:
    """The shapes of one layer's weights in one direction, in the order of state_dict and of the random initial values.

    Args:
        cell: the equations.
        I: features of the layer's input.
        H: hidden units.
        bias: whether there are biases.
        proj_size: P, or 0 without a projection.
    """
    x_rows, h_rows = len(cell.from_x) * H, len(cell.from_h) * H
    fed = (proj_size or H) + (len(cell.fed) - 1) * H
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (x_rows, I), "weight_hh": (h_rows, fed)}
    if bias:
        shapes |= {"bias_ih": (x_rows,), "bias_hh": (h_rows,)}
    if not cell.from_h:  # a cell without R
        shapes = {name: shape for name, shape in shapes.items() if not name.endswith("_hh")}
    if proj_size:
        shapes["weight_hr"] = (proj_size, H)
    if cell.weights:
        shapes[NORMED if cell.normed else "weight_ch"] = (len(cell.weights) * H,)
    return shapes


@show_arguments
class Parameters(RNNBaseNames):
    """A recurrent layer without forward: `Recurrent` describes its arguments and parameters."""

    regularization: Regularization | None = None  # LSTM and GRU set it
    _pointwise = True  # whether the cell works unit by unit, as a kernel must
    _usual: ClassVar[dict[str, Any]] = {}  # defaults of a class's own options, and those that differ from USUAL

    def __init__(
        self,
        cell: Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        initialise: str = "torch",
        forget_bias: float | None = None,
        longest_lag: float | None = None,
        learn_initial: bool = False,
        memory: str = "full",
        **unknown: Unpack[NoOptions],
    ) -> None:
        refuse_unknown(type(self), unknown)
        check_cell(cell, self._pointwise)
        check_projection(cell, proj_size)
        check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        check_initialisation(cell, bias, initialise, forget_bias, longest_lag)
        check_flag("learn_initial", learn_initial)
        check_memory(memory)
        super().__init__()
        self.cell: Cell = cell
        self.input_size: int = input_size
        self.hidden_size: int = hidden_size
        self.num_layers: int = num_layers
        self.bias: bool = bias
        self.batch_first: bool = batch_first
        self.dropout: float = float(dropout)
        self.bidirectional: bool = bidirectional
        self.proj_size: int = proj_size
        self.initialise: str = initialise
        self.forget_bias: float | None = forget_bias
        self.longest_lag: float | None = longest_lag
        self.learn_initial: bool = learn_initial
        self.memory: str = memory
        self._make_parameters(self._derive_names(), device, dtype)
        self.reset_parameters()

    def _derive_names(self) -> dict[str, tuple[int, ...]]:
        """Set the attributes that follow from the options; return the shapes of all parameters by name, in order."""
        self._standard = is_standard(self.cell, self.proj_size)
        self._many_states = len(self.cell.states) > 1  # whether hx is a tuple of tensors
        places = self.num_layers * (2 if self.bidirectional else 1)
        self._state_sizes: Any = self._sizes_of_states(places)
        self._all_weights: list[list[str]] = []  # [L*D], names in the order of registration
        self._fields: list[list[tuple[str, ...]]] = []  # [L][D], names in the order of Weights, "" for none
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.num_layers):
            shapes |= self._derive_names_of(layer)
        self._initial_names = [f"initial_{state}" for state in self.cell.states] if self.learn_initial else []
        return shapes | {n: (places, 1, *width) for n, (_, *width) in zip(self._initial_names, self._state_sizes)}

    def _derive_names_of(self, layer: int) -> dict[str, tuple[int, ...]]:
        suffixes = (f"_l{layer}", f"_l{layer}_reverse") if self.bidirectional else (f"_l{layer}",)
        width = len(suffixes) * (self.proj_size or self.hidden_size) if layer else self.input_size
        shapes = self._shapes(width)
        self._all_weights += [[name + suffix for name in shapes] for suffix in suffixes]
        fields = [NORMED if name == "weight_ch" and self.cell.normed else name for name in FIELDS]
        self._fields.append([tuple(name + suffix if name in shapes else "" for name in fields) for suffix in suffixes])
        return {name + suffix: shape for suffix in suffixes for name, shape in shapes.items()}

    def _make_parameters(self, shapes: dict[str, tuple[int, ...]], device: Any, dtype: torch.dtype | None) -> None:
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
        self.flatten_parameters()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes of a pickled layer. Options that did not exist in its version get their defaults."""
        super().__setstate__({**USUAL, **self._usual, **state})
        self._derive_names()

    def _sizes_of_states(self, places: int) -> list[tuple[int, ...]]:
        """The sizes of each state without B, the second: (L*D, P) of h and (L*D, H) of the others."""
        widths = (self.proj_size or self.hidden_size, *[self.hidden_size] * (len(self.cell.states) - 1))
        return [(places, width) for width in widths]

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights of one layer and direction, whose input has `width` features."""
        return shapes_of(self.cell, width, self.hidden_size, self.bias, self.proj_size)

    def reset_parameters(self) -> None:
        """Initialise every parameter by `initialise`, `forget_bias` and `longest_lag`; initial states are zeros."""
        with torch.no_grad():
            stack = [[self._weights(names) for names in directions] for directions in self._fields]
            INITIALISATIONS[self.initialise](self._named_weights(), self.hidden_size, self.cell, stack)
            if self.forget_bias is not None:
                set_forget_bias(self.cell, stack, self.forget_bias)
            if self.longest_lag is not None:
                set_chrono(self.cell, stack, self.hidden_size, self.longest_lag)
            for name in self._initial_names:
                nn.init.zeros_(getattr(self, name))
            if self.cell.starts:
                for weights in (weights for directions in stack for weights in directions):
                    start = weights.W.new_tensor(self.cell.starts).repeat_interleave(self.hidden_size)
                    weights.c.copy_(start)  # type: ignore[union-attr]

    def _named_weights(self) -> list[tuple[str, Tensor]]:
        """The parameters by name, without the learned initial states."""
        return [(name, p) for name, p in self.named_parameters() if name not in self._initial_names]

    def _initial(self) -> tuple[Tensor, ...] | None:
        """The learned initial states [L*D, 1, .], or None."""
        return tuple([getattr(self, name) for name in self._initial_names]) or None

    def flatten_parameters(self) -> None:
        """Move the weights into one block of GPU memory if cuDNN runs this layer; otherwise do nothing."""
        if self._standard:
            sizes = (self.input_size, self.hidden_size, self.proj_size, self.num_layers, self.batch_first)
            number = len(self._all_weights[0])
            flatten_for_cudnn(self._flat_weights, number, self.mode, *sizes, bool(self.bidirectional))

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What .to, .cuda, .double and others call: moved parameters are no longer in one block."""
        module = super()._apply(fn, recurse)
        self.flatten_parameters()
        return module

    @property
    def _is_torchs(self) -> bool:
        """Whether torch.nn has a layer that computes the same."""
        return self._standard and not self.regularization and not self.learn_initial

    def _weights(self, names: tuple[str, ...]) -> Weights:
        """The current weights of one layer and direction.

        They are never cached: functional_call, weight_norm, pruning and parametrisations replace them. Those that are
        still parameters come from the dictionary, which takes a tenth of the time of nn.Module's getattr.
        """
        at = self._parameters
        found: list[Any] = [(at[n] if n in at else getattr(self, n)) if n else None for n in names]
        if found[1] is None:  # a cell without R: R has no rows
            try:
                found[1] = found[0].new_empty(0, self.proj_size or self.hidden_size)
            except RuntimeError:
                self._refuse_weights()
                raise
        return Weights(*found)

    def _refuse_weights(self) -> None:
        """Raise RuntimeError if this layer cannot read one of its weights: called after another error."""
        if has_expanded_weights(self._parameters.values()) and not self._is_torchs:
            raise RuntimeError(describe_refusal(self._get_name()))
        for name in self._flat_weights_names:
            check_dense(name, getattr(self, name))

    def _sources(self, names: tuple[str, ...]) -> list[str]:
        """The names of the parameters that `_weights(names)` reads."""
        return [name for name in names if name]

    def __prepare_scriptable__(self) -> nn.RNNBase:
        """Make torch.nn's layer with the same Parameter objects, which torch.jit.script compiles instead of this one.

        Raises:
            RuntimeError: torch.nn has no such cell or option.
        """
        try:
            if not self._standard:
                raise ValueError(f"torch.nn has no layer with the cell {self.mode.lower()}")
            return to_torch(self)
        except ValueError as error:
            raise RuntimeError(
                f"torch.jit.script compiles torch.nn's layer in place of carrousel.{self._get_name()}, but {error}: "
                "use torch.export.export, which takes every layer"
            ) from None

    def extra_repr(self) -> str:
        """The text between the brackets of repr: the cell, if it is an argument, sizes, and non-default options."""
        cell = [self.cell.name] if type(self).__init__ is Parameters.__init__ else []
        options = [f"{name}={getattr(self, name)!r}" for name, usual in USUAL.items() if getattr(self, name) != usual]
        options += [] if self.regularization is None else self.regularization.describe()
        return ", ".join([*cell, f"{self.input_size}", f"{self.hidden_size}", *options])
