"""Windows from the files that options name: read, split by time, scaled; and what was noticed on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carrousel.data.examples import Shuffled
from carrousel.data.scaling import Scaling
from carrousel.data.sequences import Sequences
from carrousel.data.series import NO_TIME, Series
from carrousel.errors import UserError
from carrousel.tasks.forecasting.columns import cut, find_ends, read_file, read_files, require_columns
from carrousel.tasks.forecasting.held_out import HeldOut
from carrousel.tasks.forecasting.model import choose_hidden
from carrousel.tasks.forecasting.rows import find_bounds
from carrousel.tasks.forecasting.sizes import Sizes, choose_sizes
from carrousel.tasks.forecasting.static import encode_static, measure_static
from carrousel.tasks.forecasting.units import Units, take_logarithm
from carrousel.tasks.forecasting.windows import Inputs, Source, Windows
from carrousel.training.task import Data

ANY = ""  # the name of the only series of data without ids: that of its file says nothing


@dataclass(frozen=True)
class Split:
    """Training windows and what is held out of the data, with what a model needs to know of them."""

    train: Windows
    held_out: HeldOut
    facts: dict[str, Any]
    digest: str
    notes: tuple[str, ...]

    def to_data(self, batch: int, seed: int) -> Data:
        """Batches of so many windows, shuffled."""
        windows, device = self.train, self.train.first.device
        order = Shuffled(len(windows), seed)

        def gather(step: int) -> tuple[Inputs, Tensor]:
            starts, series = windows.locate(order.take(step * batch, batch).to(device))
            return windows.inputs(starts, series), windows.truth(starts)

        return Data(gather, len(windows), self.held_out, self.facts, self.digest, self.notes)


@dataclass(frozen=True)
class Plan:
    """The options that say what becomes of the files; named as on the command line."""

    files: tuple[str, ...]
    valid: str | None
    valid_fraction: float
    rows: str | None
    hidden: int | None
    season: int | None
    horizon: int | None
    window: int | None
    segment: int | None
    impute: str | None
    log: bool
    reading: dict[str, Any]


def read_split(plan: Plan, device: torch.device) -> Split:
    """Read what a run trains on and is validated on.

    Args:
        plan: the options.
        device: of the windows.

    Raises:
        UserError: a file cannot be read, or no series is long enough.
    """
    return split_series(read_files(plan.files, plan.reading), describe(plan.files), plan, device)


def split_series(series: Series, name: str, plan: Plan, device: torch.device) -> Split:
    """Split series by time; arguments and errors as for `read_split`.

    Args:
        series: their values are scaled in place.
        name: of their files, for messages.
        plan: the options; `plan.files` are not read.
        device: of the windows.
    """
    digest = compute_digest(series)
    notes = describe_skipped(series, name)
    series, left_out = cut_rows(series, plan.rows, name)
    notes += left_out
    sizes = choose_sizes(series.step, int(series.lengths.max()), plan.season, plan.horizon, plan.window, plan.segment)
    fraction = plan.valid_fraction if plan.valid is None else 0.0
    ends = series.lengths - count_validated(series.lengths, fraction, sizes)
    facts = measure(series, name, plan, sizes, ends)
    source, found = to_source(series, name, facts, plan.impute, device)
    windows = Windows.between(source, sizes.window, sizes.horizon, np.zeros_like(ends), ends)
    require_windows(windows, name, sizes, int(ends.max()))
    facts["hidden"] = choose_hidden(plan.hidden, len(windows))
    notes += [*found, *describe_short(windows, name, "train")]
    if plan.valid is None:
        first, stop = np.where(ends < series.lengths, [ends, series.lengths], 0)
        rest = Windows.between(source, sizes.window, sizes.horizon, first, stop)
        held_out = hold_out(series, rest, facts, plan.reading["id"])
        notes += describe_validated(rest, fraction)
    else:
        held_out = read_held_out(plan.valid, facts, plan.impute, plan.reading, device)
        notes += held_out.notes
    digest += f"{held_out.digest} {len(windows)} {len(held_out)}"
    return Split(windows, held_out, to_plain(facts), digest, tuple(notes))


def measure(series: Series, name: str, plan: Plan, sizes: Sizes, ends: NDArray[np.int64]) -> dict[str, Any]:
    """What a model needs to know of the data, by the training part; with --log the targets become their logarithm.

    Args:
        series: not scaled.
        name: of the files, for messages.
        plan: the options.
        sizes: of the forecast.
        ends: the steps of each series that train [B].

    Raises:
        UserError: a target has no logarithm.
    """
    naive = {
        name_key(series, index, plan.reading["id"]): errors
        for index, errors in enumerate(naive_errors(series, ends, sizes.season))
    }
    if plan.log:
        take_logarithm(series, name)
    starts = np.cumsum(series.lengths) - series.lengths
    trains = np.arange(len(series.values)) < np.repeat(starts + ends, series.lengths)
    return {
        "targets": series.targets,
        "known": series.known,
        "others": series.others,
        "static": measure_static(series.static),
        "scaling": Scaling.measure_steps(series.values, trains).to_json(),
        "log": plan.log,
        "step": series.step.describe(),
        "naive": naive,
        **sizes.to_json(),
    }


def read_held_out(
    file: str, facts: dict[str, Any], impute: str | None, reading: dict[str, Any], device: torch.device
) -> HeldOut:
    """All windows of a file of its own, for a trained model.

    Args:
        file: its name.
        facts: of the model's data.
        impute: what replaces missing values.
        reading: options of `read_file`.
        device: of the windows.

    Raises:
        UserError: it cannot be read, does not fit the model, or no series is long enough.
    """
    series = read_file(file, {**reading, "targets": facts["targets"]})
    return window_series(series, file, facts, impute, reading["id"], device)


def window_series(
    series: Series, file: str, facts: dict[str, Any], impute: str | None, id: str | None, device: torch.device
) -> HeldOut:
    """All windows of series, for a trained model; arguments and errors as for `read_held_out`.

    Args:
        series: their values are scaled in place.
        file: their name, for messages.
        facts: of the model's data.
        impute: what replaces missing values.
        id: the column of ids; None: there is one series.
        device: of the windows.
    """
    require_columns(series, file, facts)
    digest = compute_digest(series)
    notes = describe_skipped(series, file)
    series, left_out = cut_rows(series, None, file)
    notes += left_out
    if facts["log"]:
        take_logarithm(series, file)
    source, found = to_source(series, file, facts, impute, device)
    sizes = Sizes(*(facts[name] for name in ("season", "horizon", "window", "segment")))
    windows = Windows.between(source, sizes.window, sizes.horizon, np.zeros_like(series.lengths), series.lengths)
    require_windows(windows, file, sizes, int(series.lengths.max()))
    notes += [*found, *describe_short(windows, file, "are measured")]
    return replace(hold_out(series, windows, facts, id), notes=tuple(notes), digest=digest)


def hold_out(series: Series, windows: Windows, facts: dict[str, Any], id: str | None) -> HeldOut:
    """Windows with what their errors are compared with."""
    unknown = [None] * len(series.targets)
    naive = [facts["naive"].get(name_key(series, index, id), unknown) for index in range(len(series.names))]
    return HeldOut(windows, series.names, series.targets, facts["season"], np.array(naive, np.float64), Units.of(facts))


def name_key(series: Series, index: int, id: str | None) -> str:
    """How a series is called in `facts`."""
    return ANY if id is None and len(series.names) == 1 else series.names[index]


def cut_rows(series: Series, rows: str | None, name: str) -> tuple[Series, list[str]]:
    """Series without what is beyond the last target or outside --rows, and notes on what was left out.

    Raises:
        UserError: nothing is left.
    """
    first, stop = find_bounds(rows, series.lengths)
    ends = find_ends(series)
    after = int(np.maximum(stop - np.maximum(ends, first), 0).sum())
    stop = np.maximum(np.minimum(stop, ends), first)
    if not (stop > first).any():
        raise UserError(f"{name} has no value of {', '.join(series.targets)}: name another --target, or other data")
    notes = [f"{name}: {after:,} rows after the last target of their series are not used"] if after else []
    empty = int((stop == first).sum())
    notes += [f"{name}: left out {empty:,} series without a row"] if empty else []
    return cut(series, first, stop), notes


def count_validated(lengths: NDArray[np.int64], fraction: float, sizes: Sizes) -> NDArray[np.int64]:
    """How many steps at the end of each series are validated [B]: its part, at least a horizon.

    0 for a series that would not have a window to train on any more.
    """
    if not fraction:
        return np.zeros_like(lengths)
    counts = np.maximum(np.rint(lengths * fraction).astype(np.int64), sizes.horizon)
    return np.where(lengths - counts >= sizes.window + sizes.horizon, counts, 0)


def naive_errors(series: Series, ends: NDArray[np.int64], season: int) -> list[list[float | None]]:
    """The mean absolute error of repeating the last season in each series' training part, by target; None: unknown."""
    found: list[list[float | None]] = []
    for start, count in zip(np.cumsum(series.lengths) - series.lengths, ends):
        values = series.values[start : start + count, : len(series.targets)].astype(np.float64)
        errors = np.abs(values[season:] - values[:-season])
        counts = (~np.isnan(errors)).sum(0)
        means = np.nansum(errors, 0) / np.maximum(counts, 1)
        found.append([mean if n and mean > 0 else None for mean, n in zip(means.tolist(), counts.tolist())])
    return found


