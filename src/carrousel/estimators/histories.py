"""The last steps of the series that a forecaster was fitted on, and what continues them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carrousel.data.series import Series


class Continued(NamedTuple):
    """Series, and the first step of each that lies after the end of the fit [B]; 0: none, or the series is new."""

    series: Series
    first: NDArray[np.int64]


def copy(series: Series) -> Series:
    """The same series with values that may be changed."""
    return replace(series, values=series.values.copy(), starts=series.starts.copy())


def keep_ends(series: Series, steps: int) -> Series:
    """The last steps of each series, in memory of their own."""
    lengths = np.minimum(series.lengths, steps)
    places = np.repeat(np.cumsum(series.lengths), series.lengths) - np.arange(len(series.values))  # from the end
    starts = series.starts.copy()
    for index in np.flatnonzero(lengths < series.lengths):
        count = int(series.lengths[index] - lengths[index])
        starts[index] = series.step.times(series.starts[index].item(), count + 1)[-1]
    return replace(series, values=series.values[places <= steps], lengths=lengths, starts=starts)


def continue_series(ends: Series, new: Series) -> Continued:
    """Series of new data, each with the steps before it that the fit ended with, if it continues them.

    A series continues the one of its name if it begins after the first of the steps that were stored, at most one step
    after the last, and ends after that; rows that both have are those of the fit. Another series stays as it is.

    Args:
        ends: what `keep_ends` returned.
        new: with the same columns, and at least one row for each series.
    """
    numbers = {name: index for index, name in enumerate(ends.names)}
    has_steps = new.step.unit != "row" or (new.lengths == 1).all()
    parts, lengths, starts, firsts = list[NDArray[np.float32]](), list[int](), new.starts.copy(), list[int]()
    offset = 0
    for index, (name, length) in enumerate(zip(new.names, new.lengths.tolist())):
        values = new.values[offset : offset + length]
        offset += length
        known = numbers.get(name) if has_steps and ends.step.unit != "row" else None
        first = 0
        if known is not None:
            place = find_place(ends, known, new.starts[index].item(), length)
            count = int(ends.lengths[known])
            if place is not None and place + length > count:
                first = count - min(place, 0)
                if place > 0:
                    before = int(ends.lengths[:known].sum())
                    values = np.concatenate([ends.values[before : before + count], values[count - place :]])
                    starts[index], first = ends.starts[known], count
        parts.append(values)
        lengths.append(len(values))
        firsts.append(first)
    if has_steps and new.step.unit == "row":  # one row each, which has no step of its own
        new = replace(new, step=ends.step, is_date=ends.is_date)
    values = np.concatenate(parts)
    joined = replace(new, values=values, lengths=np.array(lengths, np.int64), starts=starts)
    return Continued(joined, np.array(firsts, np.int64))


def find_place(ends: Series, known: int, start: int | float, length: int) -> int | None:
    """At which step of a series that was stored another one starts; negative: before it.

    Args:
        ends: what was stored.
        known: the number of the series.
        start: the time of the other one's first step.
        length: its steps.

    Returns:
        At most the number of steps that were stored; None: the steps do not meet.
    """
    first, count = ends.starts[known].item(), int(ends.lengths[known])
    if start < first:
        own = ends.step.times(start, length)
        found = np.flatnonzero(own == first)
        return -int(found[0]) if found.size else None
    found = np.flatnonzero(ends.step.times(first, count + 1) == start)
    return int(found[0]) if found.size else None
