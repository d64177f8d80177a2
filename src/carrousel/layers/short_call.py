"""Calls without gradients and options, by the shortest way: what an earlier call of the same shape found out stays.

A call of a small layer takes longer to be checked and passed on than to be computed (H = 8, one step: 22 us of 23). The
first call of a shape goes the long way, and leaves behind what depends on shapes and on where the weights are.

Letters: T time, B batch, I input, H hidden units, P the width of h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.fused.kernels import SHORT_CALLS, is_plain
from carrousel.fused.plan import find_plan
from carrousel.fused.run import find_kernel
from carrousel.scan.options import PLAIN
from carrousel.scan.rows import BATCH_FIRST, DENSE
from carrousel.scan.weights import Weights, heads_of

# Looked up once.
is_compiling: Callable[[], bool] = torch.compiler.is_compiling
is_grad_enabled: Callable[[], bool] = torch.is_grad_enabled
is_autocast_enabled: Callable[[str], bool] = torch.is_autocast_enabled
get_num_threads: Callable[[], int] = torch.get_num_threads
tracing_state: Callable[[], Any] = torch._C._get_tracing_state  # type: ignore[attr-defined]
are_transforms_active: Callable[[], bool] = torch._C._are_functorch_transforms_active  # type: ignore[attr-defined]
count_dispatch_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack  # type: ignore[attr-defined]

MOST_SHAPES = 64  # for how many shapes of x something stays


def is_watched() -> bool:
    """Whether something traces, transforms or changes the operations of a call."""
    if is_compiling() or tracing_state() or are_transforms_active() or forward_ad._current_level >= 0:
        return True
    return is_autocast_enabled("cpu") or count_dispatch_modes() > 0


class ShortCall(NamedTuple):
    """What stays of a call."""

    compiled: Any  # carrousel._kernels.ShortCall32 or ShortCall64
    y: tuple[int, ...]  # the shapes of y and of the final states, which are those of the initial ones
    finals: tuple[tuple[int, ...], ...]


class ShortCalls:
    """What stays of a layer's calls, by the shape of x. A copy of the layer begins with none."""

    __slots__ = ("by_shape", "dtype")

    def __init__(self) -> None:
        self.by_shape: dict[Any, ShortCall] = {}
        self.dtype: torch.dtype | None = None  # of the weights

    def __reduce__(self) -> tuple[Any, ...]:
        return ShortCalls, ()

    def run(self, parameters: dict[str, Any], x: Any, hx: Any) -> tuple[Tensor, Any] | None:
        """y and the final states in the form of hx; None if the call has to go the long way.

        Args:
            parameters: the layer's, by name.
            x: the input of the call.
            hx: its states; None, a tensor or a tuple of tensors.
        """
        if type(x) is not Tensor or is_grad_enabled() or is_watched():
            return None
        call = self.by_shape.get(x.shape)
        if call is None or not self.is_usual(x):
            return None
        states = () if hx is None else hx if type(hx) is tuple else (hx,)
        if states and not self.are_states(states, call.finals):
            return None
        y = x.new_empty(call.y)
        finals: tuple[Tensor, ...] = tuple([x.new_empty(shape) for shape in call.finals])
        if not call.compiled.run(parameters, x, states, y, finals, get_num_threads()):
            self.by_shape.clear()
            return None
        return y, finals[0] if len(finals) == 1 else finals

    def is_usual(self, t: Tensor) -> bool:
        """Whether a kernel can read a tensor as it lies in memory."""
        usual = t.dtype is self.dtype and t.is_cpu and t.is_contiguous()
        return usual and not (t.is_neg() or t._is_zerotensor())

    def are_states(self, states: tuple[Any, ...], shapes: tuple[tuple[int, ...], ...]) -> bool:
        """Whether these are initial states that a kernel can read."""
        if len(states) != len(shapes):
            return False
        for state, shape in zip(states, shapes):
            if type(state) is not Tensor or state.shape != shape or not self.is_usual(state):
                return False
        return True

    def prepare(self, cell: Cell, x: Any, named: dict[str, Any], weights: Weights, batch_first: bool) -> None:
        """Keep what later calls with this shape of x need; nothing if they have to go the long way.

        Args:
            cell: of the layer, which has one direction and is not stacked.
            x: the input of a call that has succeeded.
            named: its parameters by name.
            weights: the same as the kernel takes them.
            batch_first: whether x is [B, T, I].
        """
        if type(x) is not Tensor or x.dim() != 3 or is_watched():
            return
        parameters = [w for w in weights if w is not None and w.numel()]
        if len(parameters) != len(named) or not all(
            type(w) is Parameter and w.is_contiguous() and is_plain(w) for w in parameters
        ):
            return
        kernel = find_kernel(cell, x)
        if kernel is None or heads_of(cell, weights) > 1 or any(w.dtype is not x.dtype for w in parameters):
            return
        plan = find_plan(kernel, x, (), weights, BATCH_FIRST if batch_first else DENSE, PLAIN, (), True)
        if self.dtype is not x.dtype or len(self.by_shape) >= MOST_SHAPES:
            self.by_shape.clear()
        classes, sizes = SHORT_CALLS[x.dtype], plan.sizes
        places = [0 if w is None else w.data_ptr() for w in weights]
        values = list(named.values())
        compiled = classes.ShortCall(
            cell.name,
            (sizes.T, sizes.B, sizes.step_stride, sizes.row_stride, sizes.I, sizes.H, sizes.P),
            tuple(places),
            classes.Parameters(list(named), values, [w.data_ptr() for w in values], []),
            [w.numel() for w in values],
        )
        self.dtype = x.dtype
        self.by_shape[x.shape] = ShortCall(compiled, plan.y, plan.final)
