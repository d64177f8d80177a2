"""Dates and other times as numbers, exactly; dates that can be read in two ways are refused."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.growing_array import GrowingArray
from carrousel.data.libraries import load_library
from carrousel.data.tables.csv_errors import shorten
from carrousel.data.tables.date_formats import EPOCH, EXAMPLES, FORMATS, NUMBERS, Reading, choose_formats
from carrousel.data.tables.table import Table
from carrousel.errors import UserError


@dataclass(frozen=True)
class Times:
    """A column of times.

    values: the time of each row [N]: microseconds since 1970 as int64 for dates, otherwise int64 or float64 numbers.
    is_date: whether they are dates.
    """

    values: NDArray[np.int64] | NDArray[np.float64]
    is_date: bool

    def spell(self, value: int | float) -> str:
        """A time as people write it."""
        return spell_date(int(value)) if self.is_date else f"{value:.15g}"


def spell_date(microseconds: int) -> str:
    """A date, with the time of day unless that is midnight."""
    try:
        date = EPOCH + datetime.timedelta(microseconds=microseconds)
    except OverflowError:
        return f"{microseconds} microseconds after 1970"
    return date.isoformat(" ").removesuffix(" 00:00:00")


class TimeReader:
    """Reads a column of times that arrives in blocks.

    Texts are read in each way that has fitted all rows so far; at the end one must be left.

    Args:
        table: for messages.
        column: its name.
        time_format: how dates are written, as for `datetime.strptime`; None: find it.
    """

    def __init__(self, table: Table, column: str, time_format: str | None = None) -> None:
        self.table = table
        self.column = column
        self.rows: int = 0
        self.formats: dict[str, Callable[[Any], Reading]] = choose_formats(time_format)
        self.arrays: dict[str, GrowingArray] = {}  # the rows so far, by how they were read

    def add(self, times: Any) -> None:
        """Add an Arrow array: strings, integers, floats, dates or timestamps.

        Raises:
            UserError: a time is missing, or cannot be read.
        """
        kind = load_library("pyarrow", "reading dates").types
        is_text = kind.is_string(times.type) or kind.is_large_string(times.type)
        readings = self.read_texts(times) if is_text else self.read_typed(times)
        first = not self.rows
        self.arrays = {
            name: GrowingArray(values.dtype) if first else self.arrays[name] for name, values in readings.items()
        }
        for name, values in readings.items():
            self.arrays[name].add(values)
        self.rows += len(times)

    def read_texts(self, texts: Any) -> dict[str, NDArray[Any]]:
        """A block in each way that fits it and all blocks before."""
        found, most = {}, 0
        for name in self.arrays if self.rows else self.formats:
            values, valid = self.formats[name](texts.fill_null(""))
            if valid.all():
                found[name] = values
            else:
                most = max(most, int(np.argmin(valid)))
        if not found:
            self.refuse(most, texts[most].as_py() or "")
        return found

    def read_typed(self, times: Any) -> dict[str, NDArray[Any]]:
        """A block that has a type: numbers, dates or timestamps of a Parquet file."""
        arrow = load_library("pyarrow", "reading dates")
        if arrow.types.is_integer(times.type) or arrow.types.is_floating(times.type):
            name, wanted = (
                ("integer", arrow.int64()) if arrow.types.is_integer(times.type) else ("decimal", arrow.float64())
            )
        else:
            name, wanted = "date", arrow.timestamp("us", getattr(times.type, "tz", None))
        try:
            times = times.cast(wanted, safe=name != "date")  # dates: nanoseconds are cut off
        except arrow.ArrowInvalid as error:
            raise UserError(f"{self.table.path}, column {self.column!r}: {str(error).splitlines()[0]}") from None
        missing = np.array(times.is_null(nan_is_null=True))
        if missing.any():
            self.refuse(int(np.argmax(missing)), "")
        return {name: times.cast(arrow.int64()).to_numpy() if name == "date" else times.to_numpy()}

    def refuse(self, row: int, text: str) -> None:
        """Raise the error for a time of this block that cannot be read.

        Raises:
            UserError: always.
        """
        problem = f"{shorten(text)} is not a time: "
        if not text.strip():
            problem, remedy = "", "the time is missing: complete it, or remove the row"
        elif self.formats is not FORMATS:
            remedy = f"--time-format is {next(iter(self.formats))!r}: correct either"
        elif self.rows or row:
            remedy = "the rows before have one of another form: correct it, or give --time-format for all"
        else:
            remedy = "give its form with --time-format, for example '%d %b %Y', or name another column with --time"
        place = f"{self.table.path} {self.table.place(self.rows + row)}, column {self.column!r}"
        raise UserError(f"{place}: {problem}{remedy}")

    def finish(self) -> Times:
        """The whole column.

        Raises:
            UserError: two orders of day, month and year fit, and give different dates.
        """
        arrays = {name: array.finish() for name, array in self.arrays.items()}
        if not arrays:
            return Times(np.empty(0, np.int64), False)
        name, *others = arrays
        for other in (each for each in others if each in EXAMPLES or each.removesuffix(" with zone") in EXAMPLES):
            different = np.flatnonzero(arrays[name] != arrays[other])
            if different.size:
                self.refuse_ambiguous(int(different[0]), name, other)
        return Times(arrays[name], name not in NUMBERS)

    def refuse_ambiguous(self, row: int, name: str, other: str) -> None:
        """Raise the error for dates that two orders fit.

        Raises:
            UserError: always.
        """
        formats = " or ".join(repr(EXAMPLES[each.removesuffix(" with zone")]) for each in (name, other))
        raise UserError(
            f"{self.table.path}, column {self.column!r}: all dates can be {name} and {other}, which differ first at "
            f"{self.table.place(row)}: give --time-format, for example {formats}"
        )
