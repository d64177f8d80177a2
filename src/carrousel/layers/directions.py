"""The h of both directions in one tensor from the start, so that inference and memory="low" have nothing twice.

Each direction needs its h for the backward pass, and the next layer, or the caller, needs both in one tensor.
torch.cat, which training with memory="full" uses, makes a second copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from carrousel.fused import copied_when_written
from carrousel.scan.options import Options


def allocate_joint_output(x: Tensor, width: int, count: int, options: Options) -> Tensor | None:
    """A tensor for the h [., width] of `count` directions; None if each direction has its own."""
    if torch.compiler.is_compiling() or (options.memory != "low" and torch.is_grad_enabled()):
        return None
    return x.new_empty(*x.shape[:-1], count * width)


def join_directions(ys: Sequence[Tensor], joint: Tensor | None, parts: Sequence[Tensor | None]) -> Tensor:
    """Concatenate the h of all directions in the last dimension: `joint` itself, if all were written to its parts."""
    written = joint is not None and all(y is part or (y._is_view() and y._base is joint) for y, part in zip(ys, parts))
    if not written:  # for example without a kernel
        return torch.cat(list(ys), -1)
    return _JoinDirections.apply((joint,), *ys) if torch.is_grad_enabled() and ys[0].requires_grad else joint  # type: ignore


class _JoinDirections(Function):
    """The whole tensor of its parts."""

    @staticmethod
    def forward(ctx: Any, joint: tuple[Tensor], *ys: Tensor) -> Tensor:
        ctx.widths = [y.shape[-1] for y in ys]
        return copied_when_written(joint[0])

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return None, *d.split(ctx.widths, -1)
