"""Rows that belong together: grouped by a column of ids, sorted by time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carrousel.data.tables.columns import Texts
from carrousel.data.tables.table import Table
from carrousel.data.tables.times import Times
from carrousel.errors import UserError

MOVED = "rows in another order than their times (sorted)"


def check_ids(table: Table, column: str, ids: Texts) -> None:
    """Raise an error if there are no rows, or one has no id.

    Raises:
        UserError: says which.
    """
    if not len(ids.codes):
        raise UserError(f"{table.path} has no rows after its header: add a row for each step")
    if "" in ids.words:
        row = int(np.argmax(ids.codes == ids.words.index("")))
        raise UserError(
            f"{table.path} {table.place(row)}, column {column!r}: the id is missing: complete it, or remove the row"
        )


def sort_rows(table: Table, column: str | None, ids: Texts, times: Times | None) -> tuple[NDArray[np.int64], int]:
    """The rows by sequence, and by time in each [N], and how many of them the times moved.

    Args:
        table: for messages.
        column: the name of the column of ids; None: all rows have the same.
        ids: of the rows.
        times: of the rows; None: they stay in the file's order.

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
        subject = f"{column} {ids.words[codes[first]]!r} has" if column else "there is"
        raise UserError(
            f"{table.path}: {subject} the time {times.spell(values[first].item())} twice, at "
            f"{table.place(one)} and {table.place(other)}{more}: remove one of them, or correct its time"
        )
    return order, int(np.count_nonzero(grouped != order))


def texts_by_id(table: Table, column: str, ids: Texts, texts: Texts, what: str) -> list[str]:
    """The one text that all rows of an id have in a column [B], or that are not empty; "" if all are.

    Args:
        table: for messages.
        column: the name of the column.
        ids: the ids of the rows.
        texts: the texts of the rows.
        what: what the text is called in messages: "label".

    Raises:
        UserError: an id has two texts.
    """
    rows = np.arange(len(ids.codes))
    if "" in texts.words:
        rows = rows[texts.codes != texts.words.index("")]
    first = np.full(len(ids.words), -1)
    first[ids.codes[rows][::-1]] = rows[::-1]  # the last one written is the first row
    other = rows[texts.codes[rows] != texts.codes[first[ids.codes[rows]]]]
    if other.size:
        rows = np.array([first[ids.codes[other[0]]], other[0]])
        spelled = " and ".join(f"{texts.words[texts.codes[row]]!r} at {table.place(int(row))}" for row in rows)
        name = ids.words[ids.codes[other[0]]]
        raise UserError(
            f"{table.path}, column {column!r}: {name!r} has the {what} {spelled}: give all rows of an "
            f"id the same {what}, or name another column of ids"
        )
    return ["" if row < 0 else texts.words[texts.codes[row]] for row in first.tolist()]


def reorder(values: NDArray[np.float32], order: NDArray[np.int64]) -> NDArray[np.float32]:
    """The rows of an array in this order, in the same memory: only one column is copied at a time."""
    if len(order) == len(values) and bool((order[1:] > order[:-1]).all()):
        return values
    for column in range(values.shape[1]):
        values[: len(order), column] = values[order, column]
    return values if len(order) == len(values) else values[: len(order)]
