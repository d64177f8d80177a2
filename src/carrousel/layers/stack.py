"""Layer upon layer, one direction or two, with dropout between: what torch's functions do in one call, on our kernels.

Letters: T time, B batch, H hidden units, P the width of h, L layers, D directions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.fused import fused
from carrousel.scan import Weights


def run_stack(
    cell: Cell,
    x: Tensor,
    hx: tuple[Tensor, ...] | None,
    weights: list[list[Weights]],
    batch_sizes: Tensor | None = None,
    batch_first: bool = False,
    dropout: float = 0.0,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a stack of layers over a sequence.

    Args:
        cell: the equations.
        x: [T, B, I], [B, T, I] with `batch_first`, or packed [N, I] with `batch_sizes`.
        hx: the first [L*D, B, P], the others [L*D, B, H]. None: zeros.
        weights: [L][D], the direction that starts from the end second.
        batch_sizes: as `scan` takes them.
        batch_first: x and y are [B, T, .].
        dropout: the probability that an output between two layers is zeroed.

    Returns:
        y as x with D*P in the last place, and the final states as hx.
    """
    if x.dtype != (dtype := weights[0][0].W.dtype):  # under autocast: the kernels compute in the dtype of the weights
        x, hx = x.to(dtype), hx and tuple([state.to(dtype) for state in hx])
    if dropout and batch_first:
        # torch draws its masks over [T, B, .]: from the same seed it drops the same outputs.
        y, hx = run_stack(cell, x.transpose(0, 1), hx, weights, None, False, dropout)
        return y.transpose(0, 1), hx
    starts = zeros(cell, x, weights, batch_sizes, batch_first) if hx is None else split(hx)
    finals = []
    for depth, directions in enumerate(weights):
        if dropout and depth:
            x = torch.dropout(x, dropout, True)
        ys = []
        for reverse, of_direction in zip((False, True), directions):
            start = starts[len(finals)]
            y, final = fused(
                cell, x, start, of_direction, batch_sizes=batch_sizes, reverse=reverse, batch_first=batch_first
            )
            ys.append(y)
            finals.append(final)
        x = ys[0] if len(ys) == 1 else torch.cat(ys, -1)
    return x, join(finals)


def zeros(
    cell: Cell, x: Tensor, weights: list[list[Weights]], batch_sizes: Tensor | None, batch_first: bool
) -> list[tuple[Tensor, ...]]:
    """Zero states [B, P], [B, H], ... for each layer and direction: nothing writes to states, so they share memory."""
    first = weights[0][0]
    B = x.shape[0 if batch_first else 1] if batch_sizes is None else int(batch_sizes[0])
    h = x.new_zeros(B, first.R.shape[1])
    c = h if first.P is None else x.new_zeros(B, first.P.shape[1])
    return [(h, *[c] * (len(cell.states) - 1))] * (len(weights) * len(weights[0]))


# One place is indexed, not split or stacked: [0] and [None] are torch's cheapest ways there and back.
def split(states: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """States [L*D, B, .] as L*D tuples of [B, .]."""
    if states[0].shape[0] == 1:
        return [tuple([state[0] for state in states])]
    return list(zip(*[state.unbind(0) for state in states]))


def join(finals: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """L*D tuples of states [B, .] as states [L*D, B, .]."""
    if len(finals) == 1:
        return tuple([state[None] for state in finals[0]])
    return tuple([torch.stack(states) for states in zip(*finals)])
