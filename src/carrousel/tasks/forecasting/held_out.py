"""What a forecaster is measured on: windows, and what it takes to compare the errors in the units of the data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carrousel.errors import UserError
from carrousel.tasks.forecasting.rows import find_bounds
from carrousel.tasks.forecasting.units import Units
from carrousel.tasks.forecasting.windows import Windows


@dataclass(frozen=True)
class HeldOut:
    """Windows that did not train.

    Args:
        windows: the windows.
        names: of the series.
        targets: names of the columns that are predicted [C].
        season: steps after which a series is expected to repeat itself.
        naive: the mean absolute error of repeating the last season in the training part, of each series and target
            [B, C]; NaN: unknown.
        units: of the targets.
        notes: what people should know of the data, a line each.
        digest: of a file of its own.
    """

    windows: Windows
    names: tuple[str, ...]
    targets: tuple[str, ...]
    season: int
    naive: NDArray[np.float64]
    units: Units
    notes: tuple[str, ...] = ()
    digest: str = ""

    def __len__(self) -> int:
        return len(self.windows)

    def select(self, rows: str) -> HeldOut:
        """The windows whose targets lie in a range of each series' rows; the steps before them may lie before it.

        Raises:
            UserError: it is not a range, or no window fits.
        """
        source, L, M = self.windows.source, self.windows.window, self.windows.horizon
        first, stop = find_bounds(rows, source.lengths.cpu().numpy())
        windows = Windows.between(source, L, M, first, stop)
        if not len(windows):
            raise UserError(
                f"--rows {rows} holds no window: {M:,} steps to predict, with {L:,} before them, do not fit; "
                "give a longer range"
            )
        return replace(self, windows=windows)
