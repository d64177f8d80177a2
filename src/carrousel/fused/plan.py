"""What a call of a kernel comes to by its sizes alone: worked out once, for a small network would feel the time.

Letters: T time, B batch, I input, H hidden units, P the width of h, N (step, row) pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor

from carrousel.cells import Cell
from carrousel.fused.kernels import PLANS, Kernel
from carrousel.scan.rows import Layout
from carrousel.scan.weights import Weights, check_shapes, heads_of, with_all_heads

MOST_PLANS = 1024  # more are not kept: where each batch has another length, most are used once


class Plan(NamedTuple):
    """Sizes of a call, and how many numbers are where."""

    sizes: tuple[int, ...]  # T, B, step_stride, row_stride, reverse, I, H, P, bfloat16, heads: bindings/module.cpp
    y: tuple[int, ...]  # its shape
    finals: tuple[tuple[int, ...], ...]  # the shapes of the final states
    pairs: int  # N: those that x has room for
    kept: int  # numbers that are kept of a pair
    parts: tuple[int, ...]  # where among them begin the gates, h before a projection, and each state; -1: not there


def plan_of(kernel: Kernel, x: Tensor, weights: Weights, layout: Layout, alone: bool = False) -> Plan:
    """The plan of a call whose arguments fit each other, as `carrousel.fused.call.forward` takes them."""
    H, I = weights.W.shape[0] // len(kernel.cell.from_x), x.shape[-1]
    P = H if weights.P is None else weights.P.shape[0]
    B = layout.batch(x)
    if layout.batch_sizes is not None:
        T, step, row = layout.batch_sizes.shape[0], 0, 0
    elif layout.offsets is not None:
        T, step, row = x.shape[0], 0, 0
    elif layout.batch_first:
        T, step, row = x.shape[1], 1, x.shape[1]
    else:
        T, step, row = x.shape[0], B, 1
    finals = [(1, B, width) if alone else (B, width) for width in (P, *[H] * (len(kernel.cell.states) - 1))]
    numbers = kernel.kept_parts(H, I, weights.P is not None, layout)
    return Plan(
        sizes=(T, B, step, row, int(layout.reverse), I, H, P, int(layout.bfloat16), heads_of(kernel.cell, weights)),
        y=(*x.shape[:-1], P),
        finals=tuple(finals),
        pairs=math.prod(x.shape[:-1]),
        kept=sum(numbers),
        parts=_parts(kernel, numbers, weights.P is not None, layout),
    )


def _parts(kernel: Kernel, numbers: Sequence[int], projected: bool, layout: Layout) -> tuple[int, ...]:
    """`Plan.parts`, where each of Kernel.kept_parts has so many numbers."""
    starts, at = [], 0
    for count in numbers:
        starts.append(at if count else -1)
        at += count
    gates, unprojected, *of_states = starts
    states = [-1] * len(kernel.cell.states)
    for k, start in zip(kernel.kept_states(projected, layout), of_states):
        states[k] = start
    return gates, unprojected, *states


def of_each_row(
    cell: Cell, x: Tensor, states: tuple[Tensor, ...], weights: Weights, layout: Layout
) -> tuple[Tensor, ...]:
    """The states [B, .] that kernels and `scan` start from.

    Args:
        cell, x, weights, layout: of the call.
        states: [B, .]; [1, .] for all rows alike; either after a first place of 1; () for zeros.
    """
    if not states:
        B = layout.batch(x)
        c = x.new_zeros(B, weights.W.shape[0] // len(cell.from_x))
        h = c if weights.P is None else x.new_zeros(B, weights.P.shape[0])
        return h, *[c] * (len(cell.states) - 1)  # nothing writes to states, so they share memory
    states = tuple([state[0] if state.dim() == 3 else state for state in states])
    return tuple([state.expand(layout.batch(x), -1) if state.shape[0] == 1 else state for state in states])


def checked_plan(
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    layout: Layout,
    restored: tuple[Tensor, ...],
    alone: bool,
) -> Plan:
    """The plan of a call, which is looked at only where none with these sizes has been.

    Raises:
        ValueError: as `check_shapes`.
    """
    if layout.is_flat or layout.is_ragged or layout.resets is not None:  # numbers count too, not sizes alone
        return _checked(kernel, x, states, weights, layout, restored, alone)
    noise = layout.noise
    options = layout.reverse, layout.batch_first, layout.return_states, layout.return_gates, layout.bfloat16
    shapes = tuple([None if t is None else t.shape for t in (x, *weights, *states)])
    masks = None if noise is None else len(noise.masks) if weights.P is None else noise.masks
    key: Any = kernel.cell.name, kernel.single, shapes, options, layout.memory, masks, alone
    if (plan := PLANS.get(key)) is None:
        plan = _checked(kernel, x, states, weights, layout, restored, alone)
        if len(PLANS) >= MOST_PLANS:
            PLANS.clear()
        PLANS[key] = plan
    return plan


def _checked(
    kernel: Kernel,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    layout: Layout,
    restored: tuple[Tensor, ...],
    alone: bool,
) -> Plan:
    cell = kernel.cell
    starts = of_each_row(cell, x, states, weights, layout)
    after_resets = restored and of_each_row(cell, x, restored, weights, layout)
    check_shapes(cell, x, starts, with_all_heads(cell, weights), layout, after_resets)
    return plan_of(kernel, x, weights, layout, alone)
