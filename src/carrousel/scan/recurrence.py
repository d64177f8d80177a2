"""Any cell over time in plain torch: the specification of the kernels, and the fallback where there is none.

Slow and obviously right: any device and dtype, twice differentiable. Letters: T time, B batch, I input, H hidden units,
P the width of h (H, or the projection's), N = sum of batch_sizes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from carrousel.cells import Cell, layer_norm
from carrousel.errors import add_note
from carrousel.scan import bfloat16
from carrousel.scan.gates import gates_of, step_with_gates
from carrousel.scan.masks import FED_BACK, RECURRENT_WEIGHTS, Noise, draw
from carrousel.scan.rows import Layout, packed_order
from carrousel.scan.weights import Weights, check_shapes, width_of_h


def scan(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    *,
    batch_sizes: Tensor | None = None,
    lengths: Tensor | None = None,
    offsets: Tensor | None = None,
    reverse: bool = False,
    batch_first: bool = False,
    resets: Tensor | None = None,
    restored: tuple[Tensor, ...] | None = None,
    padding_value: float = 0.0,
    return_states: bool = False,
    return_gates: bool = False,
    bfloat16: bool = False,
    noise: Noise | None = None,
) -> Any:
    """Run a cell over a sequence.

    Args:
        cell: the equations.
        x: inputs [T, B, I]; [B, T, I] with `batch_first`; [N, I] with `batch_sizes` or `offsets`.
        states: the first is h [B, P], the others [B, H].
        weights: of one layer and direction.
        batch_sizes: rows of the batch at each step [T], never increasing, int64 on the CPU, as in PackedSequence.
            None: every row has all T steps.
        lengths: how many steps each row of padded x has [B], from 0 to T, in any order, int64 on the CPU.
        offsets: x holds the steps of row b at offsets[b] .. offsets[b+1] - 1 [B+1], int64 on the CPU.
        reverse: run from the last step to the first; each row starts at its own last step.
        batch_first: x and y are [B, T, ...]; without effect on the states.
        resets: bool, shaped as x without its last place: where true, the sequence is parted before the step, and the
            states are not those of the step before, which no gradient reaches from there, but `restored`. In reverse
            the parts are the same, each run from its end; the states of the last part start it there as ever.
        restored: shaped as `states`. Default zeros.
        padding_value: what y, and all that is returned of every step, holds beyond a row's length.
        return_states: return every step's states too.
        return_gates: return every step's gates too: what the rows are after their functions, where they have one that
            does not give a new state itself.
        bfloat16: the matrix products, forward and backward, are of operands rounded to bfloat16.
        noise: the cell's masks, one of h where R multiplies it, and one of R. Default: nothing is drawn.

    Returns:
        y, every step's h, shaped as x with P in the last place and in x's order of time; and each row's states after
        the last step that was run for it, which are those it started from if there was none. With `return_states` or
        `return_gates` also a dict of every step's states but h, and gates, by name, each shaped as y, H wide; gates in
        the order of the blocks of W, then of R.

    Raises:
        ValueError: shapes that do not belong together, or no steps at all.
    """
    layout = Layout(
        batch_sizes,
        lengths,
        offsets,
        reverse,
        batch_first,
        resets,
        padding_value,
        return_states,
        return_gates,
        bfloat16,
        noise,
    )
    check_shapes(cell, x, states, weights, layout, restored)
    restored = restored or tuple(torch.zeros_like(s) for s in states)
    weights = _drop_weights(weights, noise)
    run = _scan_ragged if layout.is_ragged else _scan_packed if layout.is_flat else _scan_dense
    shown, states = run(cell, x, states, weights, layout, restored)
    y = shown.pop(cell.states[0])
    return (y, states, shown) if layout.shows else (y, states)


def _scan_dense(cell, x, states, weights, layout, restored):
    """A dense sequence is packed data whose batch never shrinks."""
    x = x.transpose(0, 1) if layout.batch_first else x
    T, B, _ = x.shape
    if layout.resets is not None:
        layout = layout._replace(resets=(layout.resets.T if layout.batch_first else layout.resets).flatten())
    packed = layout._replace(batch_sizes=torch.full((T,), B))
    shown, states = _scan_packed(cell, x.flatten(0, 1), states, weights, packed, restored, [B] * T)
    shown = {name: s.unflatten(0, (T, B)) for name, s in shown.items()}
    return {name: s.transpose(0, 1) if layout.batch_first else s for name, s in shown.items()}, states


def _scan_ragged(cell, x, states, weights, layout, restored):
    """Pack, run, and put everything back where it belongs."""
    sizes, places, rows = packed_order(layout, x)
    pairs = x if layout.is_flat else x.flatten(0, 1)
    states, restored = (tuple(s[rows] for s in given) for given in (states, restored))
    packed = layout if layout.resets is None else layout._replace(resets=layout.resets.flatten()[places])
    packed = packed if layout.noise is None else packed._replace(noise=layout.noise._replace(rows=rows))
    shown, states = _scan_packed(cell, pairs[places], states, weights, packed, restored, sizes)
    whence = places.new_full((len(pairs),), len(places)).index_put(
        (places,), torch.arange(len(places), device=x.device)
    )
    shown = {
        name: torch.cat([s, s.new_full((1, s.shape[1]), layout.padding_value)])[whence] for name, s in shown.items()
    }
    return {name: s.unflatten(0, x.shape[:-1]) for name, s in shown.items()}, tuple(s[rows.argsort()] for s in states)


def _scan_packed(cell, x, states, weights, layout, restored, sizes=None):
    """The one loop over time: every step's h and what else is shown, by name, and the states at the end."""
    sizes = layout.batch_sizes.tolist() if sizes is None else sizes
    linear = _linear(layout)
    from_x = _from_x(cell, x, weights, linear).split(sizes)
    parted = [None] * len(sizes) if layout.resets is None else layout.resets.split(sizes)
    ts = range(len(sizes))
    if layout.reverse:  # before step t what parts it from step t + 1, which is run first
        from_x, parted, ts = from_x[::-1], (None, *parted[:0:-1]), ts[::-1]
    steps = []
    for t, step, part in zip(ts, from_x, parted):
        n = len(step)  # the rows of the batch that have this step; the others keep their states
        before = tuple(s[:n] for s in (states if part is None else _restore(states, part, restored)))
        new, gates = _step(cell, step, before, weights, linear, layout, t)
        states = tuple(torch.cat([s_new, s[n:]]) if n < len(s) else s_new for s_new, s in zip(new, states))
        steps.append(dict(zip(cell.states, new if layout.return_states else new[:1])) | gates)
    steps = steps or [_no_step(cell, x, weights, layout)]
    return {name: torch.cat([s[name] for s in (steps[::-1] if layout.reverse else steps)]) for name in steps[0]}, states


