"""Heads: units in groups, each fed back to the units of its own group only, in one of two ways.

R of all units has zeros where one unit is of another head. Or each head is a layer of its own over the same input: that
spares the products with zeros, and pays for N calls. At H = 512 with 8 heads it takes a third of the time, at H = 256
with 4 heads half, at H = 32 with 8 heads six times as long, at H = 40 with 2 heads a third more: narrow heads leave
vectors half empty.

Letters: H hidden units, I input, N heads, B batch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.fused import fused_in, is_eager
from carrousel.scan.layout import Layout
from carrousel.scan.weights import Weights

# The units of a head from which it is worth a call of its own.
ALONE = 32


def heads_of(cell: Cell, weights: Weights) -> int:
    """N, by the shape of R; 1 where all units are fed back to all."""
    H, width = weights.W.shape[0] // len(cell.from_x), weights.R.shape[1]
    return H // width if width < H and weights.P is None else 1


def block_diagonal(R: Tensor, heads: int) -> Tensor:
    """R of heads [rows*H, H/N] as R of all units [rows*H, H]."""
    rows, width = R.shape
    own = (_own_head_once if is_eager(R) else _own_head)(heads, rows, width, R.dtype, R.device)
    return (R.unsqueeze(1) * own).view(rows, heads * width)


def _own_head(heads: int, rows: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[rows, N, 1]: 1 for the head that a row of R [rows, width] is of, else 0."""
    of_rows = torch.arange(rows, device=device) // width % heads
    return (of_rows[:, None] == torch.arange(heads, device=device)).to(dtype)[..., None]


@lru_cache(maxsize=64)
def _own_head_once(*arguments: Any) -> Tensor:
    """The same from call to call: a small network would feel the time that it takes to make."""
    with torch.inference_mode(False):
        return _own_head(*arguments)


def fused_by_heads(
    heads: int,
    layout: Layout,
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    restored: tuple[Tensor, ...] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor] | None]:
    """`carrousel.fused.fused_in`, head after head: R is [rows*H, H/N], states are [B, H]."""
    of_heads = zip(
        *[rows_of_heads(w, len(cell.from_x), heads) for w in weights],
        *[state.chunk(heads, -1) for state in (*states, *restored)],
    )
    ys, finals, shown = [], [], []
    n_weights, n_states = len(weights), len(states)
    for tensors in of_heads:
        of_states, of_restored = tensors[n_weights:][:n_states], tensors[n_weights + n_states :]
        y, final, inside = fused_in(layout, cell, x, of_states, Weights(*tensors[:n_weights]), of_restored)
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
