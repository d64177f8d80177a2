"""The kernels on tensors, forward and backward: tensors in, tensors out, no autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carrousel.fused.kernels import Kernel, draw
from carrousel.fused.plan import Plan
from carrousel.scan.masks import MASKS, Mask, Noise
from carrousel.scan.rows import Layout
from carrousel.scan.weights import Weights

# numbers between tensors that are written at the same places: equal addresses modulo 4096 fall on each other
SPACING = 80


def forward(
    plan: Plan,
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    layout: Layout,
    keep: bool,
    restored: tuple[Tensor, ...] = (),
    blank: bool = False,
    room: Tensor | None = None,
    in_order: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor], Tensor | None]:
    """Run a cell over a sequence.

    Args:
        plan: of this call.
        kernel: the cell's, in x's dtype.
        x, weights: as `carrousel.scan.scan` takes them, checked; R may be that of heads [rows*H, H/N].
        states: as `carrousel.fused.plan.of_each_row` takes them.
        layout: where x's rows lie.
        keep: whether a backward pass will follow.
        restored: what resets restore, as `states`.
        blank: what is kept has room for all of x, zeros where there is no step, and nothing shares memory: a size that
            is known before lengths are, and the very same from a second call.
        room: what y is written into: new memory, or a part of it in the last place. Default: a tensor of its own.
        in_order: x, states, weights and restored are known to be contiguous.

    Returns:
        y; the final states; what the layout asks for of every step, as `Kernel.by_name` takes it; and with `keep` what
        else `backward` needs: all of `Kernel.kept_parts`, one after another.
    """
    x, states, weights, restored, layout = _as_kernels_read(plan, x, states, weights, restored, layout, in_order)
    y = x.new_empty(plan.y) if room is None else room
    final = tuple([x.new_empty(shape) for shape in plan.finals])
    kept, pairs = _space(plan, kernel, x, layout, blank) if keep else (None, 0)
    shown = _room_to_show(kernel, x, plan.sizes[6], layout, blank) if layout.shows else []
    kernel.forward(
        kernel.cell.name,
        (*plan.sizes, plan.y[-1] if room is None or y.is_contiguous() else y.stride(-2), torch.get_num_threads()),
        (layout.batch_sizes, x, *weights, layout.lengths, layout.offsets, layout.resets),
        (y, kept, pairs, plan.parts),
        states,
        restored,
        final,
        tuple(shown[: len(final) - 1]) if layout.return_states else (),
        layout.padding_value,
        _gates(kernel, layout, shown),
        _noise(layout),
    )
    return y, final, shown, kept


def backward(
    plan: Plan,
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    layout: Layout,
    y: Tensor,
    kept: Tensor,
    shown: Sequence[Tensor],
    dy: Tensor | None,
    d_final: Sequence[Tensor | None],
    d_shown: Sequence[Tensor | None],
    wanted: Sequence[bool],
    restored: tuple[Tensor, ...] = (),
    in_order: bool = False,
) -> list[Tensor | None]:
    """The gradients of (x, *states, *weights, *restored), each where `wanted` says so.

    Args:
        plan, kernel, x, states, weights, layout, restored, in_order: as `forward` took them.
        y, kept, shown: what it returned.
        dy, d_final, d_shown: the gradients of y, of the final states and of `shown`; None is zero.
        wanted: whether each of (x, *states, *weights, *restored) needs its gradient.
    """
    given = (x, *states, *weights, *restored)
    x, states, weights, restored, layout = _as_kernels_read(plan, x, states, weights, restored, layout, in_order)
    inputs = (x, *states, *weights, *restored)
    gradients = [torch.empty_like(t) if want and t is not None else None for t, want in zip(inputs, wanted)]
    dy, ld_dy = _rows_in_order(dy)
    d_final, d_shown = _all_contiguous(d_final), _all_contiguous(d_shown)
    d_gates = _gates(kernel, layout, d_shown)
    kernel.backward(
        kernel.cell.name,
        (*plan.sizes, plan.y[-1] if y.is_contiguous() else y.stride(-2), torch.get_num_threads()),
        (layout.batch_sizes, x, *weights, layout.lengths, layout.offsets, layout.resets),
        (y, kept, plan.pairs if layout.lengths is None else kept.numel() // max(plan.kept, 1), plan.parts),
        states,
        restored,
        tuple(shown[: len(d_final) - 1]) if layout.return_states else (),
        _gates(kernel, layout, shown),
        (dy, ld_dy),
        d_final,
        d_shown[: len(d_final) - 1] if layout.return_states else (),
        d_gates if any(d is not None for d in d_gates) else (),
        tuple(gradients),
        _noise(layout),
    )
    return gradients if plan.sizes[1] == 1 else _as_given(gradients, given)


# ---- what kernels read in place of what was given -------------------------------------------------------------------


def _as_kernels_read(
    plan: Plan,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    restored: tuple[Tensor, ...],
    layout: Layout,
    in_order: bool,
) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...], Layout]:
    """All contiguous, and states for each row."""
    B = plan.sizes[1]
    if B != 1:
        states, restored = _for_each_row(states, B), _for_each_row(restored, B)
    if not in_order:
        x, states, weights, restored, layout = _contiguous(x, states, weights, restored, layout)
    return x, states, weights, restored, layout


def _as_given(gradients: list[Tensor | None], given: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The gradients of states that were given for all rows alike, from those for each row."""
    return [
        d if d is None or t is None or d.shape == t.shape else d.sum(-2, keepdim=True) for d, t in zip(gradients, given)
    ]


