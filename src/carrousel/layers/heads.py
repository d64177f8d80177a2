"""Heads: groups of units, each fed back to the units of its own group only. There are two ways to run them.

Either R has zeros between units of different heads, or each head runs as a layer of its own over the same input, which
saves the products with zeros and costs N calls. The second takes a third of the time at H = 512 with 8 heads, half at
H = 256 with 4 heads, six times as long at H = 32 with 8 heads, a third more at H = 40 with 2 heads: narrow heads leave
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

# The number of units from which a head runs faster by a call of its own.
WIDE_HEAD = 32


def run_by_heads(
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
    """`carrousel.fused.fused`, one head after another; R is [rows*H, H/N]."""
    of_heads = zip(
        *[split_heads(w, len(cell.from_x), heads) for w in weights],
        *[state.chunk(heads, -1) for state in (*states, *restored)],
    )
    ys, finals, insides = [], [], []
    n_weights, n_states = len(weights), len(states)
    for tensors in of_heads:
        of_states, of_restored = tensors[n_weights:][:n_states], tensors[n_weights + n_states :]
        of_head = Weights(*tensors[:n_weights])
        y, final, inside = fused(cell, x, of_states, of_head, rows, options, of_restored, is_single=is_single)
        ys.append(y)
        finals.append(final)
        insides.append(inside)
    final = tuple([torch.cat(parts, -1) for parts in zip(*finals)])
    if insides[0] is None:
        return torch.cat(ys, -1), final, None
    return torch.cat(ys, -1), final, {name: torch.cat([inside[name] for inside in insides], -1) for name in insides[0]}


def split_heads(weight: Tensor | None, rows: int, heads: int) -> list[Tensor | None]:
    """A weight [rows*H, ...] by heads [rows*H/N, ...]; None for each head if there is no weight."""
    if weight is None:
        return [None] * heads
    return [of_head.flatten(0, 1) for of_head in weight.unflatten(0, (rows, heads, -1)).unbind(1)]
