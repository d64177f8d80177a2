"""Any cell over time in plain torch: the specification of the kernels, and the fallback where there is none.

Slow and obviously right: any device and dtype, twice differentiable. Letters: T time, B batch, I input, H hidden units,
P the width of h (H, or the projection's), N (step, row) pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from carrousel.cells import Cell, layer_norm
from carrousel.errors import add_note
from carrousel.scan import bfloat16
from carrousel.scan.gates import gates_of, step_with_gates
from carrousel.scan.masks import FED_BACK, RECURRENT_WEIGHTS, sample_mask
from carrousel.scan.options import PLAIN, Options
from carrousel.scan.rows import DENSE, Rows, pack_order
from carrousel.scan.weights import Weights, check_shapes, width_of_h


def scan(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows = DENSE,
    options: Options = PLAIN,
    restored: tuple[Tensor, ...] = (),
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor] | None]:
    """Run a cell over a sequence.

    Args:
        cell: the equations.
        x: inputs [T, B, I], or as `rows` says.
        states: the initial states: h [B, P], the others [B, H].
        weights: of one layer and direction.
        rows: where the rows of the batch lie in x. Default: x is [T, B, I].
        options: what the call asks for. Default: y and the final states only.
        restored: the states that resets restore, shaped as `states`. Default: zeros.

    Returns:
        y, the h of every step, shaped as x with P in the last dimension; each row's states after its last step, or its
        initial states if it has no step; and None, or what `options` asks for of every step: a dict of the states but
        h, and of the gates in the order of the blocks of W, then of R, each shaped as y with H in the last dimension.

    Raises:
        ValueError: shapes do not fit together, or there are no steps.
    """
    check_shapes(cell, x, states, weights, rows, options, restored)
    restored = restored or tuple(torch.zeros_like(s) for s in states)
    weights = _mask_weights(weights, options)
    run = _scan_ragged if rows.is_ragged else _scan_packed if rows.is_flat else _scan_dense
    inside, states = run(cell, x, states, weights, rows, options, restored)
    y = inside.pop(cell.states[0])
    return y, states, inside if options.asks_inside else None


def _scan_dense(cell, x, states, weights, rows, options, restored):
    """A dense batch is packed data with the same number of rows at each step."""
    x = x.transpose(0, 1) if rows.batch_first else x
    T, B, _ = x.shape
    if rows.resets is not None:
        rows = rows._replace(resets=(rows.resets.T if rows.batch_first else rows.resets).flatten())
    packed = rows._replace(batch_sizes=torch.full((T,), B))
    inside, states = _scan_packed(cell, x.flatten(0, 1), states, weights, packed, options, restored, [B] * T)
    inside = {name: s.unflatten(0, (T, B)) for name, s in inside.items()}
    return {name: s.transpose(0, 1) if rows.batch_first else s for name, s in inside.items()}, states


def _scan_ragged(cell, x, states, weights, rows, options, restored):
    """Pack, run, and put every row back."""
    sizes, positions, by_length = pack_order(rows, x)
    pairs = x if rows.is_flat else x.flatten(0, 1)
    states, restored = (tuple(s[by_length] for s in given) for given in (states, restored))
    packed = rows if rows.resets is None else rows._replace(resets=rows.resets.flatten()[positions])
    if options.masks is not None:
        options = options._replace(masks=options.masks._replace(row_numbers=by_length))
    inside, states = _scan_packed(cell, pairs[positions], states, weights, packed, options, restored, sizes)
    source = positions.new_full((len(pairs),), len(positions)).index_put(
        (positions,), torch.arange(len(positions), device=x.device)
    )
    inside = {
        name: torch.cat([s, s.new_full((1, s.shape[1]), rows.padding_value)])[source] for name, s in inside.items()
    }
    states = tuple(s[by_length.argsort()] for s in states)
    return {name: s.unflatten(0, x.shape[:-1]) for name, s in inside.items()}, states


def _scan_packed(cell, x, states, weights, rows, options, restored, sizes=None):
    """The loop over time: by name, h and what else is returned of every step; and the states at the end."""
    sizes = rows.batch_sizes.tolist() if sizes is None else sizes
    from_x = _from_x(cell, x, weights, options).split(sizes)
    resets = [None] * len(sizes) if rows.resets is None else rows.resets.split(sizes)
    ts = range(len(sizes))
    if rows.reverse:  # the reset of step t + 1 splits it from step t, which runs after it
        from_x, resets, ts = from_x[::-1], (None, *resets[:0:-1]), ts[::-1]
    steps = []
    for t, step, reset in zip(ts, from_x, resets):
        n = len(step)  # the rows of the batch that have this step; the states of the others stay
        before = tuple(s[:n] for s in (states if reset is None else _restore(states, reset, restored)))
        new, gates = _step(cell, step, before, weights, options, t)
        states = tuple(torch.cat([s_new, s[n:]]) if n < len(s) else s_new for s_new, s in zip(new, states))
        steps.append(dict(zip(cell.states, new if options.states else new[:1])) | gates)
    steps = steps or [_no_step(cell, x, weights, options)]
    return {name: torch.cat([s[name] for s in (steps[::-1] if rows.reverse else steps)]) for name in steps[0]}, states


def _from_x(cell, x, weights, options):
    """W x + b_x, where the cell says so with W x normalised: x [N, I] -> [N, len(from_x)*H]."""
    linear = _linear(options)
    if not cell.normed:
        return linear(x, weights.W, weights.b_x)
    gain = weights.c[: len(weights.W)]
    return _add_bias(gain * layer_norm(linear(x, weights.W)), weights.b_x)


def _from_h(cell, h, weights, options):
    """R h + b_h, where the cell says so with R h normalised: h [n, P] -> [n, len(from_h)*H]."""
    linear = _linear(options)
    if not cell.normed:
        return linear(h, weights.R, weights.b_h)
    gain = weights.c[len(weights.W) :][: len(weights.R)]
    return _add_bias(gain * layer_norm(linear(h, weights.R)), weights.b_h)


def _add_bias(a, bias):
    return a if bias is None else a + bias


def _no_step(cell, x, weights, options):
    """What is returned of a batch without steps."""
    H, P = weights.W.shape[0] // len(cell.from_x), width_of_h(cell, weights)
    names = (*(cell.states[1:] if options.states else ()), *(gates_of(cell) if options.gates else ()))
    return {cell.states[0]: x.new_empty(0, P)} | {name: x.new_empty(0, H) for name in names}


def _restore(states, reset, restored):
    """The states, of those of the first n rows where `reset` [n] is true the restored ones."""
    n = len(reset)
    chosen = (torch.where(reset[:, None], r[:n], s[:n]) for r, s in zip(restored, states))
    return tuple(torch.cat([c, s[n:]]) for c, s in zip(chosen, states))


def _linear(options):
    """The matrix product, with its bias."""
    return bfloat16.linear if options.bfloat16 else functional.linear


def _step(cell, from_x, states, weights, options, t):
    """Step t of n rows: from_x [n, len(from_x)*H] and the states before it -> the states after it, and the gates."""
    H = weights.W.shape[0] // len(cell.from_x)
    masks, fed_back = _sample_masks(options.masks, t, states[0], H)
    fed = dict(zip(cell.from_x, from_x.split(H, dim=1)))
    by_name = dict(zip(cell.states, (fed_back, *states[1:])))
    back = fed_back if len(cell.fed) == 1 else torch.cat([by_name[name] for name in cell.fed], 1)
    for row, from_h in zip(cell.from_h, _from_h(cell, back, weights, options).split(H, dim=1)):
        fed[row] = fed[row] + from_h if row in fed else from_h
    rows = tuple(fed[row] for row in cell.rows)
    per_unit = () if weights.c is None else weights.c.split(H)
    if weights.P is not None:  # the equations do not use h, which is narrower, but may name it
        states = (rows[0].new_zeros(rows[0].shape), *states[1:])
    (h, *others), gates = _call_step(cell, options, t, rows, states, *cell.more_arguments(per_unit, masks))
    return (h if weights.P is None else _linear(options)(h, weights.P), *others), gates


def _call_step(cell, options, t, rows, *rest):
    """The new states, checked, and the gates if they are asked for."""
    run = step_with_gates if options.gates else lambda cell, *arguments: (cell.step(*arguments), {})
    if torch.compiler.is_compiling():
        return run(cell, rows, *rest)
    try:
        new, gates = run(cell, rows, *rest)
    except Exception as error:  # a person's function may raise anything: it passes through, with a note
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


def _mask_weights(weights, options):
    """The weights, with R multiplied by its mask."""
    masks = options.masks
    if masks is None or masks.of_weights is None:
        return weights
    R = weights.R
    rows = torch.arange(R.shape[0], device=R.device)
    return weights._replace(R=R * sample_mask(masks, masks.of_weights, RECURRENT_WEIGHTS, 0, rows, R.shape[1], R))


def _sample_masks(masks, t, h, H):
    """The cell's masks at step t, None if none is sampled; and h [n, P] as R multiplies it."""
    if masks is None:
        return None, h
    rows = torch.arange(len(h), device=h.device)
    if masks.row_numbers is not None:
        rows = masks.row_numbers[: len(h)].to(h.device)
    of_cell = [sample_mask(masks, mask, k, t, rows, H, h) for k, mask in enumerate(masks.of_cell)] or None
    if masks.fed_back is None:
        return of_cell, h
    return of_cell, sample_mask(masks, masks.fed_back, FED_BACK, 0, rows, h.shape[1], h) * h