def to_source(
    series: Series, name: str, facts: dict[str, Any], impute: str | None, device: torch.device
) -> tuple[Source, list[str]]:
    """Series as tensors, scaled in place, and notes on values that were missing.

    Raises:
        UserError: a value is missing, and `impute` is None.
    """
    C = len(series.targets)
    is_missing = np.isnan(series.values[:, :C])
    sequences = Sequences(series.values, series.lengths, None, series.names, series.columns, {})
    missing = Scaling.from_json(facts["scaling"]).apply(sequences, name, impute)
    static, notes = encode_static(series.static, facts["static"], len(series.names), name)
    if missing:
        notes.append(
            f"{name}: {missing:,} missing values were replaced where they are read (--impute {impute}); the "
            f"{is_missing.sum():,} of them that are targets do not count where they are predicted"
        )
    starts = np.cumsum(series.lengths) - series.lengths
    tensors = [torch.from_numpy(part).to(device) for part in (series.values, static, starts, series.lengths)]
    mask = torch.from_numpy(is_missing).to(device) if is_missing.any() else None
    return Source(tensors[0], mask, *tensors[1:], targets=C, known=len(series.known)), notes


def to_plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts as JSON returns them: lists for tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}


def compute_digest(series: Series) -> str:
    """Differs for different values, lengths, names or columns."""
    found = hashlib.sha256(repr((series.columns, series.names, series.static, series.step)).encode("utf-8", "replace"))
    found.update(np.ascontiguousarray(series.values).data)
    found.update(np.ascontiguousarray(series.lengths).data)
    return found.hexdigest()


