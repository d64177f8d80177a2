"""Forecasts in the units of the data: scaling and logarithm undone; and the logarithm itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carrousel.data.series import Series
from carrousel.errors import UserError


@dataclass(frozen=True)
class Units:
    """How the targets were scaled: mean and deviation [C], after the logarithm if `log`."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    log: bool

    @classmethod
    def of(cls, facts: dict[str, Any]) -> Units:
        """Those of a model's data."""
        C = len(facts["targets"])
        scaling = facts["scaling"]
        return cls(tuple(scaling["mean"][:C]), tuple(scaling["deviation"][:C]), facts["log"])

    def restore(self, scaled: Tensor) -> Tensor:
        """Scaled targets [..., C] in the units of the data, float64."""
        mean, deviation = (scaled.new_tensor(part, dtype=torch.float64) for part in (self.mean, self.deviation))
        found = scaled.double() * deviation + mean
        return found.exp() if self.log else found


def take_logarithm(series: Series, name: str) -> None:
    """Replace the targets by their logarithm, in place.

    Raises:
        UserError: one is not above 0; says which.
    """
    for column, target in enumerate(series.targets):
        values: NDArray[np.float32] = series.values[:, column]
        bad = np.flatnonzero(values <= 0)
        if bad.size:
            ends = np.cumsum(series.lengths)
            index = int(np.searchsorted(ends, bad[0], side="right"))
            step = int(bad[0] - ends[index] + series.lengths[index]) + 1
            others = f", the first of {bad.size:,}" if bad.size > 1 else ""
            raise UserError(
                f"{name}, {series.names[index]}: {target} is {values[bad[0]]:g} at step {step}{others}, and --log "
                "needs values above 0: leave --log out"
            )
        np.log(values, out=values)
