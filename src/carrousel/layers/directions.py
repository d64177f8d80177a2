"""Both directions' h side by side in one tensor, from the start: with memory="low" nothing is kept twice.

Each direction needs its h for the backward pass, and the layer above, or the caller, needs them side by side. torch.cat
makes them a second time, which is what memory="full" does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from carrousel.fused import copied_when_written
from carrousel.scan.options import Options


def room_for(x: Tensor, width: int, count: int, options: Options) -> Tensor | None:
    """A tensor for the h [., width] of `count` directions, where they are to be written into one; else None."""
    if options.memory != "low" or torch.compiler.is_compiling():
        return None
    return x.new_empty(*x.shape[:-1], count * width)


def side_by_side(ys: Sequence[Tensor], room: Tensor | None) -> Tensor:
    """The h of directions in the last place, one after another: `room` itself, if they were all written there."""
    written = room is not None and all(y._is_view() and y._base is room for y in ys)
    if not written:  # as where a kernel does not run
        return torch.cat(list(ys), -1)
    return _SideBySide.apply((room,), *ys) if torch.is_grad_enabled() and ys[0].requires_grad else room  # type: ignore


class _SideBySide(Function):
    """Of parts of a tensor, the whole."""

    @staticmethod
    def forward(ctx: Any, room: tuple[Tensor], *ys: Tensor) -> Tensor:
        ctx.widths = [y.shape[-1] for y in ys]
        return copied_when_written(room[0])

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return None, *d.split(ctx.widths, -1)
