"""Calls of the kernels, forward and backward: tensors in, tensors out, no autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from carrousel.fused.kernels import Kernel, allocate_large, mask_writer
from carrousel.fused.plan import Plan
from carrousel.scan.masks import Mask, Masks
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights

# Numbers between tensors that are written at the same time: addresses equal modulo 4096 slow each other down.
SPACING = 80

LARGE = 4 << 20  # bytes from which on freed memory returns to the system, and comes zeroed again


def call_forward(
    plan: Plan,
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...] = (),
    *,
    save: bool,
    zero_fill: bool = False,
    into: Tensor | None = None,
    is_contiguous: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor], Tensor | None]:
    """Run a cell over a sequence.

    Args:
        plan: of this call.
        kernel: the cell's, in x's dtype.
        x, weights, rows, options: as `carrousel.scan.scan` takes them, checked; R may be that of heads [rows*H, H/N].
        states, restored: as `carrousel.fused.plan.expand_states` takes them.
        save: save what `call_backward` needs.
        zero_fill: allocate what is saved for the padded size, filled with zeros, and every output apart. torch.compile
            needs sizes that do not depend on `lengths`, and the same numbers from a second call.
        into: the memory that y is written to, new or a slice of its last dimension. Default: a new tensor.
        is_contiguous: x, states, weights and restored are known to be contiguous.

    Returns:
        y; the final states; what `options` asks for of every step, as `Kernel.name_inside` takes it; and with `save` a
        tensor with the parts that `Kernel.saved_sizes` lists, one after another.
    """
    x, states, weights, restored, rows = _prepare(plan, x, states, weights, restored, rows, is_contiguous)
    y = x.new_empty(plan.y) if into is None else into
    final = tuple([x.new_empty(shape) for shape in plan.final])
    saved, pairs = _allocate_saved(plan, kernel, x, rows, zero_fill) if save else (None, 0)
    inside = _allocate_inside(kernel, x, plan.sizes.H, options, zero_fill) if options.asks_inside else []
    kernel.forward(
        cell=kernel.cell.name,
        sizes=plan.sizes,
        x=x,
        states=states,
        weights=weights,
        rows=rows,
        restored=restored,
        y=y,
        ld_y=plan.y[-1] if into is None or y.is_contiguous() else y.stride(-2),
        saved=saved,
        pairs=pairs,
        parts=plan.parts,
        final=final,
        histories=tuple(inside[: len(final) - 1]) if options.states else (),
        gates=_gates_of(kernel, options, inside),
        masks=None if options.masks is None else _describe_masks(options.masks),
        threads=torch.get_num_threads(),
    )
    return y, final, inside, saved


def call_backward(
    plan: Plan,
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...],
    outputs: tuple[Tensor, Tensor, Sequence[Tensor]],
    d_outputs: tuple[Tensor | None, Sequence[Tensor | None], Sequence[Tensor | None]],
    wanted: Sequence[bool],
    is_contiguous: bool = False,
) -> list[Tensor | None]:
    """The gradients of (x, *states, *weights, *restored), each where `wanted` says so.

    Args:
        plan ... restored, is_contiguous: as `call_forward` took them.
        outputs: y, what was saved, and what was returned of every step: its results.
        d_outputs: the gradients of y, of the final states, and of what was returned of every step; None is zero.
        wanted: whether each of (x, *states, *weights, *restored) needs its gradient.
    """
    given = (x, *states, *weights, *restored)
    x, states, weights, restored, rows = _prepare(plan, x, states, weights, restored, rows, is_contiguous)
    inputs = (x, *states, *weights, *restored)
    gradients = [torch.empty_like(t) if want and t is not None else None for t, want in zip(inputs, wanted)]
    y, saved, inside = outputs
    dy, ld_dy = _with_row_stride(d_outputs[0])
    d_final, d_inside = _make_contiguous(d_outputs[1]), _make_contiguous(d_outputs[2])
    d_gates = _gates_of(kernel, options, d_inside)
    kernel.backward(
        cell=kernel.cell.name,
        sizes=plan.sizes,
        x=x,
        states=states,
        weights=weights,
        rows=rows,
        restored=restored,
        y=y,
        ld_y=plan.y[-1] if y.is_contiguous() else y.stride(-2),
        saved=saved,
        pairs=plan.pairs if rows.lengths is None else saved.numel() // max(plan.saved, 1),
        parts=plan.parts,
        histories=tuple(inside[: len(d_final) - 1]) if options.states else (),
        gates=_gates_of(kernel, options, inside),
        dy=dy,
        ld_dy=ld_dy,
        d_final=d_final,
        d_histories=d_inside[: len(d_final) - 1] if options.states else (),
        d_gates=d_gates if any(d is not None for d in d_gates) else (),
        gradients=tuple(gradients),
        masks=None if options.masks is None else _describe_masks(options.masks),
        threads=torch.get_num_threads(),
    )
    return gradients if plan.sizes.B == 1 else _sum_over_rows(gradients, given)


def write_mask(
    masks: Masks, mask: Mask, number: int, rows: Tensor | None, shape: Sequence[int], like: Tensor
) -> Tensor:
    """`carrousel.scan.masks.sample_mask` at step 0 for a matrix of this shape, in float32 or float64 on the CPU."""
    values = like.new_empty(tuple(shape))
    numbers = 0 if rows is None else rows.data_ptr()
    write, seed = mask_writer(like.dtype), _seed_of(masks.seed)
    write(_describe_mask(mask), seed, masks.random_stream(number), *values.shape, numbers, values.data_ptr())
    return values


# ---- what kernels read ----------------------------------------------------------------------------------------------


def _prepare(
    plan: Plan,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    restored: tuple[Tensor, ...],
    rows: Rows,
    is_contiguous: bool,
) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...], Rows]:
    """The same, all contiguous, and with states for each row."""
    B = plan.sizes.B
    if B != 1:
        states, restored = _for_each_row(states, B), _for_each_row(restored, B)
    if is_contiguous:
        return x, states, weights, restored, rows
    of_rows = (rows.lengths, rows.offsets, rows.resets)
    for t in (x, *states, *weights, *restored, *of_rows):
        if t is not None and not t.is_contiguous():
            break
    else:
        return x, states, weights, restored, rows
    lengths, offsets, resets = _make_contiguous(of_rows)
    rows = rows._replace(lengths=lengths, offsets=offsets, resets=resets)
    states, restored = (tuple([s.contiguous() for s in given]) for given in (states, restored))
    of_weights: Any = _make_contiguous(weights)
    return x.contiguous(), states, Weights(*of_weights), restored, rows


def _for_each_row(states: tuple[Tensor, ...], B: int) -> tuple[Tensor, ...]:
    for state in states:
        if state.shape[-2] != B:
            return tuple([s.expand(*s.shape[:-2], B, -1).contiguous() for s in states])
    return states


def _sum_over_rows(gradients: list[Tensor | None], given: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The gradients; of a state that was given once for all rows, the sum of those of the rows."""
    return [
        d if d is None or t is None or d.shape == t.shape else d.sum(-2, keepdim=True) for d, t in zip(gradients, given)
    ]


