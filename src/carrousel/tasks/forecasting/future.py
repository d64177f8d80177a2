"""The steps after the end of each series, as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.data.series import Series
from carrousel.data.tables.times import spell_date
from carrousel.errors import UserError
from carrousel.tasks.forecasting.columns import find_ends, read_file, require_columns
from carrousel.tasks.forecasting.evaluate import forecast
from carrousel.tasks.forecasting.model import Forecaster
from carrousel.tasks.forecasting.sources import describe_skipped, to_source
from carrousel.tasks.forecasting.units import Units, take_logarithm
from carrousel.tasks.forecasting.windows import Windows

MOST_NAMED = 10  # series in a message


def predict_future(
    model: Forecaster,
    file: str,
    facts: dict[str, Any],
    impute: str | None,
    reading: dict[str, Any],
    device: torch.device,
) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """The steps after the last target of each series.

    Args:
        model: on the device.
        file: the name of a table; rows after a series' last target give what is known for the future.
        facts: of the model's data.
        impute: what replaces missing values.
        reading: options of `read_file`.
        device: of the windows.

    Returns:
        What people should know of the data, a line each; and a row for each step.

    Raises:
        UserError: it cannot be read, does not fit the model, or nothing can be predicted.
    """
    series = read_file(file, {**reading, "targets": facts["targets"]})
    windows, ends, notes = window_future(series, file, facts, impute, device)
    return notes, new_rows(model, windows, series, ends, Units.of(facts), reading)


def window_future(
    series: Series, file: str, facts: dict[str, Any], impute: str | None, device: torch.device
) -> tuple[Windows, NDArray[np.int64], list[str]]:
    """The last window of each series; arguments and errors as for `predict_future`.

    Returns:
        The windows of those that are long enough, the steps of each series up to its last target [B], and notes.
    """
    require_columns(series, file, facts)
    ends, window, M = find_ends(series), facts["window"], facts["horizon"]
    is_long = ends >= window
    if not is_long.any():
        raise UserError(
            f"{file}: no series is long enough: the longest has {ends.max():,} steps with a target, and the model "
            f"reads {window:,} (--window): name data with more steps"
        )
    if facts["known"]:
        require_future(series, file, ends, is_long, M)
    clear_future(series, ends)
    if facts["log"]:
        take_logarithm(series, file)
    source, notes = to_source(series, file, facts, impute, device)
    starts = source.starts + torch.from_numpy(ends - window).to(device)
    windows = Windows(source, window, M, starts, torch.from_numpy(is_long.astype(np.int64)).to(device))
    return windows, ends, [*describe_skipped(series, file), *notes, *describe_left_out(series, file, is_long, window)]


def describe_left_out(series: Series, file: str, is_long: NDArray[np.bool_], window: int) -> list[str]:
    """Which series are too short."""
    short = [name for name, long in zip(series.names, is_long) if not long]
    more = ", ..." if len(short) > MOST_NAMED else ""
    names = ", ".join(short[:MOST_NAMED]) + more
    return [f"{file}: {len(short):,} series have fewer than {window:,} steps and are not predicted: {names}"] * bool(
        short
    )


def new_rows(
    model: Forecaster,
    windows: Windows,
    series: Series,
    ends: NDArray[np.int64],
    units: Units,
    reading: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """A row for each step of the horizon after the end of each series that has a window; arguments as above."""
    for found in forecast(model, windows, has_truth=False):
        means = units.restore(found.mean).cpu().numpy()
        quantiles = units.restore(found.quantiles.transpose(2, 3)).cpu().numpy()
        for index, mean, quantile in zip(found.series.tolist(), means, quantiles):
            yield from to_rows(series, index, int(ends[index]), mean, quantile, model.quantiles, reading)


def require_future(
    series: Series, file: str, ends: NDArray[np.int64], is_long: NDArray[np.bool_], horizon: int
) -> None:
    """Raise an error if a series has too few rows after its last target.

    Raises:
        UserError: names the first one.
    """
    after = series.lengths - ends
    bad = np.flatnonzero(is_long & (after < horizon))
    if bad.size:
        index = int(bad[0])
        others = f", the first of {bad.size:,}" if bad.size > 1 else ""
        raise UserError(
            f"{file}, {series.names[index]}{others}: {after[index]:,} rows after the last {series.targets[0]}, and "
            f"{horizon:,} are needed: add rows with {', '.join(series.known)} and an empty {series.targets[0]}"
        )


def clear_future(series: Series, ends: NDArray[np.int64]) -> None:
    """Fill what is not read after the last target of each series: it may be missing there."""
    steps = np.arange(len(series.values)) - np.repeat(np.cumsum(series.lengths) - series.lengths, series.lengths)
    is_after = steps >= np.repeat(ends, series.lengths)
    C, K = len(series.targets), len(series.known)
    for column in (*range(C), *range(C + K, len(series.columns))):
        series.values[is_after, column] = 1.0  # a value that has a logarithm


def to_rows(
    series: Series,
    index: int,
    end: int,
    mean: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    levels: tuple[float, ...],
    reading: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """The rows of a series.

    Args:
        series: all of them.
        index: of this one.
        end: its steps up to the last target.
        mean: [M, C].
        quantiles: [M, Q, C].
        levels: the quantiles [Q].
        reading: options of `read_file`: the names of the columns of ids and times.
    """
    times = series.step.times(series.starts[index].item(), end + len(mean))[end:].tolist()
    for time, values, around in zip(times, mean, quantiles):
        row: dict[str, Any] = {reading["id"]: series.names[index]} if reading["id"] else {}
        row[reading["time"] or "time"] = spell_date(time) if series.is_date else float(f"{time:.15g}")
        if not series.is_date and float(time).is_integer():
            row[reading["time"] or "time"] = int(time)
        for column, target in enumerate(series.targets):
            row[target] = float(f"{values[column]:.7g}")
            row |= {f"q{level:g}({target})": float(f"{q:.7g}") for level, q in zip(levels, around[:, column])}
        yield row
