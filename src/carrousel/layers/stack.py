"""A stack of layers in one or two directions, with dropout between them: one torch function's work, on our kernels.

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
from carrousel.layers.directions import allocate_joint_output, join_directions
from carrousel.layers.heads import WIDE_HEAD, run_by_heads
from carrousel.layers.regularization import CallMasks
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
    masks: CallMasks | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], Any]:
    """Run a stack of layers over a sequence.

    Args:
        cell: the equations.
        x: [T, B, I], or [B, T, I] or [N, I], as `rows` says.
        hx: the first [L*D, B, P], the others [L*D, B, H]; or 1 in place of B, the same for all rows. None: zeros.
        weights: [L][D], the forward direction first. R may be that of heads, [rows*H, H/N].
        rows: of x, and of y.
        options: what the call asks for.
        restored: the states that resets restore, as hx. None: zeros.
        dropout: probability that an output between two layers is zeroed.
        masks: of this call.

    Returns:
        y as x with D*P in the last dimension; the final states as hx; and the states and gates of every step that the
        options ask for, as `gather_inside` makes them, or None.
    """
    if x.dtype != (dtype := weights[0][0].W.dtype):  # under autocast: the kernels compute in the dtype of the weights
        x, hx, restored = x.to(dtype), _to(hx, dtype), _to(restored, dtype)
    if dropout and rows.batch_first:
        # torch samples its masks over [T, B, .]: with the same seed it drops the same outputs
        rows = rows._replace(batch_first=False, resets=None if rows.resets is None else rows.resets.T)
        y, hx, inside = run_stack(cell, x.transpose(0, 1), hx, weights, rows, options, restored, dropout, masks)
        return y.transpose(0, 1), hx, map_inside(inside, lambda tensor: tensor.transpose(0, 1))
    places = len(weights) * len(weights[0])
    is_single = places == 1
    starts = [()] * places if hx is None else split_places(hx)
    after_resets = [()] * places if restored is None else split_places(restored)
    heads = heads_of(cell, weights[0][0])
    by_heads = heads > 1 and weights[0][0].R.shape[1] >= WIDE_HEAD
    finals, inside_of_places = [], []
    for depth, directions in enumerate(weights):
        if dropout and depth:
            x = torch.dropout(x, dropout, True)
        ys, parts = [], []
        width = output_width(cell, directions[0])
        joint = None if len(directions) == 1 or by_heads else allocate_joint_output(x, width, len(directions), options)
        for reverse, of_direction in zip((False, True), directions):
            place = len(finals)
            way, asked, given = rows._replace(reverse=True) if reverse else rows, options, x
            if masks is not None:
                given, of_place = masks.mask(place, x, way)
                asked = options._replace(masks=of_place)
            call = cell, given, starts[place], of_direction, way, asked, after_resets[place]
            if by_heads:
                y, final, inside = run_by_heads(heads, *call, is_single)
            else:
                parts.append(None if joint is None else joint.narrow(-1, len(ys) * width, width))
                y, final, inside = fused(*call, parts[-1], is_single)
            if inside is not None:
                inside_of_places.append({cell.states[0]: y} | inside if options.states else inside)
            ys.append(y)
            finals.append(final)
        x = ys[0] if len(ys) == 1 else join_directions(ys, joint, parts)
    return x, join_places(finals), gather_inside(inside_of_places) if options.asks_inside else None


def _to(states: tuple[Tensor, ...] | None, dtype: torch.dtype) -> tuple[Tensor, ...] | None:
    return states and tuple([state.to(dtype) for state in states])


def output_width(cell: Cell, weights: Weights) -> int:
    """P, the width of h."""
    return weights.W.shape[0] // len(cell.from_x) if weights.P is None else weights.P.shape[0]


def split_places(states: tuple[Tensor, ...]) -> list[tuple[Tensor, ...]]:
    """States [L*D, B, .] as L*D tuples of [B, .].

    With one layer and direction they stay as they are: indexing and stacking would be a step each in the backward pass.
    """
    if states[0].shape[0] == 1:
        return [states]
    return list(zip(*[state.unbind(0) for state in states]))


def join_places(finals: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """L*D tuples of states [B, .] as states [L*D, B, .]; the reverse of `split_places`."""
    if len(finals) == 1:
        return finals[0]
    return tuple([torch.stack(states) for states in zip(*finals)])


# ---- states and gates of every step, by name


@cache
def make_inside_type(names: tuple[str, ...]) -> Any:
    """A named tuple with these fields; each holds a tuple of L*D tensors, in the order of hx."""
    return namedtuple("Inside", names)  # type: ignore[misc]  # the fields are the cell's


def gather_inside(inside_of_places: list[dict[str, Tensor]]) -> Any:
    """The tensors of each layer and direction by name [L*D], as a named tuple of tuples [L*D]."""
    return make_inside_type(tuple(inside_of_places[0]))(*zip(*[of_place.values() for of_place in inside_of_places]))


def map_inside(inside: Any, function: Callable[[Tensor], Any]) -> Any:
    """Apply a function to every tensor of a named tuple; None stays None."""
    return inside if inside is None else type(inside)(*[tuple(map(function, tensors)) for tensors in inside])
