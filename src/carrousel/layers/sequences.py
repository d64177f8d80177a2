"""Check the lengths, offsets, resets and initial states that the caller of a layer gives, and make `Rows` of them.

Letters: T time, B batch, I input, H hidden units, P the width of h, L layers, D directions, N (step, row) pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from carrousel.cells import Cell
from carrousel.layers.checks import check_dense, check_dense_states, check_flag, check_same_device
from carrousel.scan.options import PLAIN, Options
from carrousel.scan.rows import Rows, check_resets, check_rows, to_int64


def make_rows(
    x: Tensor,
    batch_first: bool,
    lengths: Tensor | Sequence[int] | None,
    offsets: Tensor | Sequence[int] | None,
    resets: Tensor | None,
    padding_value: float,
) -> Rows:
    """Where the rows lie in x [T, B, I], [B, T, I] with `batch_first`, or [N, I] with `offsets`.

    Raises:
        TypeError, ValueError: an argument does not fit x.
        RuntimeError: a tensor is sparse, nested or in oneDNN's layout.
    """
    check_padding(padding_value, lengths)
    for name, given in (("input", x), ("lengths", lengths), ("offsets", offsets), ("resets", resets)):
        check_dense(name, given)
    rows = Rows(
        lengths=None if lengths is None else to_int64("lengths", lengths),
        offsets=None if offsets is None else to_int64("offsets", offsets),
        batch_first=batch_first and offsets is None,
        resets=resets,
        padding_value=float(padding_value),
    )
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        # the numbers are not known yet: the operator checks them
        check_resets(resets, x.shape[:-1])
    else:
        check_rows(x, rows)
    return move_resets(rows, x)


def make_rows_of_packed(
    packed: PackedSequence, batch_first: bool, lengths: Any, offsets: Any, resets: Tensor | None
) -> Rows:
    """Where the rows lie in packed data, whose resets are those of the padded form: [T, B], or [B, T].

    Raises:
        TypeError, ValueError: the resets do not fit, or lengths or offsets are given.
    """
    if lengths is not None or offsets is not None:
        name = "lengths" if offsets is None else "offsets"
        raise ValueError(f"{name} is given with a PackedSequence, which has its lengths already: leave it out")
    x, batch_sizes, order, _ = packed
    if resets is None:
        return Rows(batch_sizes=batch_sizes)
    check_dense("resets", resets)
    T, B = len(batch_sizes), _rows(batch_sizes, resets, batch_first)
    check_resets(resets, (B, T) if batch_first else (T, B))
    by_time = resets.T if batch_first else resets
    by_length = by_time if order is None else by_time.index_select(1, order.to(resets.device))
    exists = (torch.arange(B) < batch_sizes[:, None]).flatten()
    # not by a boolean mask, with which a compiler's graph would have no fixed size
    places = exists.argsort(descending=True, stable=True)[: len(x)]
    return move_resets(Rows(batch_sizes=batch_sizes, resets=by_length.flatten()[places.to(resets.device)]), x)


def _rows(batch_sizes: Tensor, resets: Tensor, batch_first: bool) -> int:
    """B: while compiling, when no number is known, that of the resets, which the graph then checks."""
    if not torch.compiler.is_compiling():
        return int(batch_sizes[0])
    B = resets.shape[0 if batch_first else 1]
    torch._assert_async(batch_sizes[0] == B, f"resets has {B} rows, but the packed input does not")  # type: ignore
    return B


def make_rows_of_one(x: Tensor, batch_first: bool, lengths: Any, resets: Tensor | None) -> Rows:
    """Where the row lies in x [T, I], as a batch of one, with resets [T].

    Raises:
        TypeError, ValueError: the resets do not fit, or lengths are given.
    """
    if lengths is not None:
        raise ValueError("lengths is given with an input without a batch, which has the length T: leave it out")
    check_dense("input", x)
    check_dense("resets", resets)
    check_resets(resets, x.shape[:1])
    batch = 0 if batch_first else 1
    return move_resets(Rows(batch_first=batch_first, resets=None if resets is None else resets.unsqueeze(batch)), x)


def check_padding(padding_value: Any, lengths: Any) -> None:
    """Raise if it is not a number, infinite or NaN too, or if there is nothing to pad.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not the default, and there are no lengths.
    """
    if not isinstance(padding_value, Real):
        raise TypeError(f"padding_value={padding_value!r} must be a number")
    if lengths is None and padding_value != 0:
        raise ValueError(
            f"padding_value={padding_value} is given without lengths: no row ends before the others, so there is "
            "nothing to pad; leave it out, or give lengths="
        )


def make_options(return_states: bool, return_gates: bool) -> Options:
    """The options of a call that returns states or gates of every step.

    Raises:
        TypeError: an argument is neither True nor False.
    """
    if return_states is False and return_gates is False:
        return PLAIN
    check_flag("return_states", return_states)
    check_flag("return_gates", return_gates)
    return Options(return_states, return_gates)


def move_resets(rows: Rows, x: Tensor) -> Rows:
    """Move the resets to the device of x.

    Raises:
        ValueError: they are on the meta device, and x is not.
    """
    if rows.resets is not None and rows.resets.is_meta and not x.is_meta:
        raise ValueError(f"resets is on the meta device, where tensors have no values, and the input on {x.device}")
    return rows if rows.resets is None else rows._replace(resets=rows.resets.to(x.device))


def as_tuple(states: Any) -> tuple[Any, ...]:
    """The states as a tuple, for a cell with one state too."""
    return tuple(states) if isinstance(states, (tuple, list)) else (states,)


def check_initial(cell: Cell, sizes: Sequence[tuple[int, ...]], initial: Any, B: int, x: Tensor) -> tuple[Tensor, ...]:
    """Check the argument `initial`, states [L*D, 1 or B, .]; return it as a tuple.

    Args:
        cell: of the layer.
        sizes: of each state, without B, the second.
        initial: the argument.
        B: rows of the batch.
        x: the input, whose dtype and device the states must have.

    Raises:
        ValueError: their number, sizes or dtype do not fit the layer.
        RuntimeError: they are on another device.
    """
    check_dense_states(cell, "initial", initial)
    states, names = as_tuple(initial), cell.states
    if len(states) != len(sizes):
        raise ValueError(f"initial has {len(states)} states, the cell {cell.name} has {len(sizes)}: {names}")
    for name, state, (places, *width) in zip(names, states, sizes):
        if not isinstance(state, Tensor) or state.shape not in ((places, 1, *width), (places, B, *width)):
            got = list(state.shape) if isinstance(state, Tensor) else type(state).__name__
            expected = [places, B, *width]
            raise ValueError(f"initial {name} has shape {got}, expected {expected}, or 1 in place of {B}")
        check_same_device("initial", x, state)
        if state.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"initial {name} has dtype {state.dtype}, the input {x.dtype}: convert one with .to()")
    return states
