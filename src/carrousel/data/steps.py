"""The even step of a series: an hour, a month, a number, or a row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from carrousel.errors import UserError

SECOND = 1_000_000  # microseconds
UNITS = {"s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND, "w": 7 * 86_400 * SECOND}
MONTHS = {"mo": 1, "y": 12}
NAMES = {"s": "second", "min": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
FORM = re.compile(rf"(\d*)\s*({'|'.join([*UNITS, *MONTHS])})")
TOLERANCE = 1e-3  # part of a step by which times that are no integers may differ from even ones


@dataclass(frozen=True)
class Step:
    """What lies between two steps of a series.

    unit: "microsecond" and "month" for dates, "number" for other times, "row" if time does not count.
    size: how many of them.
    month_end: whether each date is the last day of its month.
    """

    unit: Literal["row", "number", "microsecond", "month"]
    size: int | float
    month_end: bool = False

    def times(self, start: int | float, count: int) -> NDArray[Any]:
        """The times of so many steps [count], of which the first is at `start`."""
        if self.unit != "month":
            return start + self.size * np.arange(count)
        first = np.array(start, "datetime64[us]")
        month = first.astype("datetime64[M]")
        months = month + self.size * np.arange(count)
        if self.month_end:
            time_of_day = first - first.astype("datetime64[D]")
            return ((months + 1).astype("datetime64[D]") - 1 + time_of_day).astype("datetime64[us]").astype(np.int64)
        return (months.astype("datetime64[us]") + (first - month)).astype(np.int64)

    def count(self) -> tuple[int | float, str]:
        """How many of the largest unit that fits: (15, "min"); the unit of a number is ""."""
        if self.unit in ("row", "number"):
            return self.size, ""
        units = MONTHS if self.unit == "month" else UNITS
        unit = next((unit for unit in reversed(units) if self.size % units[unit] == 0), "s")
        return self.size / units[unit], unit

    def describe(self) -> str:
        """The step as people say it: "15 minutes"."""
        count, unit = self.count()
        name = f" {NAMES[unit]}{'s' * (count != 1)}" if unit else ""
        return f"{count:g}{name}"

    def spell(self) -> str:
        """The step as --step takes it: "15min"."""
        count, unit = self.count()
        return f"{max(1, round(count))}{unit}"


def parse_step(text: str, is_date: bool) -> Step:
    """The step that a user names: "15min", "1mo", for times that are numbers "10", or "row".

    Raises:
        UserError: it has another form.
    """
    if text == "row":
        return Step("row", 1)
    if is_date and (found := FORM.fullmatch(text.strip())) and (count := int(found[1] or 1)):
        is_month = found[2] in MONTHS
        return Step("month" if is_month else "microsecond", count * (MONTHS if is_month else UNITS)[found[2]])
    if not is_date and text.strip().isdecimal() and int(text):
        return Step("number", int(text))
    examples = "1h, 15min, 1d, 1mo" if is_date else "a whole number of the unit of time, for example 1"
    raise UserError(f"--step {text!r} is not a step: give {examples}, or row to take each row as a step")


def find_step(times: NDArray[Any], same: NDArray[np.bool_], is_date: bool) -> tuple[Step, NDArray[np.int64]]:
    """The step that most pairs of neighbours have, and the pairs that have another one.

    Args:
        times: sorted in each series, one series after another [N].
        same: whether row n + 1 is of the same series as row n [N - 1].
        is_date: whether they are microseconds since 1970.
    """
    pairs = np.flatnonzero(same)
    if not pairs.size:
        return Step("row", 1), pairs
    lengths = (times[1:] - times[:-1])[pairs]
    found, counts = np.unique(lengths, return_counts=True)
    size = found[np.argmax(counts)].item()
    if isinstance(size, float):
        size = float(np.median(lengths))
        return Step("number", int(size) if size.is_integer() else size), pairs[abs(lengths - size) > TOLERANCE * size]
    months = find_months(times, pairs) if is_date else None
    return months or (Step("microsecond" if is_date else "number", size), pairs[lengths != size])


def find_months(times: NDArray[np.int64], pairs: NDArray[np.int64]) -> tuple[Step, NDArray[np.int64]] | None:
    """The number of months between most neighbours, and the pairs with another one; None: days of the month differ."""
    dates = times.astype("datetime64[us]")
    days, months = dates.astype("datetime64[D]"), dates.astype("datetime64[M]")
    is_same_day = np.unique(dates - months).size == 1
    is_end = bool(((days + 1).astype("datetime64[M]") != months).all()) and np.unique(dates - days).size == 1
    if not (is_same_day or is_end):
        return None
    lengths = (months[1:] - months[:-1])[pairs].astype(np.int64)
    found, counts = np.unique(lengths, return_counts=True)
    size = int(found[np.argmax(counts)])
    return Step("month", size, not is_same_day), pairs[lengths != size]
