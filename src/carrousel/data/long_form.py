"""Sequences from a table in long form: a row for each step, a column that says which sequence it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carrousel.data.sequences import Sequences
from carrousel.data.tables.columns import Texts, choose_columns, read_columns
from carrousel.data.tables.table import Table
from carrousel.data.tables.times import Times
from carrousel.errors import UserError

MOVED = "rows in another order than their times (sorted)"
UNLABELLED = "sequences without a label"


def read_long_form(
    table: Table,
    *,
    id: str,
    time: str | None = None,
    label: str | None = None,
    channels: Sequence[str] = (),
    ignore: Sequence[str] = (),
    time_format: str | None = None,
) -> Sequences:
    """The sequences of a table, in the order in which their ids first appear.

    Args:
        table: from `open_table`.
        id: the column that says to which sequence a row belongs; taken as text, "007" is not "7".
        time: the column of times, by which the steps of a sequence are sorted; None: they stay in the file's order.
        label: the column with the sequence's label, the same in all its rows, or empty in some.
        channels: the columns of the values; empty: all others.
        ignore: columns that are left out.
        time_format: how dates are written, as for `datetime.strptime`; None: find it.

    Raises:
        UserError: a column is missing or is not a number, an id has a time twice or two labels; says which rows.
    """
    channels = choose_columns(table, {"--id": id, "--time": time, "--label": label}, channels, ignore, "--channels")
    texts, times = [id, *([label] if label else [])], [time] if time else []
    columns = read_columns(table, channels, texts, times, time_format)
    ids = columns.texts[id]
    check_ids(table, id, ids)
    order, moved = sort_rows(table, id, ids, columns.times[time] if time else None)
    labels = None if label is None else labels_of(table, label, ids, columns.texts[label])
    has_label = np.ones(len(ids.words), np.bool_) if labels is None else np.array([name != "" for name in labels])
    order = order[has_label[ids.codes[order]]]
    sequences = np.flatnonzero(has_label).tolist()
    skipped = {MOVED: moved, UNLABELLED: len(has_label) - len(sequences)}
    return Sequences(
        reorder(columns.numbers, order),
        np.bincount(ids.codes, minlength=len(ids.words))[has_label].astype(np.int64),
        None if labels is None else tuple(labels[number] for number in sequences),
        tuple(f"id {ids.words[number]}" for number in sequences),
        channels,
        {reason: count for reason, count in skipped.items() if count},
    )


def check_ids(table: Table, column: str, ids: Texts) -> None:
    """Raise an error if there are no rows, or one has no id.

    Raises:
        UserError: says which.
    """
    if not len(ids.codes):
        raise UserError(f"{table.path} has no rows after its header: add a row for each step of a sequence")
    if "" in ids.words:
        row = int(np.argmax(ids.codes == ids.words.index("")))
        raise UserError(
            f"{table.path} {table.place(row)}, column {column!r}: the id is missing: complete it, or remove the row"
        )


def sort_rows(table: Table, column: str, ids: Texts, times: Times | None) -> tuple[NDArray[np.int64], int]:
    """The rows by sequence, and by time in each [N], and how many of them the times moved.

    Raises:
        UserError: a sequence has a time twice.
    """
    grouped = np.argsort(ids.codes, kind="stable")
    if times is None:
        return grouped, 0
    order = np.lexsort((times.values, ids.codes))
    codes, values = ids.codes[order], times.values[order]
    twice = np.flatnonzero((codes[1:] == codes[:-1]) & (values[1:] == values[:-1]))
    if twice.size:
        first = int(twice[0])
        one, other = sorted(order[first : first + 2].tolist())
        more = f" ({twice.size} rows in all repeat a time)" if twice.size > 1 else ""
        raise UserError(
            f"{table.path}: {column} {ids.words[codes[first]]!r} has the time {times.spell(values[first].item())} "
            f"twice, at {table.place(one)} and {table.place(other)}{more}: remove one of them, or correct its time"
        )
    return order, int(np.count_nonzero(grouped != order))


def labels_of(table: Table, column: str, ids: Texts, labels: Texts) -> list[str]:
    """The label of each sequence [B]; "" if it has none.

    Raises:
        UserError: a sequence has two labels.
    """
    rows = np.arange(len(ids.codes))
    if "" in labels.words:
        rows = rows[labels.codes != labels.words.index("")]
    first = np.full(len(ids.words), -1)
    first[ids.codes[rows][::-1]] = rows[::-1]  # the last one written is the first row
    other = rows[labels.codes[rows] != labels.codes[first[ids.codes[rows]]]]
    if other.size:
        rows = np.array([first[ids.codes[other[0]]], other[0]])
        spelled = " and ".join(f"{labels.words[labels.codes[row]]!r} at {table.place(int(row))}" for row in rows)
        name = ids.words[ids.codes[other[0]]]
        raise UserError(
            f"{table.path}, column {column!r}: {name!r} has the label {spelled}: give all rows of a "
            "sequence the same label, or name an id that is different for the two"
        )
    return ["" if row < 0 else labels.words[labels.codes[row]] for row in first.tolist()]


def reorder(values: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.float32]:
    """The rows of an array in this order, in the same memory: only one column is copied at a time."""
    if len(order) == len(values) and bool((order[1:] > order[:-1]).all()):
        return values
    for column in range(values.shape[1]):
        values[: len(order), column] = values[order, column]
    return values[: len(order)]
