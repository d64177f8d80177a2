"""carrousel.cell: make a layer, called like torch.nn.LSTM, from a function of one step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch.types import Device
from typing_extensions import Unpack

from carrousel.cells import Cell
from carrousel.cells.check_cell import parse_names
from carrousel.custom_cell.fuse import fuse, is_fused
from carrousel.layers import Recurrent
from carrousel.layers.arguments import show_arguments
from carrousel.layers.checks import check_flag
from carrousel.layers.options import LayerOptions
from carrousel.scan.try_step import try_step

Step = Callable[..., tuple[Any, ...]]


@show_arguments
class CustomLayer(Recurrent[Any]):
    """Base class of the layers that `carrousel.cell` makes: torch.nn.LSTM's arguments, and `compile`.

    hx is one tensor for a cell with one state, else a tuple. Parameters and shapes: `Recurrent`.

    Args:
        compile: whether a fused kernel runs the layer. It is compiled when the first such layer is made, which takes
            about ten seconds, and saved on disk. If that fails, a NoKernelWarning says why, and the layer runs in torch
            operations. Default: the `compile` of `carrousel.cell`.

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of range.

    Example:
        >>> import torch, carrousel
        >>> @carrousel.cell(rows="a", states="h")
        ... def Elman(rows, states):
        ...     return (torch.tanh(rows[0]),)
        >>> isinstance(Elman(28, 256), carrousel.custom_cell.CustomLayer)
        True
    """

    CELL: ClassVar[Cell]
    COMPILE: ClassVar[bool] = False

    def __init__(
        self,
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
        compile: bool | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        if compile is not None:
            check_flag("compile", compile)
        custom = fuse(self.CELL, stacklevel=3) if (self.COMPILE if compile is None else compile) else self.CELL
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__(custom, input_size, hidden_size, *options, **ours)

    @property
    def compiled(self) -> bool:
        """Whether the layer has a kernel, which computes float32 and float64 on the CPU."""
        return is_fused(self.cell)

    @property
    def mode(self) -> str:
        """The cell's name in capitals: without the digest in a compiled cell's name, which saved states do not have."""
        return self.CELL.name.upper()

    # A function cannot be pickled when its name is the layer's: the class has the cell.
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "cell": self.compiled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "cell": fuse(self.CELL) if state["cell"] else self.CELL})


def cell(
    step: Step | None = None,
    *,
    rows: Iterable[str],
    states: Iterable[str],
    from_x: Iterable[str] | None = None,
    from_h: Iterable[str] | None = None,
    weights: Iterable[str] = (),
    name: str | None = None,
    compile: bool = False,
    forget_gate: str = "",
    input_gate: str = "",
    fed: Iterable[str] = (),
) -> Any:
    """Make a layer from a function of one step: a class that is called like torch.nn.LSTM.

    Args:
        step: `step(rows, states)`, or `step(rows, states, weights)` when `weights` are named, returns the tuple of the
            new states. Rows and states are tuples of tensors [B, H], weights of tensors [H], in the order of their
            names. It works unit by unit and changes nothing in place. For a kernel it may use + - * /, powers of whole
            numbers and halves, comparisons with & | ~, and these, as methods or functions of torch: sigmoid tanh relu
            exp expm1 log log1p sqrt rsqrt square reciprocal abs sign maximum minimum clamp where lerp softplus
            logaddexp logsigmoid silu elu leaky_relu relu6 hardtanh softsign zeros_like ones_like. Without a kernel it
            may use anything.
        rows: names of the pre-activations, each the sum of its parts of W x and R h: first those of x only, then those
            of both, then those of h only. One-letter names may be one string: "ifgo".
        states: names of the states; the first is the output h, which is fed back through R.
        from_x: the rows that W x feeds, in the order of the blocks of weight_ih. Default: all.
        from_h: the rows that R h feeds, in the order of the blocks of weight_hh; may be empty. Default: all.
        weights: names of weight vectors [H] of the units, such as peepholes. Default: none.
        name: of the class and in messages. Default: the function's name.
        compile: the default of the layers' argument `compile`. Default False.
        forget_gate: the row whose sigmoid is the part of the old state that stays; for the layers' options
            `forget_bias` and `longest_lag`. Default "": none.
        input_gate: the row whose sigmoid is the part of the new state; without a forget gate, the rest of the old state
            stays. Default "": none.
        fed: the states that are fed back through R, h first; weight_hh has H more columns for each other state.
            Default: h.

    Returns:
        A subclass of `CustomLayer`; without `step`, a decorator that makes one of a function.

    Raises:
        ValueError, TypeError: the names do not fit together, or the function fails on small tensors: it changes its
            arguments, or does not return the states with their shapes and dtypes.

    Example:
        >>> import torch, carrousel
        >>> @carrousel.cell(rows="a", states="h")
        ... def Elman(rows, states):
        ...     (a,) = rows  # [B, H]: W x + R h + biases
        ...     return (torch.tanh(a),)
        >>> layer = Elman(28, 256, num_layers=2)
        >>> y, h = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, h.shape
        (torch.Size([35, 32, 256]), torch.Size([2, 32, 256]))
    """

    def make(step: Step) -> type[CustomLayer]:
        class_name = name or getattr(step, "__name__", type(step).__name__)  # a callable object has none
        all_rows = parse_names(class_name, "rows", rows)
        x_rows, h_rows = (all_rows if fed_by is None else fed_by for fed_by in (from_x, from_h))
        custom = Cell(class_name, all_rows, x_rows, h_rows, states, step, weights, forget_gate, input_gate, fed)
        try_step(custom)
        # where pickle looks for the class: under the function's name, or the given one
        attributes = {
            "__module__": step.__module__,
            "__qualname__": name or getattr(step, "__qualname__", class_name),
            "__doc__": step.__doc__,
        }
        return type(class_name, (CustomLayer,), {**attributes, "CELL": custom, "COMPILE": compile})

    check_flag("compile", compile)
    if step is not None and not callable(step):
        raise TypeError(f"step={step!r} must be a function step(rows, states)")
    return make if step is None else make(step)
