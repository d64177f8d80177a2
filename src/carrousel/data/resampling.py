"""Rows at uneven times as means over even steps; a step without a row is a missing value."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel import memory
from carrousel.data.steps import Step
from carrousel.errors import UserError

MOST = 1000  # steps for each row, beyond which a time is probably wrong
AVERAGED = "rows joined with another row of the same step, as their mean (--step)"
EMPTY = "steps without a row, filled with missing values (--step)"


def resample(
    values: NDArray[np.float32], times: NDArray[Any], lengths: NDArray[np.int64], step: Step
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64], dict[str, int]]:
    """Series at even steps: the mean of all values that are not missing in [t, t + step), NaN if there is none.

    Steps start at multiples of the step, from 0, from the start of 1970, or for months from January 1970.

    Args:
        values: the rows of all series, sorted by time [N, F]; it is changed in place.
        times: of the rows [N].
        lengths: rows of each series [B].
        step: even steps.

    Returns:
        The values [M, F], the steps of each series [B], the time of each series' first step [B], and what was done.

    Raises:
        UserError: there would be far more steps than rows, or more than memory.
    """
    steps = number_steps(times, step)
    ends = np.cumsum(lengths)
    first, last = steps[ends - lengths], steps[ends - 1]
    counts = last - first + 1
    size = int(counts.astype(np.float64).sum())
    if size > MOST * (len(values) + 1):
        raise UserError(
            f"--step {step.describe()} makes {size:,} steps of {len(values):,} rows: correct a time that is far from "
            "the others, or give a longer step"
        )
    memory.require(4 * size * values.shape[1], f"--step {step.describe()}", "give a longer step")
    targets = steps - np.repeat(first - (np.cumsum(counts) - counts), lengths)
    starts = np.flatnonzero(np.diff(targets, prepend=-1))  # the first row of each step that has rows
    notes = {AVERAGED: len(values) - len(starts), EMPTY: size - len(starts)}
    values = average(values, starts, targets[starts], size)
    return values, counts, start_of(first, step), {note: count for note, count in notes.items() if count}


def number_steps(times: NDArray[Any], step: Step) -> NDArray[np.int64]:
    """The number of the step in which each time lies [N]."""
    if step.unit == "month":
        return times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) // int(step.size)
    return np.floor_divide(times, step.size).astype(np.int64)


def start_of(numbers: NDArray[np.int64], step: Step) -> NDArray[np.int64]:
    """The times at which steps begin, by their numbers."""
    if step.unit == "month":
        return (numbers * int(step.size)).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    return numbers * int(step.size)


def average(
    values: NDArray[np.float32], starts: NDArray[np.int64], targets: NDArray[np.int64], size: int
) -> NDArray[np.float32]:
    """The means of groups of neighbouring rows, in place: only one column is copied at a time.

    Args:
        values: [N, F], which is no view.
        starts: the first row of each group [G].
        targets: where the group's mean goes [G].
        size: M, the rows of the result; those without a group are NaN.
    """
    rows, width = values.shape
    if size > rows:
        values.resize((size, width), refcheck=False)
    for column in range(width):
        old = values[:rows, column].astype(np.float64)
        counts = np.add.reduceat(~np.isnan(old), starts, dtype=np.int64)
        sums = np.add.reduceat(np.nan_to_num(old, copy=False), starts)
        values[:size, column] = np.nan
        values[targets, column] = np.where(counts, sums / np.maximum(counts, 1), np.nan)
    return values[:size]
