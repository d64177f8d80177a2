"""Layers, directions and dropout of an mLSTM.

Letters: T time, B batch, I input, H hidden units, L layers, D directions, N heads, d = H/N.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from carrousel.layers.mlstm.dense_and_ragged import Dense, OfDirection, Ragged, Sizes, inputs_of
from carrousel.layers.mlstm.memory import Memory, step
from carrousel.layers.stack import gather
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights


def run_matrix_stack(
    sizes: Sizes,
    x: Tensor,
    hx: tuple[Tensor, ...],
    weights: list[list[Weights]],
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...] | None = None,
    dropout: float = 0.0,
) -> tuple[Tensor, tuple[Tensor, ...], Any]:
    """Run a stack of layers over a sequence.

    Args:
        sizes: of every layer.
        x: [T, B, I], or [B, T, I] or [N, I], as `rows` says.
        hx: C [L*D, B, N, d, d], n [L*D, B, N, d], m [L*D, B, N].
        weights: [L][D], the direction that starts from the end second.
        rows: of x, and of y.
        options: what the call asks for.
        restored: what resets restore, as hx. None: zeros.
        dropout: the probability that an output between two layers is zeroed.

    Returns:
        y as x with D*H in the last place; the final states as hx; and the states and gates of every step that the
        options ask for, as `carrousel.layers.stack` has them, or None.
    """
    way = Ragged(rows, options, sizes, x) if rows.is_ragged or rows.is_flat else Dense(rows, options, sizes)
    starts, initial = memories(hx), None if restored is None else memories(restored)
    x, finals, shown = way.taken(x), [], []
    for depth, directions in enumerate(weights):
        if dropout and depth:
            x = torch.dropout(x, dropout, True)
        ys = []
        for reverse, of_direction in zip((False, True), directions):
            place = len(finals)
            of = OfDirection(of_direction, starts[place], initial[place] if initial else None, reverse)
            y, final, inside = way.run(x, of)
            ys.append(y)
            finals.append(final)
            shown.append(in_fields(y, inside, options))
        x = ys[0] if len(ys) == 1 else torch.cat(ys, -1)
    states = tuple(torch.stack(tensors) for tensors in zip(*finals))
    padded = rows.padding_value
    inside = [{name: way.given(t, padded) for name, t in of_place.items()} for of_place in shown]
    return way.given(x, padded), states, gather(inside) if options.asks_inside else None


def in_fields(h: Tensor, inside: dict[str, Tensor], options: Options) -> dict[str, Tensor]:
    """What a layer and direction shows, h first, in the order in which it is documented."""
    names = ("C", "n", "m") * options.states + ("o", "i", "f") * options.gates
    first = {"h": h} if options.states else {}
    return first | {name: inside[name] for name in names}


def memories(states: tuple[Tensor, ...]) -> list[Memory]:
    """C, n, m [L*D, ...] as L*D memories."""
    return [Memory(*tensors) for tensors in zip(*(state.unbind(0) for state in states))]


def run_matrix_step(N: int, x: Tensor, states: tuple[Tensor, ...], weights: list[list[Weights]]) -> Tensor:
    """A step x [B, I] of a stack in one direction, of N heads -> h [B, H]; the states, as hx, are changed in place."""
    for (of_layer,), memory in zip(weights, memories(states)):
        inputs, o = inputs_of(linear(x, of_layer.W, of_layer.b_x), N)
        h, new = step(inputs, memory)
        x = o * h.flatten(1)
        for old, tensor in zip(memory, new):
            old.copy_(tensor)
    return x