# ---- what people should know of the data ----


def describe(files: Sequence[str]) -> str:
    """The files, in words."""
    return files[0] if len(files) == 1 else f"the {len(files)} files"


def describe_skipped(series: Series, name: str) -> list[str]:
    """What the reader left out or changed."""
    without_time = [f"{name} has no column of times: its rows are taken as steps"] * (NO_TIME in series.skipped)
    return without_time + [f"{name}: {count:,} {what}" for what, count in series.skipped.items() if what != NO_TIME]


def require_windows(windows: Windows, name: str, sizes: Sizes, longest: int) -> None:
    """Raise an error if there is no window.

    Raises:
        UserError: names the options that make windows shorter.
    """
    if not len(windows):
        raise UserError(
            f"{name}: no series is long enough: the longest has {longest:,} steps, and a window takes "
            f"{sizes.window + sizes.horizon:,} (--window {sizes.window}, --horizon {sizes.horizon}): lower one of them"
        )


def describe_short(windows: Windows, name: str, what: str) -> list[str]:
    """How many series are too short."""
    short = int((windows.counts == 0).sum())
    total = len(windows.counts)
    steps = windows.window + windows.horizon
    return [f"{name}: {short:,} of {total:,} series have fewer than {steps:,} steps and no windows that {what}"] * bool(
        short
    )


def describe_validated(rest: Windows, fraction: float) -> list[str]:
    """Which series are not validated."""
    missing = int((rest.counts == 0).sum())
    if not fraction or not missing:
        return []
    if missing == len(rest.counts):
        return ["all steps train: the series are too short to validate on their ends"]
    return [f"{missing:,} series are too short to be validated: all of their steps train"]
