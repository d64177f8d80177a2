"""Pairs of texts as a model takes them: numbers of symbols, gathered into padded batches.

Letters: S steps of sources, T steps of targets, B batch, N symbols of all texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class SymbolTexts:
    """Texts as numbers of symbols; parts of a data set share them.

    Args:
        symbols: of all texts of the data set [N], int32.
        starts: where each text of this part starts [B], int64.
        lengths: its symbols [B], int64, at least 1.
    """

    symbols: Tensor
    starts: Tensor
    lengths: Tensor

    @classmethod
    def join(cls, symbols: NDArray[np.int32], lengths: NDArray[np.int64], device: torch.device) -> SymbolTexts:
        """Texts that stand one after another in an array, on a device."""
        sizes = torch.from_numpy(lengths)
        return cls(torch.from_numpy(symbols).to(device), (sizes.cumsum(0) - sizes).to(device), sizes.to(device))

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, indices: Tensor) -> SymbolTexts:
        """Some of them [n]; the symbols are shared."""
        return SymbolTexts(self.symbols, self.starts[indices], self.lengths[indices])

    def pad(self) -> Tensor:
        """All of them side by side [T, B], int64; a text that is shorter than T repeats its last symbol."""
        steps = torch.arange(int(self.lengths.max()), device=self.starts.device)[:, None]
        return self.symbols[self.starts + torch.minimum(steps, self.lengths - 1)].long()

    def to_lists(self) -> list[list[int]]:
        """The numbers of each text."""
        places = zip(self.starts.tolist(), self.lengths.tolist())
        return [self.symbols[start : start + length].tolist() for start, length in places]


class PairBatch(NamedTuple):
    """Some pairs side by side: sources [S, B] and targets [T, B], padded, with their lengths [B]."""

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor


@dataclass(frozen=True)
class SymbolPairs:
    """Sources and their targets; each target ends with the symbol for the end of a text."""

    sources: SymbolTexts
    targets: SymbolTexts

    def __len__(self) -> int:
        return len(self.sources)

    def select(self, indices: Tensor) -> SymbolPairs:
        """Some of them [n]."""
        return SymbolPairs(self.sources.select(indices), self.targets.select(indices))

    def to_batch(self) -> PairBatch:
        """All of them side by side."""
        return PairBatch(self.sources.pad(), self.sources.lengths, self.targets.pad(), self.targets.lengths)

    def order_by_length(self) -> Tensor:
        """A number for each pair [B], that sorts them by the length of the target and then of the source."""
        return self.targets.lengths * (int(self.sources.lengths.max()) + 1) + self.sources.lengths