def _from_x(cell, x, weights, linear):
    """W x + b_x, normalised first where the cell says so: x [N, I] -> [N, len(from_x)*H]."""
    if not cell.normed:
        return linear(x, weights.W, weights.b_x)
    gain = weights.c[: len(weights.W)]
    return _plus(gain * layer_norm(linear(x, weights.W)), weights.b_x)


def _from_h(cell, h, weights, linear):
    """R h + b_h, normalised first where the cell says so: h [n, P] -> [n, len(from_h)*H]."""
    if not cell.normed:
        return linear(h, weights.R, weights.b_h)
    gain = weights.c[len(weights.W) :][: len(weights.R)]
    return _plus(gain * layer_norm(linear(h, weights.R)), weights.b_h)


def _plus(a, bias):
    return a if bias is None else a + bias


def _no_step(cell, x, weights, layout):
    """What is shown of a batch without steps."""
    H, P = weights.W.shape[0] // len(cell.from_x), width_of_h(cell, weights)
    names = (*(cell.states[1:] if layout.return_states else ()), *(gates_of(cell) if layout.return_gates else ()))
    return {cell.states[0]: x.new_empty(0, P)} | {name: x.new_empty(0, H) for name in names}


def _restore(states, part, restored):
    """The states, but where `part` [n] is true for one of the first n rows, those that are restored."""
    n = len(part)
    chosen = (torch.where(part[:, None], r[:n], s[:n]) for r, s in zip(restored, states))
    return tuple(torch.cat([c, s[n:]]) for c, s in zip(chosen, states))


