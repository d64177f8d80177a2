"""carrousel.cell: from a function of one step to a layer that is called like torch.nn.LSTM."""

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
        own = fuse(self.CELL, stacklevel=3) if (self.COMPILE if compile is None else compile) else self.CELL
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__(own, input_size, hidden_size, *options, **ours)

    @property
    def compiled(self) -> bool:
        """Whether the layer has a kernel, which computes float32 and float64 on the CPU."""
        return is_fused(self.cell)

    @property
    def mode(self) -> str:
        """The cell's own name, in capitals; a compiled one bears another, which no saved state need know."""
        return self.CELL.name.upper()

    # A function can not be pickled once its name is the layer's: the cell is found again by the class.
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
    """Make a layer of a function of one step: a class that is called like torch.nn.LSTM.

        @carrousel.cell(rows="a", states="h")
        def Elman(rows, states):
            (a,) = rows
            return (torch.tanh(a),)

        layer = Elman(28, 256, num_layers=2, compile=True)

    Args:
        step: `step(rows, states)`, or `step(rows, states, weights)` when `weights` are named, returns the tuple of the
            new states. Rows and states are tuples of tensors [B, H], weights of tensors [H], in the order of their
            names. It goes unit by unit and changes nothing in place. For a kernel it may use + - * /, powers of whole
            numbers and halves, comparisons with & | ~, and these, as methods or functions of torch: sigmoid tanh relu
            exp expm1 log log1p sqrt rsqrt square reciprocal abs sign maximum minimum clamp where lerp softplus
            logaddexp logsigmoid silu elu leaky_relu relu6 hardtanh softsign zeros_like ones_like. Without a kernel,
            anything.
        rows: the pre-activations, each the sum of what `W x` and `R h` give it: first those fed by x only, then those
            fed by both, then those fed by h only. Names of one letter may be written together: "ifgo".
        states: the states; the first is the output h, which is fed back through R.
        from_x: the rows that x feeds, in the order of the blocks of weight_ih. Default: all.
        from_h: the rows that h feeds, in the order of the blocks of weight_hh; may be empty. Default: all.
        weights: weight vectors [H] that belong to the units, such as peepholes.
        name: of the class and in messages. Default: the function's.
        compile: what the layers' own argument `compile` is by default. Default False.
        forget_gate: the row whose sigmoid says how much of the old state stays, and
        input_gate: the row whose sigmoid says how much of the new comes in, for the layers' options `forget_bias` and
            `longest_lag`. Where the input gate alone is named, what comes in is what does not stay. Default: none.
        fed: the states that are fed back through R, h first: weight_hh has H columns more for each after it. Default:
            h alone.

    Returns:
        A subclass of `CustomLayer`; without `step`, a decorator that makes one of a function.

    Raises:
        ValueError, TypeError: names that do not fit together, or a function that fails on small tensors: it changes
            its arguments, or does not return the states, each with the shape and dtype that went in.
    """

    def make(step: Step) -> type[CustomLayer]:
        called = name or getattr(step, "__name__", type(step).__name__)  # an object that can be called has none
        all_rows = parse_names(called, "rows", rows)
        by_x, by_h = (all_rows if given is None else given for given in (from_x, from_h))
        own = Cell(called, all_rows, by_x, by_h, states, step, weights, forget_gate, input_gate, fed)
        try_step(own)
        # where pickle looks for it: under the function's name, unless it was given another
        found = {
            "__module__": step.__module__,
            "__qualname__": name or getattr(step, "__qualname__", called),
            "__doc__": step.__doc__,
        }
        return type(called, (CustomLayer,), {**found, "CELL": own, "COMPILE": compile})

    check_flag("compile", compile)
    if step is not None and not callable(step):
        raise TypeError(f"step={step!r} must be a function of rows and states")
    return make if step is None else make(step)
