"""All measurements of a forecaster and its baselines, on windows that did not train."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carrousel.errors import UserError
from carrousel.tasks.forecasting.baselines import repeat_last, repeat_season
from carrousel.tasks.forecasting.errors import Errors
from carrousel.tasks.forecasting.held_out import HeldOut
from carrousel.tasks.forecasting.model import LOSSES, Forecaster
from carrousel.tasks.forecasting.windows import Inputs, Windows
from carrousel.training.task import Score

PIECE = 512  # rows of the network at a time; changes memory and speed only
MODEL, LAST, SEASON = "model", "last", "season"


class Forecast(NamedTuple):
    """Forecasts of some windows beside the truth; scaled.

    inputs: what was read.
    series: the number of each window's series [W].
    mean: [W, M, C].
    quantiles: [W, M, C, Q].
    truth: [W, M, C]; NaN where it is missing.
    """

    inputs: Inputs
    series: Tensor
    mean: Tensor
    quantiles: Tensor
    truth: Tensor


@torch.no_grad()
def forecast(
    model: Forecaster, windows: Windows, piece: int | None = None, has_truth: bool = True
) -> Iterator[Forecast]:
    """Forecast all windows, piece by piece; leaves the mode of the model as it was.

    Args:
        model: on the device of the windows.
        windows: to forecast.
        piece: so many at a time. Default: what is a fair size for the network.
        has_truth: whether the steps to predict are in the data; without them the truth is NaN.
    """
    training = model.training
    model.eval()
    everything = torch.arange(len(windows), device=windows.first.device)
    for indices in everything.split(piece or max(1, PIECE // model.targets)):
        starts, series = windows.locate(indices)
        inputs = windows.inputs(starts, series)
        mean, quantiles = model(inputs)
        truth = windows.truth(starts) if has_truth else torch.full_like(mean, torch.nan)
        yield Forecast(inputs, series, mean, quantiles, truth)
    model.train(training)


@dataclass
class Calibration:
    """How far quantiles are from the truth, and how often the truth lies between the outer two."""

    loss: float = 0.0
    inside: float = 0.0
    count: float = 0.0

    def add(self, found: Forecast, levels: Tensor) -> None:
        """Add some windows; `levels` are the quantiles [Q]."""
        is_known = ~found.truth.isnan()
        truth = found.truth.nan_to_num()
        self.loss += float((pinball(found.quantiles, truth, levels).mean(-1) * is_known).double().sum())
        is_inside = (found.quantiles[..., 0] <= truth) & (truth <= found.quantiles[..., -1])
        self.inside += float((is_inside & is_known).sum())
        self.count += float(is_known.sum())


def pinball(quantiles: Tensor, truth: Tensor, levels: Tensor) -> Tensor:
    """The loss of quantiles [..., Q], which is lowest on average at the true ones: (level - [truth < quantile]) times
    the distance; twice that is the absolute error for the level 0.5."""
    error = truth[..., None] - quantiles
    return torch.maximum(levels * error, (levels - 1) * error)


def measure(model: Forecaster, held_out: HeldOut) -> tuple[dict[str, Errors], Calibration]:
    """The errors of a model and of its baselines, and the calibration of its quantiles.

    The baseline that repeats the last season is missing if a window is shorter than a season, or a season is one step.
    """
    windows, season = held_out.windows, held_out.season
    C, M, device = len(held_out.targets), windows.horizon, windows.first.device
    names = [MODEL, LAST, *([SEASON] if 1 < season <= windows.window else [])]
    errors = {name: Errors(len(held_out.names), C, M, held_out.units, device) for name in names}
    calibration, levels = Calibration(), torch.tensor(model.quantiles, device=device)
    for found in forecast(model, windows):
        past = found.inputs.past[:, :, :C]
        errors[MODEL].add(found.mean, found.truth, found.series)
        errors[LAST].add(repeat_last(past, M), found.truth, found.series)
        if SEASON in errors:
            errors[SEASON].add(repeat_season(past, M, season), found.truth, found.series)
        if len(levels):
            calibration.add(found, levels)
    return errors, calibration


def evaluate(model: Forecaster, held_out: HeldOut, sample: int | None = None) -> Score:
    """Measure a forecaster.

    Args:
        model: its mode is left as it was.
        held_out: at least one window.
        sample: measure only so many windows, spread over all, and no more than the errors. Default: all.

    Returns:
        The loss is that of the mean, as in training.

    Raises:
        UserError: all targets are missing.
    """
    if sample is not None and sample < len(held_out):
        held_out = replace(held_out, windows=held_out.windows.sample(sample))
    errors, calibration = measure(model, held_out)
    ours = errors[MODEL]
    if not ours.sums["count"].sum():
        raise UserError("all targets to validate on are missing: give other rows, or a larger --valid-fraction")
    more = {"mse": ours.mean("se"), "mae": ours.mean("ae")}
    loss = ours.mean(LOSSES[model.kind])
    if sample is not None:
        return Score(loss, len(held_out), more)
    for name, mse, mae in zip(held_out.targets, ours.mean_by_target("unit_se"), ours.mean_by_target("unit_ae")):
        more |= {f"rmse({name})": mse**0.5, f"mae({name})": mae}
    more |= summarize("mase", ours.mase(held_out.naive), "mean")
    for name, values in (("nse", ours.nse()), ("kge", ours.kge())):
        more |= {**summarize(name, values, "mean"), **summarize(f"{name}_median", values, "median")}
    if calibration.count:
        more |= {
            "pinball": calibration.loss / calibration.count,
            "inside": calibration.inside / calibration.count,
        }
    for name in (LAST, SEASON):
        if name in errors:
            more |= {f"{name}_mse": errors[name].mean("se"), f"{name}_mae": errors[name].mean("ae")}
            values = zip(held_out.targets, errors[name].mean_by_target("unit_se"))
            more |= {f"{name}_rmse({target})": mse**0.5 for target, mse in values}
    finite = {name: value for name, value in more.items() if np.isfinite(value)}
    return Score(loss, len(held_out), finite, (*held_out.notes, *describe_left_out(ours, held_out)))


def summarize(name: str, values: NDArray[np.float64], how: str) -> dict[str, float]:
    """The mean or the median of values by series and target that are not NaN; nothing if all are."""
    known = values[np.isfinite(values)]
    return {name: float(np.mean(known) if how == "mean" else np.median(known))} if known.size else {}


def describe_left_out(errors: Errors, held_out: HeldOut) -> list[str]:
    """Which series count in some numbers only."""
    measured = errors.array("count") > 0
    found: list[str] = []
    unknown = int((measured & np.isnan(held_out.naive)).sum())
    if unknown:
        found.append(f"MASE is without {unknown:,} of {measured.sum():,} series: no season of theirs trained")
    constant = int((measured & np.isnan(errors.nse())).sum())
    if constant:
        found.append(f"NSE and KGE are without {constant:,} of {measured.sum():,} series: their values never change")
    return found
