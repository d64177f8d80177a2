"""Sequences from a table in long form: a row for each step, a column that says which sequence it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from carrousel.data.sequences import WITHOUT_LABEL, Sequences
from carrousel.data.tables.columns import choose_columns, read_columns
from carrousel.data.tables.grouped_rows import MOVED, check_ids, reorder, sort_rows, texts_by_id
from carrousel.data.tables.open_table import open_table
from carrousel.data.tables.table import Table
from carrousel.errors import UserError


def read_table(
    path: str | Path,
    encoding: str = "utf-8",
    id: str | None = None,
    time: str | None = None,
    label: str | None = None,
    needs_label: bool = True,
) -> Sequences:
    """The sequences of a file in long form, by the options of a command.

    Args:
        path: of a CSV or Parquet file.
        encoding, id, time, label: as for `open_table` and `read_long_form`.
        needs_label: whether the file must have the column of labels.

    Raises:
        UserError: the file cannot be read, `id` is not given, or as `read_long_form`.
    """
    table = open_table(path, encoding=encoding)
    if id is None:
        raise UserError(
            f"{path} is a table, and nothing says which rows are a sequence: name the column with --id "
            f"(columns: {', '.join(table.columns)})"
        )
    if not needs_label and label not in table.columns:
        label = None
    return read_long_form(table, id=id, time=time, label=label)


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
    order, moved = sort_rows(table, id, ids, columns.times.get(time or ""))
    labels = None if label is None else texts_by_id(table, label, ids, columns.texts[label], "label")
    has_label = np.ones(len(ids.words), np.bool_) if labels is None else np.array([name != "" for name in labels])
    order = order[has_label[ids.codes[order]]]
    sequences = np.flatnonzero(has_label).tolist()
    skipped = {MOVED: moved, WITHOUT_LABEL: len(has_label) - len(sequences)}
    return Sequences(
        reorder(columns.numbers, order),
        np.bincount(ids.codes, minlength=len(ids.words))[has_label].astype(np.int64),
        None if labels is None else tuple(labels[number] for number in sequences),
        tuple(f"id {ids.words[number]}" for number in sequences),
        channels,
        {reason: count for reason, count in skipped.items() if count},
    )
