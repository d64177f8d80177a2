"""The series of files, by the options that name columns; and whether they fit a trained model."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.growing_array import GrowingArray
from carrousel.data.series import Series, read_series
from carrousel.data.tables.grouped_rows import reorder
from carrousel.data.tables.open_table import open_table
from carrousel.data.text import STDIN
from carrousel.errors import UserError


def split_names(text: str | None, option: str) -> tuple[str, ...]:
    """The names of columns in an option, with commas between; a name with a comma stands in double quotes.

    Raises:
        UserError: a name is empty, or stands there twice.
    """
    if text is None:
        return ()
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []))
    if not names or not all(names) or len(set(names)) != len(names):
        raise UserError(f"{option} {text!r} is not a list of columns: give different names with commas between")
    return names


def read_file(file: str, reading: dict[str, Any]) -> Series:
    """The series of a table.

    Args:
        file: its name.
        reading: options of `open_table` and `read_series`.

    Raises:
        UserError: it cannot be read.
    """
    if file == STDIN:
        raise UserError("- is stdin, and tables are read from files only: save the table, and name its file")
    table = open_table(file, encoding=reading["encoding"], decimal=reading["decimal"])
    return read_series(table, **{name: value for name, value in reading.items() if name not in ("encoding", "decimal")})


def read_files(files: Sequence[str], reading: dict[str, Any]) -> Series:
    """The series of several tables, one table after another.

    Raises:
        UserError: one cannot be read, has other columns or another step, or a series of another one.
    """
    if len(files) == 1:
        return read_file(files[0], reading)
    parts: list[Series] = []
    values = GrowingArray(np.float32)
    for file in files:
        part = read_file(file, reading)
        if parts:
            require_same(part, file, parts[0], files[0])
        values.add(part.values.ravel())
        parts.append(replace(part, values=part.values[:0].copy()))
    names = [name for part in parts for name in part.names]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"the series {twice!r} is in two files: name each file once, or join its rows in one file")
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    first = parts[0]
    return replace(
        first,
        values=values.finish().reshape(-1, len(first.columns)),
        lengths=np.concatenate([part.lengths for part in parts]),
        names=tuple(names),
        static={key: tuple(text for part in parts for text in part.static[key]) for key in first.static},
        starts=np.concatenate([part.starts for part in parts]),
        skipped=dict(skipped),
    )


def require_same(part: Series, file: str, first: Series, other: str) -> None:
    """Raise an error if two files do not have the same columns and the same step.

    Raises:
        UserError: says what differs.
    """
    if part.columns != first.columns:
        raise UserError(
            f"{file} has the columns {', '.join(part.columns)}, {other} has {', '.join(first.columns)}: name files "
            "with the same columns, or leave columns out with --ignore"
        )
    if (part.step, part.is_date) != (first.step, first.is_date):
        raise UserError(
            f"{file} has a step of {part.step.describe()}, {other} of {first.step.describe()}: name files with the "
            "same step, or resample them with --step"
        )


def require_columns(series: Series, name: str, facts: dict[str, Any]) -> None:
    """Raise an error if series do not fit a trained model.

    Args:
        series: of a file.
        name: of the file.
        facts: of the model's data.

    Raises:
        UserError: says what differs.
    """
    wanted = (*facts["targets"], *facts["known"], *facts["others"])
    if series.columns != wanted:
        raise UserError(
            f"{name} has the columns {', '.join(series.columns)}, the model was trained on {', '.join(wanted)}: name "
            "data with the same columns"
        )
    found = series.step.describe()
    if found != facts["step"] and (series.lengths > 1).any():
        raise UserError(
            f"{name} has a step of {found}, the model was trained on steps of {facts['step']}: name data with the same "
            "step"
        )


def find_ends(series: Series) -> NDArray[np.int64]:
    """How many steps each series has up to the last one with a target [B]; later ones are known for the future."""
    has_target = np.asarray((~np.isnan(series.values[:, : len(series.targets)])).any(1))
    steps = np.arange(len(has_target)) + 1
    last = np.maximum.accumulate(np.where(has_target, steps, 0)) if len(steps) else steps
    ends = np.cumsum(series.lengths)
    return np.maximum(last[ends - 1] - (ends - series.lengths), 0)


def cut(series: Series, first: NDArray[np.int64], stop: NDArray[np.int64]) -> Series:
    """Series without the steps before `first` and from `stop` on [B], in the same memory.

    A series without steps is left out. The values of `series` are overwritten.
    """
    offsets = np.cumsum(series.lengths) - series.lengths
    lengths = stop - first
    if not first.any() and (stop == series.lengths).all():
        return series
    rows = np.repeat(offsets + first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
    chosen = np.flatnonzero(lengths)
    starts = series.starts.copy()
    for index in np.flatnonzero(first):
        starts[index] = series.step.times(series.starts[index].item(), int(first[index]) + 1)[-1]
    return replace(
        series,
        values=reorder(series.values, rows),
        lengths=lengths[chosen],
        names=tuple(series.names[index] for index in chosen),
        static={name: tuple(texts[index] for index in chosen) for name, texts in series.static.items()},
        starts=starts[chosen],
    )