def _linear(layout):
    """The matrix product, with its bias."""
    return bfloat16.linear if layout.bfloat16 else functional.linear


def _step(cell, from_x, states, weights, linear, layout, t):
    """Step t of n rows: from_x [n, len(from_x)*H] and the states before -> the states after it, and the gates."""
    H = weights.W.shape[0] // len(cell.from_x)
    masks, fed_back = _draw(layout.noise, t, states[0], H)
    fed = dict(zip(cell.from_x, from_x.split(H, dim=1)))
    by_name = dict(zip(cell.states, (fed_back, *states[1:])))
    back = fed_back if len(cell.fed) == 1 else torch.cat([by_name[name] for name in cell.fed], 1)
    for row, from_h in zip(cell.from_h, _from_h(cell, back, weights, linear).split(H, dim=1)):
        fed[row] = fed[row] + from_h if row in fed else from_h
    rows = tuple(fed[row] for row in cell.rows)
    per_unit = () if weights.c is None else weights.c.split(H)
    if weights.P is not None:  # its equations do not use h, which is narrower, but may name it
        states = (rows[0].new_zeros(rows[0].shape), *states[1:])
    (h, *others), gates = _call(cell, layout, t, rows, states, *cell.more_arguments(per_unit, masks))
    return (h if weights.P is None else linear(h, weights.P), *others), gates


def _call(cell, layout, t, rows, *rest):
    """The cell's step on its arguments: the new states, and the gates where they are asked for."""
    run = step_with_gates if layout.return_gates else lambda cell, *arguments: (cell.step(*arguments), {})
    if torch.compiler.is_compiling():
        return run(cell, rows, *rest)
    try:
        new, gates = run(cell, rows, *rest)
    except Exception as error:  # a person's function may raise anything: it passes through, and is told apart
        add_note(error, f"raised by the cell {cell.name!r} at step {t} of the sequence")
        raise
    at = f"cell {cell.name!r}: at step {t} of the sequence it returns"
    if not isinstance(new, tuple):
        raise TypeError(f"{at} a {type(new).__name__}, expected a tuple of the states ({', '.join(cell.states)})")
    if len(new) != len(cell.states):
        raise ValueError(f"{at} {len(new)} values, expected the {len(cell.states)} states ({', '.join(cell.states)})")
    for name, state in zip(cell.states, new):
        if state.shape != rows[0].shape:
            raise ValueError(f"{at} the state {name} {list(state.shape)}, expected {list(rows[0].shape)}")
    return new, gates


def _drop_weights(weights, noise):
    """The weights, of R without those that are dropped in this call."""
    if noise is None or noise.weights is None:
        return weights
    R = weights.R
    rows = torch.arange(R.shape[0], device=R.device)
    return weights._replace(R=R * draw(noise, noise.weights, RECURRENT_WEIGHTS, 0, rows, R.shape[1], R))


def _draw(noise, t, h, H):
    """The cell's masks at step t, None for those where nothing is drawn; and h [n, P] as R multiplies it."""
    if noise is None:
        return None, h
    rows = torch.arange(len(h), device=h.device) if noise.rows is None else noise.rows[: len(h)].to(h.device)
    masks = [draw(noise, mask, k, t, rows, H, h) for k, mask in enumerate(noise.masks)] or None
    return masks, h if noise.fed_back is None else draw(noise, noise.fed_back, FED_BACK, 0, rows, h.shape[1], h) * h
