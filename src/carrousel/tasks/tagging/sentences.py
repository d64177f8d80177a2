"""Sentences as tensors, end to end: no word is padded.

Letters: N words of all sentences, B sentences, F values of a step, W spellings, M characters of all spellings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spellings:
    """The different words of some sentences, as they are spelled.

    Args:
        words: the number of each in the model's vocabulary [W]; 0: not in it.
        characters: the numbers of the characters of all, end to end [M]; 0: not known.
        starts: where each begins [W]. lengths: its characters [W], at least 1.
        is_known: whether it is in the training data, spelled so [W].
        frequent: its most frequent tag there [W]; of a word that is not there, the most frequent of all.
    """

    words: Tensor
    characters: Tensor
    starts: Tensor
    lengths: Tensor
    is_known: Tensor
    frequent: Tensor

    def spell(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The characters of some of them end to end [m], and where each begins and the last ends [n + 1]."""
        places, offsets = find_places(self.starts[numbers], self.lengths[numbers])
        return self.characters[places], offsets


@dataclass(frozen=True)
class Sentences:
    """Sentences of words, or sequences of steps; parts of a data set share its tensors.

    Args:
        x: the spelling of each word of the data set [N], int64; or the values of each step [N, F], float32.
        targets: the number of each word's tag [N], int64; those that the model does not know come after those it does.
        starts: where each sentence of this part begins [B], int64.
        lengths: its words [B], int64, at least 1.
        spellings: what the numbers in x mean; None: x holds values.
    """

    x: Tensor
    targets: Tensor
    starts: Tensor
    lengths: Tensor
    spellings: Spellings | None

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, indices: Tensor) -> Sentences:
        """Some of them, in this order; the words are shared."""
        return replace(self, starts=self.starts[indices], lengths=self.lengths[indices])

    def gather(self) -> Batch:
        """Their words alone."""
        places, offsets = find_places(self.starts, self.lengths)
        return Batch(self.x[places], self.targets[places], offsets, self.spellings)

    def split_by_length(self, most: int) -> list[Tensor]:
        """The indices of all, in groups that are about as long and have about so many words at most."""
        order = self.lengths.argsort(stable=True)
        groups = (self.lengths[order].cumsum(0) - 1) // most
        return list(order.split(groups.unique_consecutive(return_counts=True)[1].tolist()))


@dataclass(frozen=True)
class Batch:
    """The words of some sentences, end to end.

    Args:
        x, targets, spellings: as in `Sentences`.
        offsets: where each sentence begins, and where the last one ends [B + 1].
    """

    x: Tensor
    targets: Tensor
    offsets: Tensor
    spellings: Spellings | None

    def part(self, first: int, count: int) -> Batch:
        """So many sentences from the one with this number on."""
        offsets = self.offsets[first : first + count + 1]
        words = slice(int(offsets[0]), int(offsets[-1]))
        return Batch(self.x[words], self.targets[words], offsets - offsets[0], self.spellings)


def find_places(starts: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The places of what lies in some ranges, one range after another [n], and the offsets of the ranges [B + 1]."""
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    shifts = (starts - offsets[:-1]).repeat_interleave(lengths)
    return torch.arange(len(shifts), device=starts.device) + shifts, offsets
