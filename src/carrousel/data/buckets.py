"""Batches of sequences that are about as long, in an order that is known from the number of a step alone."""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.data.examples import Shuffled

BATCHES = 32  # whose sequences are sorted by length together: more would make batches that are too much the same


class Buckets:
    """Sequences, shuffled without end; those of 32 batches at a time are sorted by length, and the batches shuffled.

    Args:
        lengths: steps of each sequence [B], on the CPU; or other numbers that sort them.
        batch: sequences in a batch.
        seed: the same seed gives the same batches.
    """

    def __init__(self, lengths: Tensor, batch: int, seed: int) -> None:
        self.lengths = lengths
        self.batch = batch
        self.seed = seed
        self.order: Shuffled = Shuffled(len(lengths), seed)
        self.count: int = max(1, min(BATCHES, len(lengths) // batch))  # of batches that are sorted together
        self.last: tuple[int, Tensor] = (-1, lengths)  # the number of a bucket, and its batches

    def take(self, step: int) -> Tensor:
        """The numbers of the sequences [batch] in the batch of a step."""
        number, place = divmod(step, self.count)
        if self.last[0] != number:
            self.last = number, self.fill(number)
        return self.last[1][place]

    def fill(self, number: int) -> Tensor:
        """The batches of a bucket [count, batch]."""
        size = self.count * self.batch
        chosen = self.order.take(number * size, size)
        by_length = chosen[self.lengths[chosen].argsort(stable=True)].view(self.count, self.batch)
        generator = torch.Generator().manual_seed((self.seed + number * 0x9E3779B97F4A7C15) % 2**63)
        return by_length[torch.randperm(self.count, generator=generator)]
