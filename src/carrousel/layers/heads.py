"""Heads: units in groups, each fed back to the units of its own group only, in one of two ways.

R of all units has zeros where one unit is of another head. Or each head is a layer of its own over the same input: that
spares the products with zeros, and pays for N calls. At H = 512 with 8 heads it takes a third of the time, at H = 256
with 4 heads half, at H = 32 with 8 heads six times as long, at H = 40 with 2 heads a third more: narrow heads leave
vectors half empty.

Letters: H hidden units, I input, N heads, B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.fused import fused
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights

# The units of a head from which it is worth a call of its own.
ALONE = 32


def fused_by_heads(
    heads: int,
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...] = (),
    is_single: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor] | None]:
    """`carrousel.fused.fused`, head after head: R is [rows*H, H/N]."""
    of_heads = zip(
        *[rows_of_heads(w, len(cell.from_x), heads) for w in weights],
        *[state.chunk(heads, -1) for state in (*states, *restored)],
    )
    ys, finals, shown = [], [], []
    n_weights, n_states = len(weights), len(states)
    for tensors in of_heads:
        of_states, of_restored = tensors[n_weights:][:n_states], tensors[n_weights + n_states :]
        of_head = Weights(*tensors[:n_weights])
        y, final, inside = fused(cell, x, of_states, of_head, rows, options, of_restored, is_single=is_single)
        ys.append(y)
        finals.append(final)
        shown.append(inside)
    final = tuple([torch.cat(parts, -1) for parts in zip(*finals)])
    inside = {name: torch.cat([of_head[name] for of_head in shown], -1) for name in shown[0]} if shown[0] else None
    return torch.cat(ys, -1), final, inside


def rows_of_heads(weight: Tensor | None, rows: int, heads: int) -> list[Tensor | None]:
    """A weight [rows*H, ...] by heads [rows*H/N, ...]; None where there is none."""
    if weight is None:
        return [None] * heads
    return [of_head.flatten(0, 1) for of_head in weight.unflatten(0, (rows, heads, -1)).unbind(1)]
