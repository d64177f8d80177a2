"""Layer upon layer, one direction or two, with dropout between: what torch's functions do in one call, on our kernels.

Letters: T time, B batch, H hidden units, P the width of h, L layers, D directions.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.fused import fused
from carrousel.layers.directions import room_for, side_by_side
from carrousel.layers.heads import ALONE, fused_by_heads
from carrousel.layers.regularization import Draw
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights, heads_of


def run_stack(
    cell: Cell,
    x: Tensor,
    hx: tuple[Tensor, ...] | None,
    weights: list[list[Weights]],
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...] | None = None,
    dropout: float = 0.0,
    draw: Draw | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], Any]:
    """Run a stack of layers over a sequence.

    Args:
        cell: the equations.
        x: [T, B, I], or [B, T, I] or [N, I], as `rows` says.
        hx: the first [L*D, B, P], the others [L*D, B, H]; or 1 in the place of B, for all rows alike. None: zeros.
        weights: [L][D], the direction that starts from the end second. R may be that of heads [rows*H, H/N].
        rows: of x, and of y.
        options: what the call asks for.
        restored: what resets restore, as hx. None: zeros.
        dropout: the probability that an output between two layers is zeroed.
        draw: the masks of this call.

    Returns:
        y as x with D*P in the last place; the final states as hx; and the states and gates of every step that the
        options ask for, as `gather` makes them, or None.
    """
    if x.dtype != (dtype := weights[0][0].W.dtype):  # under autocast: the kernels compute in the dtype of the weights
        x, hx, restored = x.to(dtype), _to(hx, dtype), _to(restored, dtype)
    if dropout and rows.batch_first:
        # torch draws its masks over [T, B, .]: from the same seed it drops the same outputs.
        rows = rows._replace(batch_first=False, resets=None if rows.resets is None else rows.resets.T)
        y, hx, inside = run_stack(cell, x.transpose(0, 1), hx, weights, rows, options, restored, dropout, draw)
        return y.transpose(0, 1), hx, each(inside, lambda tensor: tensor.transpose(0, 1))
    places = len(weights) * len(weights[0])
    is_single = places == 1
    starts = [()] * places if hx is None else split(hx)
    after_resets = [()] * places if restored is None else split(restored)
    heads = heads_of(cell, weights[0][0])
    by_heads = heads > 1 and weights[0][0].R.shape[1] >= ALONE
    finals, shown = [], []
    for depth, directions in enumerate(weights):
        if dropout and depth:
            x = torch.dropout(x, dropout, True)
        ys = []
        width = width_of_y(cell, directions[0])
        room = None if len(directions) == 1 or by_heads else room_for(x, width, len(directions), options)
        for reverse, of_direction in zip((False, True), directions):
            place = len(finals)
            way, asked, given = rows._replace(reverse=True) if reverse else rows, options, x
            if draw is not None:
                given, masks = draw.at(place, x, way)
                asked = options._replace(masks=masks)
            call = cell, given, starts[place], of_direction, way, asked, after_resets[place]
            if by_heads:
                y, final, inside = fused_by_heads(heads, *call, is_single)
            else:
                into = None if room is None else room.narrow(-1, len(ys) * width, width)
                y, final, inside = fused(*call, into, is_single)
            if inside is not None:
                shown.append({cell.states[0]: y} | inside if options.states else inside)
            ys.append(y)
            finals.append(final)
        x = ys[0] if len(ys) == 1 else side_by_side(ys, room)
    return x, join(finals), gather(shown) if options.asks_inside else None


def _to(states: tuple[Tensor, ...] | None, dtype: torch.dtype) -> tuple[Tensor, ...] | None:
    return states and tuple([state.to(dtype) for state in states])


def width_of_y(cell: Cell, weights: Weights) -> int:
    """P."""
    return weights.W.shape[0] // len(cell.from_x) if weights.P is None else weights.P.shape[0]


# Of one place the states stay as they are: to index and to stack would be a step each in the backward pass.
def split(states: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """States [L*D, B, .] as L*D tuples of [B, .]; of one place as they are."""
    if states[0].shape[0] == 1:
        return [states]
    return list(zip(*[state.unbind(0) for state in states]))


def join(finals: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """L*D tuples of states [B, .] as states [L*D, B, .]; of one place they are."""
    if len(finals) == 1:
        return finals[0]
    return tuple([torch.stack(states) for states in zip(*finals)])


# ---- states and gates of every step, by name


@cache
def inside_type(names: tuple[str, ...]) -> Any:
    """The type with these fields; each field is a tuple of L*D tensors, in the places that layers have in hx."""
    return namedtuple("Inside", names)  # type: ignore[misc]  # the fields are the cell's


def gather(shown: list[dict[str, Tensor]]) -> Any:
    """What each layer and direction shows by name [L*D], as names with what each layer and direction shows."""
    return inside_type(tuple(shown[0]))(*zip(*[of_place.values() for of_place in shown]))


def each(inside: Any, function: Callable[[Tensor], Any]) -> Any:
    """The function of every tensor inside; None stays None."""
    return inside if inside is None else type(inside)(*[tuple(map(function, tensors)) for tensors in inside])
