"""Sums of the errors of a forecast by series and target, and what is computed of them.

Letters: B series, C targets, M steps of the horizon, W windows.

NSE: Nash and Sutcliffe 1970, "River flow forecasting through conceptual models part I", J. Hydrology 10: 282-290.
KGE: Gupta et al. 2009, "Decomposition of the mean squared error and NSE performance criteria", J. Hydrology 377: 80-91.
MASE: Hyndman and Koehler 2006, "Another look at measures of forecast accuracy", Int. J. Forecasting 22: 679-688.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carrousel.tasks.forecasting.units import Units

# count, squared, absolute and Huber's error of scaled values; then in the units of the data squared and absolute error,
# and the moments of the forecast and of the truth
SUMS = ("count", "se", "ae", "huber", "unit_se", "unit_ae", "p", "t", "pp", "tt", "pt")


class Errors:
    """The errors of one forecasting method.

    Args:
        series: B.
        targets: C.
        horizon: M.
        units: of the targets.
        device: of the forecasts.
    """

    def __init__(self, series: int, targets: int, horizon: int, units: Units, device: torch.device) -> None:
        self.units = units
        self.sums: dict[str, Tensor] = {
            name: torch.zeros(series, targets, dtype=torch.float64, device=device) for name in SUMS
        }
        self.by_step: Tensor = torch.zeros(2, horizon, dtype=torch.float64, device=device)  # squared errors, counts
        self.center: Tensor = units.restore(torch.zeros(targets, device=device))  # moments around it lose no digits

    def add(self, forecast: Tensor, truth: Tensor, series: Tensor) -> None:
        """Add the errors of some windows.

        Args:
            forecast: scaled [W, M, C].
            truth: scaled [W, M, C]; NaN where it is missing, which does not count.
            series: the number of each window's series [W].
        """
        is_known = ~truth.isnan()
        truth = torch.where(is_known, truth, forecast)
        error = forecast.double() - truth.double()
        p, t = (torch.where(is_known, self.units.restore(part) - self.center, 0.0) for part in (forecast, truth))
        values = (
            is_known,
            error**2,
            error.abs(),
            compute_huber(error),
            (p - t) ** 2,
            (p - t).abs(),
            p,
            t,
            p * p,
            t * t,
            p * t,
        )
        for name, value in zip(SUMS, values):
            self.sums[name].index_add_(0, series, value.double().sum(1))
        self.by_step += torch.stack([(error**2).sum((0, 2)), is_known.double().sum((0, 2))])

    def mean(self, name: str) -> float:
        """The mean of a sum over all that count."""
        return float(self.sums[name].sum() / self.sums["count"].sum())

    def mean_by_target(self, name: str) -> list[float]:
        """The same for each target [C]; NaN where nothing counts."""
        return (self.sums[name].sum(0) / self.sums["count"].sum(0)).tolist()

    def rmse_by_step(self) -> NDArray[np.float64]:
        """The root mean squared error of the scaled values at each step of the horizon [M]."""
        squares, counts = self.by_step.cpu().numpy()
        return np.sqrt(squares / np.maximum(counts, 1))

    def mase(self, naive: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean absolute error of each series and target, of that of repeating the last season in training [B, C].

        Args:
            naive: that error; NaN where it is unknown, or 0.
        """
        return self.array("unit_ae") / self.counts() / naive

    def nse(self) -> NDArray[np.float64]:
        """The Nash-Sutcliffe efficiency of each series and target [B, C]: 1 is perfect, 0 as good as the mean."""
        spread = self.array("tt") - self.array("t") ** 2 / self.counts()
        return 1 - self.array("unit_se") / positive(spread, self.array("tt"))

    def kge(self) -> NDArray[np.float64]:
        """The Kling-Gupta efficiency of each series and target [B, C]: 1 is perfect, -0.41 as good as the mean."""
        n = self.counts()
        means = [self.array(name) / n for name in ("p", "t")]
        spread_p = np.maximum(self.array("pp") / n - means[0] ** 2, 0)
        spread_t = positive(self.array("tt") / n - means[1] ** 2, self.array("tt") / n)
        covariance = self.array("pt") / n - means[0] * means[1]
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.where(spread_p > 0, covariance / np.sqrt(spread_p * spread_t), 0.0)
            center = self.center.cpu().numpy()
            ratios = np.sqrt(spread_p / spread_t), (means[0] + center) / (means[1] + center)
            found = 1 - np.sqrt((correlation - 1) ** 2 + (ratios[0] - 1) ** 2 + (ratios[1] - 1) ** 2)
        return np.where(np.isfinite(found) & np.isfinite(spread_t), found, np.nan)

    def array(self, name: str) -> NDArray[np.float64]:
        """A sum for each series and target [B, C]."""
        return self.sums[name].cpu().numpy()

    def counts(self) -> NDArray[np.float64]:
        """How many values count of each series and target [B, C]; NaN where none does."""
        counts = self.array("count")
        return np.where(counts > 0, counts, np.nan)


def compute_huber(error: Tensor) -> Tensor:
    """Twice the loss of Huber 1964: the squared error below 1, and from there on a line, 2 |error| - 1."""
    size = error.abs()
    return torch.where(size < 1, size.square(), 2 * size - 1)


def positive(spread: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """A spread, NaN where it is not above what rounding leaves of values of this size."""
    return np.where(spread > 1e-12 * size, spread, np.nan)