def _for_each_row(states: tuple[Tensor, ...], B: int) -> tuple[Tensor, ...]:
    for state in states:
        if state.shape[-2] != B:
            return tuple([s.expand(*s.shape[:-2], B, -1).contiguous() for s in states])
    return states


# ---- how bindings/module.cpp wants it --------------------------------------------------------------------------------


def _noise(layout: Layout) -> tuple[Any, ...]:
    """The masks."""
    noise = layout.noise
    if noise is None:
        return ()
    return _seed(noise.seed), noise.place * MASKS, noise.rows, *_masks(noise.masks, noise.fed_back, noise.weights)


@cache
def _masks(masks: tuple[Mask, ...], *others: Mask | None) -> tuple[Any, ...]:
    return tuple(map(_mask, masks)), *[None if mask is None else _mask(mask) for mask in others]


def drawn(noise: Noise, mask: Mask, number: int, rows: Tensor | None, shape: Sequence[int], like: Tensor) -> Tensor:
    """`carrousel.scan.masks.draw` at step 0 for a matrix of this shape, in float32 or float64 on the CPU."""
    values = like.new_empty(tuple(shape))
    numbers = 0 if rows is None else rows.data_ptr()
    write = draw(like.dtype)
    write(_mask(mask), _seed(noise.seed), noise.stream(number), *values.shape, numbers, values.data_ptr())
    return values


@cache
def _mask(mask: Mask) -> tuple[int, float, float]:
    return mask.threshold, mask.taken, mask.left


def _seed(seed: Tensor | None) -> int:
    return 0 if seed is None else int(seed) % 2**64


def _gates(kernel: Kernel, layout: Layout, shown: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(shown[len(shown) - len(kernel.kept) :]) if layout.return_gates else ()


def _room_to_show(kernel: Kernel, x: Tensor, H: int, layout: Layout, separate: bool) -> list[Tensor]:
    """Tensors [., H] for what is returned of every step: of one block, unless they must be separate.

    A large block is fresh memory, in large pages: small ones in used memory took a quarter of the time at H = 128.
    """
    count = kernel.shown(layout)
    if not count or separate:
        return [x.new_empty(*x.shape[:-1], H) for _ in range(count)]
    shape = (*x.shape[:-1], H)
    size = math.prod(shape)
    block = x.new_empty(count, size + SPACING)
    return [part[:size].view(shape) for part in block.unbind(0)]


def _space(plan: Plan, kernel: Kernel, x: Tensor, layout: Layout, blank: bool) -> tuple[Tensor, int]:
    """Room for what is kept of every row's steps, and for how many; if it is to be blank, for all of x."""
    if layout.lengths is None:
        return x.new_empty(plan.pairs * plan.kept), plan.pairs
    if blank:  # numpy's zeros cost nothing until they are looked at; torch's are written
        dtype = np.float32 if kernel.single else np.float64
        return torch.from_numpy(np.zeros(plan.pairs * plan.kept, dtype)), plan.pairs
    pairs = int(layout.lengths.sum())
    return x.new_empty(pairs * plan.kept), pairs


def _contiguous(
    x: Tensor, states: tuple[Tensor, ...], weights: Weights, restored: tuple[Tensor, ...], layout: Layout
) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...], Layout]:
    ragged = (layout.lengths, layout.offsets, layout.resets)
    for t in (x, *states, *weights, *restored, *ragged):
        if t is not None and not t.is_contiguous():
            names = ("lengths", "offsets", "resets")
            layout = layout._replace(**{n: t.contiguous() for n, t in zip(names, ragged) if t is not None})
            states, restored = (tuple([s.contiguous() for s in given]) for given in (states, restored))
            rows: Any = _all_contiguous(weights)
            return x.contiguous(), states, Weights(*rows), restored, layout
    return x, states, weights, restored, layout


def _all_contiguous(gradients: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    return tuple([d if d is None or d.is_contiguous() else d.contiguous() for d in gradients])


def _rows_in_order(dy: Tensor | None) -> tuple[Tensor | None, int]:
    """dy and the distance between its rows: one direction's half of a bidirectional gradient needs no copy."""
    if dy is None:
        return None, 0
    if dy.is_contiguous():
        return dy, dy.shape[-1]
    *outer, stride, last = dy.stride()
    if last == 1 and stride >= dy.shape[-1] and (not outer or outer[0] == stride * dy.shape[1]):
        return dy, stride
    return dy.contiguous(), dy.shape[-1]