def _make_contiguous(tensors: Sequence[Tensor | None]) -> tuple[Tensor | None, ...]:
    return tuple([t if t is None or t.is_contiguous() else t.contiguous() for t in tensors])


def _with_row_stride(dy: Tensor | None) -> tuple[Tensor | None, int]:
    """dy and the distance between its rows: one direction's half of a bidirectional gradient needs no copy."""
    if dy is None:
        return None, 0
    if dy.is_contiguous():
        return dy, dy.shape[-1]
    *outer, stride, last = dy.stride()
    if last == 1 and stride >= dy.shape[-1] and (not outer or outer[0] == stride * dy.shape[1]):
        return dy, stride
    return dy.contiguous(), dy.shape[-1]


# ---- what kernels write ---------------------------------------------------------------------------------------------


def _gates_of(kernel: Kernel, options: Options, inside: Sequence[Any]) -> tuple[Any, ...]:
    """The part of `inside` that holds the gates."""
    return tuple(inside[len(inside) - len(kernel.inside) :]) if options.gates else ()


def _allocate_inside(kernel: Kernel, x: Tensor, H: int, options: Options, separate: bool) -> list[Tensor]:
    """Tensors [., H] for what is returned of every step: in one block, unless they must be separate.

    A large block is fresh memory in large pages: small ones in used memory took a quarter of the time at H = 128.
    """
    count = kernel.count_inside(options)
    if not count or separate:
        return [x.new_empty(*x.shape[:-1], H) for _ in range(count)]
    shape = (*x.shape[:-1], H)
    size = math.prod(shape)
    block = x.new_empty(count, size + SPACING)
    return [part[:size].view(shape) for part in block.unbind(0)]


def _allocate_saved(plan: Plan, kernel: Kernel, x: Tensor, rows: Rows, zero_fill: bool) -> tuple[Tensor, int]:
    """Memory for what is saved of each (step, row) pair, and the number of pairs: with `zero_fill` all that x holds."""
    if rows.lengths is None:
        return _allocate(x, plan.pairs * plan.saved), plan.pairs
    if zero_fill:  # numpy's zeros cost nothing until they are read; torch's are written
        dtype = np.float32 if kernel.is_float32 else np.float64
        return torch.from_numpy(np.zeros(plan.pairs * plan.saved, dtype)), plan.pairs
    pairs = int(rows.lengths.sum())
    return _allocate(x, pairs * plan.saved), pairs


def _allocate(x: Tensor, count: int) -> Tensor:
    """A tensor [count] in x's dtype."""
    return allocate_large(count, x.dtype) if count * x.itemsize >= LARGE else x.new_empty(count)


# ---- masks as bindings/module.cpp reads them ------------------------------------------------------------------------


class MaskNumbers(NamedTuple):
    """A `Mask`."""

    threshold: int
    chosen: float
    otherwise: float


class MasksOfCall(NamedTuple):
    """`Masks`."""

    seed: int
    first_stream: int  # the random stream of mask 0
    row_numbers: Tensor | None
    of_cell: tuple[MaskNumbers, ...]
    fed_back: MaskNumbers | None
    of_weights: MaskNumbers | None


def _describe_masks(masks: Masks) -> MasksOfCall:
    of_cell = tuple([_describe_mask(mask) for mask in masks.of_cell])
    fed_back, of_weights = [
        None if mask is None else _describe_mask(mask) for mask in (masks.fed_back, masks.of_weights)
    ]
    return MasksOfCall(_seed_of(masks.seed), masks.random_stream(0), masks.row_numbers, of_cell, fed_back, of_weights)


@cache
def _describe_mask(mask: Mask) -> MaskNumbers:
    return MaskNumbers(mask.threshold, mask.chosen, mask.otherwise)


def _seed_of(seed: Tensor | None) -> int:
    return 0 if seed is None else int(seed) % 2**64
