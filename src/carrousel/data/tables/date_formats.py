"""The ways of writing a time that are recognised, each as a function on a block of texts."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.libraries import load_library

# The values of a block of texts [n], and which of them are valid [n].
Reading = tuple[NDArray[Any], NDArray[np.bool_]]

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
EPOCH = datetime.datetime(1970, 1, 1)

DATES = {
    "year-month-day": r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
    "year-month": r"(?P<year>\d{4})[-/](?P<month>\d{1,2})(?P<day>)",  # with a point it is a number
    "day/month/year": r"(?P<day>\d{1,2})[-/.](?P<month>\d{1,2})[-/.](?P<year>\d{4})",
    "month/day/year": r"(?P<month>\d{1,2})[-/.](?P<day>\d{1,2})[-/.](?P<year>\d{4})",
    "yearmonthday": r"(?P<year>1[89]\d\d|2[01]\d\d)(?P<month>\d{2})(?P<day>\d{2})",
}
CLOCK = r"(?:T|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,6})\d*)?)?"
HALF = r"\s*(?P<half>[AaPp][Mm])?"
ZONE = r"\s*(?:Z|UTC|(?P<sign>[+-])(?P<zone_hour>\d{2}):?(?P<zone_minute>\d{2})?)"


def read_dates(date: str, zone: bool, texts: Any) -> Reading:
    """Dates as microseconds since 1970; a month without a day is its first day.

    Args:
        date: a pattern in `DATES`.
        zone: whether a zone must be there, and times become those of UTC, or must not.
        texts: an Arrow array of strings [n].
    """
    compute = load_library("pyarrow.compute", "reading dates")
    clock = f"{CLOCK}{HALF}{ZONE}" if zone else f"(?:{CLOCK}{HALF})?"
    found = compute.extract_regex(texts, rf"^\s*{date}{clock}\s*$")
    parts = {name: compute.struct_field(found, name).fill_null("") for name in (each.name for each in found.type)}
    days, is_day = read_days(*(to_numbers(parts[name], default=name == "day") for name in ("year", "month", "day")))
    time, is_time = read_clock(parts)
    shift = read_shift(parts) if zone else 0
    return days * DAY + time - shift, np.array(found.is_valid()) & is_day & is_time


def to_numbers(digits: Any, default: int = 0) -> NDArray[np.int64]:
    """Strings of digits as numbers [n]; the default where a string is empty."""
    compute = load_library("pyarrow.compute", "reading dates")
    return np.array(compute.if_else(compute.equal(digits, ""), str(int(default)), digits).cast("int64"))


def read_days(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> Reading:
    """Days since 1970 in the Gregorian calendar."""
    months = (year - 1970) * 12 + month - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]").astype(np.int64) == months)
    return days.astype(np.int64), valid


def read_clock(parts: dict[str, Any]) -> Reading:
    """The time of day in microseconds; 24:00 is the end of the day."""
    compute = load_library("pyarrow.compute", "reading dates")
    hour, minute, second = (to_numbers(parts[name]) for name in ("hour", "minute", "second"))
    fraction = to_numbers(compute.utf8_rpad(parts["fraction"], 6, "0"))
    half = compute.utf8_lower(parts["half"])
    has_half, is_pm = np.array(compute.not_equal(half, "")), np.array(compute.equal(half, "pm"))
    is_end = (hour == 24) & (minute == 0) & (second == 0) & (fraction == 0)
    valid = (minute < 60) & (second < 60) & np.where(has_half, (hour >= 1) & (hour <= 12), (hour < 24) | is_end)
    hour = np.where(has_half, hour % 12 + 12 * is_pm, hour)
    return ((hour * 60 + minute) * 60 + second) * SECOND + fraction, valid


def read_shift(parts: dict[str, Any]) -> NDArray[np.int64]:
    """How far local time is ahead of UTC, in microseconds."""
    compute = load_library("pyarrow.compute", "reading dates")
    minutes = to_numbers(parts["zone_hour"]) * 60 + to_numbers(parts["zone_minute"])
    return np.where(np.array(compute.equal(parts["sign"], "-")), -minutes, minutes) * 60 * SECOND


def read_numbers(pattern: str, dtype: str, texts: Any) -> Reading:
    """Numbers that are written in this way."""
    compute = load_library("pyarrow.compute", "reading times")
    trimmed = compute.utf8_trim_whitespace(texts)
    valid = compute.match_substring_regex(trimmed, f"^{pattern}$")
    return np.array(compute.if_else(valid, trimmed, "0").cast(dtype)), np.array(valid)


def read_with_format(time_format: str, texts: Any) -> Reading:
    """Dates that `datetime.strptime` reads, as microseconds since 1970, of UTC if the format has a zone."""
    encoded = texts.dictionary_encode()
    read = [parse(word, time_format) for word in encoded.dictionary.to_pylist()]
    indices = np.asarray(encoded.indices)
    values = np.array([each or 0 for each in read], np.int64)
    return values[indices], np.array([each is not None for each in read], np.bool_)[indices]


def parse(text: str, time_format: str) -> int | None:
    """A date as microseconds since 1970; None: it is not written so."""
    try:
        date = datetime.datetime.strptime(text.strip(), time_format)
    except ValueError:
        return None
    if date.tzinfo is not None:
        date = date.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return (date - EPOCH) // datetime.timedelta(microseconds=1)


# The first that fits all texts is taken; two orders of day, month and year that both fit are refused (times.py).
FORMATS: dict[str, Callable[[Any], Reading]] = {
    **{name: partial(read_dates, pattern, False) for name, pattern in DATES.items()},
    **{f"{name} with zone": partial(read_dates, pattern, True) for name, pattern in DATES.items()},
    "integer": partial(read_numbers, r"[+-]?(?:\d{1,18}|[1-8]\d{18})", "int64"),
    "decimal": partial(read_numbers, r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", "float64"),
}
NUMBERS = ("integer", "decimal")
EXAMPLES = {"day/month/year": "%d/%m/%Y", "month/day/year": "%m/%d/%Y"}


def choose_formats(time_format: str | None) -> dict[str, Callable[[Any], Reading]]:
    """The one that a user gives, as for `datetime.strptime`, or all that are recognised."""
    return FORMATS if time_format is None else {time_format: partial(read_with_format, time_format)}
