"""Sizes and memory layout of a kernel call, cached by shape: to compute them takes about as long as a small network.

Letters: T time, B batch, I input, H hidden units, P the width of h, N (step, row) pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from carrousel.cells import Cell
from carrousel.fused.kernels import PLANS, Kernel
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights, check_shapes, heads_of, with_all_heads

MOST_PLANS = 1024  # the cache is cleared then: where every batch has another length, most plans are used once


class Sizes(NamedTuple):
    """What a kernel needs to know of shapes; bindings/module.cpp reads it in this order."""

    T: int
    B: int
    step_stride: int  # from one step of a row to its next in x and y, in rows of them; 0 if x is flat
    row_stride: int  # from one row of the batch to the next, in the same unit
    reverse: int
    I: int
    H: int
    P: int
    bfloat16: int
    heads: int


class Plan(NamedTuple):
    """What a call needs besides its tensors, by its shapes alone."""

    sizes: Sizes
    y: tuple[int, ...]  # its shape
    final: tuple[tuple[int, ...], ...]  # the shapes of the final states
    pairs: int  # N, as many as x holds
    saved: int  # numbers saved for backward of each pair
    parts: tuple[int, ...]  # where among these begin the gates, h before a projection, and each state; -1: not saved
    is_single: bool  # the layer is not stacked and has one direction: states are [1, B, .]


def make_plan(kernel: Kernel, x: Tensor, weights: Weights, rows: Rows, options: Options, is_single: bool) -> Plan:
    """The plan of a call whose arguments fit each other."""
    H, I = weights.W.shape[0] // len(kernel.cell.from_x), x.shape[-1]
    P = H if weights.P is None else weights.P.shape[0]
    B = rows.batch(x)
    if rows.batch_sizes is not None:
        T, step, row = rows.batch_sizes.shape[0], 0, 0
    elif rows.offsets is not None:
        T, step, row = x.shape[0], 0, 0
    elif rows.batch_first:
        T, step, row = x.shape[1], 1, x.shape[1]
    else:
        T, step, row = x.shape[0], B, 1
    is_projected, heads = weights.P is not None, heads_of(kernel.cell, weights)
    saved = kernel.saved_sizes(H, I, is_projected, options)
    widths = (P, *[H] * (len(kernel.cell.states) - 1))
    return Plan(
        sizes=Sizes(T, B, step, row, int(rows.reverse), I, H, P, int(options.bfloat16), heads),
        y=(*x.shape[:-1], P),
        final=tuple([(1, B, width) if is_single else (B, width) for width in widths]),
        pairs=math.prod(x.shape[:-1]),
        saved=sum(saved),
        parts=_place_parts(kernel, saved, is_projected, options),
        is_single=is_single,
    )


def _place_parts(kernel: Kernel, saved: Sequence[int], is_projected: bool, options: Options) -> tuple[int, ...]:
    """`Plan.parts`, where each part that `Kernel.saved_sizes` lists has so many numbers."""
    starts, at = [], 0
    for count in saved:
        starts.append(at if count else -1)
        at += count
    gates, unprojected, *of_states = starts
    states = [-1] * len(kernel.cell.states)
    for k, start in zip(kernel.saved_states(is_projected, options), of_states):
        states[k] = start
    return gates, unprojected, *states


def expand_states(
    cell: Cell, x: Tensor, states: tuple[Tensor, ...], weights: Weights, rows: Rows
) -> tuple[Tensor, ...]:
    """The states [B, .] from which kernels and `scan` start.

    Args:
        cell, x, weights, rows: of the call.
        states: [B, .]; [1, .] for all rows; either with a first dimension of 1 before; () for zeros.
    """
    if not states:
        B = rows.batch(x)
        c = x.new_zeros(B, weights.W.shape[0] // len(cell.from_x))
        h = c if weights.P is None else x.new_zeros(B, weights.P.shape[0])
        return h, *[c] * (len(cell.states) - 1)  # nothing writes to states, so they share memory
    states = tuple([state[0] if state.dim() == 3 else state for state in states])
    return tuple([state.expand(rows.batch(x), -1) if state.shape[0] == 1 else state for state in states])


def find_plan(
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...],
    is_single: bool,
) -> Plan:
    """The plan of a call. The arguments are checked if no call with these shapes came before.

    Raises:
        ValueError: as `check_shapes`.
    """
    if rows.is_flat or rows.is_ragged or rows.resets is not None:  # the plan depends on their numbers too
        return _check_and_plan(kernel, x, states, weights, rows, options, restored, is_single)
    masks = options.masks
    if masks is not None:
        masks = len(masks.of_cell) if weights.P is None else masks.of_cell
    shapes = tuple([None if t is None else t.shape for t in (x, *weights, *states)])
    asked = rows.reverse, rows.batch_first, options.states, options.gates, options.bfloat16, options.memory, masks
    key: Any = kernel.cell.name, kernel.is_float32, shapes, asked, is_single
    if (plan := PLANS.get(key)) is None:
        plan = _check_and_plan(kernel, x, states, weights, rows, options, restored, is_single)
        if len(PLANS) >= MOST_PLANS:
            PLANS.clear()
        PLANS[key] = plan
    return plan


def _check_and_plan(
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...],
    is_single: bool,
) -> Plan:
    cell = kernel.cell
    starts = expand_states(cell, x, states, weights, rows)
    after_resets = expand_states(cell, x, restored, weights, rows) if restored else ()
    check_shapes(cell, x, starts, with_all_heads(cell, weights), rows, options, after_resets)
    return make_plan(kernel, x, weights, rows, options, is_single)
