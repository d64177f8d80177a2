"""Windows of series: the steps that a model reads, and the steps that it predicts from them.

Letters: N steps of all series, F columns (C targets, then K known for the future, then others), S numbers that describe
a series, W windows, B of them in a batch, L steps that are read, M steps of the horizon.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Inputs(NamedTuple):
    """What a model reads of some windows.

    past: all columns of the steps before the forecast [B, L, F].
    known: the columns that are known for the future, of the steps to predict [B, M, K].
    static: the numbers that describe the series [B, S].
    """

    past: Tensor
    known: Tensor
    static: Tensor


@dataclass(frozen=True)
class Source:
    """Scaled series as tensors on a device; all windows share them.

    values: steps of all series, one series after another, missing values replaced [N, F], float32.
    is_missing: which targets were missing [N, C]; None: none.
    static: the numbers that describe each series [B, S].
    starts: the row of each series' first step [B].
    lengths: steps of each series [B].
    targets, known: C and K.
    """

    values: Tensor
    is_missing: Tensor | None
    static: Tensor
    starts: Tensor
    lengths: Tensor
    targets: int
    known: int


@dataclass(frozen=True)
class Windows:
    """All windows of series whose targets lie in a range of each series.

    Args:
        source: the series.
        window, horizon: L and M.
        first: the row of each series' first window, counted from the start of all series [B].
        counts: windows of each series [B]; at each row from the first on starts one.
        chosen: the numbers of the windows that count [W]; None: all.
    """

    source: Source
    window: int
    horizon: int
    first: Tensor
    counts: Tensor
    chosen: Tensor | None = None

    @classmethod
    def between(
        cls, source: Source, window: int, horizon: int, first: NDArray[np.int64], stop: NDArray[np.int64]
    ) -> Windows:
        """The windows whose targets lie in a range of each series; the steps before them may lie before the range.

        Args:
            source: the series.
            window, horizon: L and M.
            first: the first row of the range in each series [B].
            stop: the row after its last [B].
        """
        begin = np.maximum(first - window, 0)
        counts = np.maximum(stop - horizon - window - begin + 1, 0)
        device = source.starts.device
        rows = source.starts + torch.from_numpy(begin).to(device)
        return cls(source, window, horizon, rows, torch.from_numpy(counts).to(device))

    def __len__(self) -> int:
        return int(self.counts.sum()) if self.chosen is None else len(self.chosen)

    def sample(self, count: int) -> Windows:
        """So many windows, spread evenly over all."""
        return self.pick(torch.arange(count, device=self.first.device) * len(self) // count)

    def pick(self, numbers: Tensor) -> Windows:
        """The windows with these numbers [n]."""
        return replace(self, chosen=numbers if self.chosen is None else self.chosen[numbers])

    def locate(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The row where each window starts, and the number of its series [B]."""
        numbers = indices if self.chosen is None else self.chosen[indices]
        ends = self.counts.cumsum(0)
        series = torch.searchsorted(ends, numbers, right=True)
        return self.first[series] + numbers - (ends - self.counts)[series], series

    def inputs(self, starts: Tensor, series: Tensor) -> Inputs:
        """What a model reads of windows that start at these rows."""
        source, L = self.source, self.window
        past = source.values[starts[:, None] + torch.arange(L, device=starts.device)]
        C, K = source.targets, source.known
        future = self.future_rows(starts)
        known = source.values[future][:, :, C : C + K] if K else past.new_empty(len(starts), self.horizon, 0)
        return Inputs(past, known, source.static[series])

    def truth(self, starts: Tensor) -> Tensor:
        """The targets of the steps to predict [B, M, C]; NaN where one is missing."""
        rows, source = self.future_rows(starts), self.source
        found = source.values[rows][:, :, : source.targets]
        return found if source.is_missing is None else found.masked_fill(source.is_missing[rows], torch.nan)

    def future_rows(self, starts: Tensor) -> Tensor:
        """The rows of the steps to predict [B, M]."""
        return starts[:, None] + self.window + torch.arange(self.horizon, device=starts.device)
