"""Pairs of texts as a model takes them: numbers of symbols, gathered into padded batches of about equal lengths.

Letters: S steps of sources, T steps of targets, B batch, N symbols of all texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carrousel.data.examples import Shuffled

POOL = 32  # batches that are cut from one piece of the shuffled data, sorted by length
GOLDEN = 0x9E3779B97F4A7C15  # seeds that differ by it have nothing in common


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

    def sort_by_length(self) -> Tensor:
        """The indices of all, by the length of the target and then of the source."""
        return (self.targets.lengths * (int(self.sources.lengths.max()) + 1) + self.sources.lengths).argsort(
            stable=True
        )


class SortedBatches:
    """Batches of pairs of about equal lengths, without end; each is known from its number alone.

    A pool of batches is cut from the shuffled data and sorted by length, and its batches come in a random order.

    Args:
        pairs: all of them.
        batch: pairs in a batch (B).
        seed: of the order.
    """

    def __init__(self, pairs: SymbolPairs, batch: int, seed: int) -> None:
        self.pairs = pairs
        self.batch = batch
        self.seed = seed
        self.shuffled = Shuffled(len(pairs), seed)
        self.pool: tuple[int, list[Tensor]] = (-1, [])  # its number, and the pairs of its batches

    def take(self, step: int) -> PairBatch:
        """The batch of a step."""
        number, place = divmod(step, POOL)
        if self.pool[0] != number:
            self.pool = (number, self.fill_pool(number))
        return self.pairs.select(self.pool[1][place]).to_batch()

    def fill_pool(self, number: int) -> list[Tensor]:
        """The pairs of each batch of a pool."""
        count = POOL * self.batch
        chosen = self.shuffled.take(number * count, count).to(self.pairs.sources.starts.device)
        batches = chosen[self.pairs.select(chosen).sort_by_length()].split(self.batch)
        generator = torch.Generator().manual_seed((self.seed * GOLDEN + number) % 2**63)
        return [batches[index] for index in torch.randperm(POOL, generator=generator).tolist()]
