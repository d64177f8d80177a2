"""Resets among mLSTM's chunks: steps of different parts of a sequence know nothing of each other.

A chunk holds the end of the part that began before it, then whole parts, then the beginning of one that may go on. So
the weights between steps of different parts are zeros, and a step has the memory before its chunk, or the one that
resets restore, with the forget gates since its part began.

Letters as in `carrousel.layers.mlstm.chunks`: .. for the first places of chunks, S steps of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from carrousel.layers.mlstm.memory import Memory


class Parts(NamedTuple):
    """Where chunks are parted."""

    resets: Tensor  # bool [.., S], with 1 in the place of N
    part: Tensor  # [.., S] which part of its chunk a step is in; 0 began before it
    initial: Memory | None  # what is restored: of chunks [B, N, 1], of chunks [K, N]; None: the empty memory

    def since(self, F: Tensor, log_f: Tensor) -> Tensor:
        """The sum of log f since each step's part began, or its chunk."""
        steps = torch.arange(F.shape[-1], device=F.device)
        begun = torch.where(self.resets, steps, 0).cummax(-1).values.expand_as(F)
        return F - (F - log_f).gather(-1, begun).masked_fill(self.part == 0, 0)

    def apart(self) -> Tensor:
        """Which pairs of steps are of different parts [.., S, S]."""
        return self.part[..., :, None] != self.part[..., None, :]

    def over(self) -> Tensor:
        """Which steps are of a part that is over at the end of their chunk [.., S]."""
        return self.part != self.part[..., -1:]

    def of_first(self, before: Tensor, restored: Tensor | None, dims: int) -> Tensor:
        """What belongs to the memory before its chunk where a step is of part 0, else what to the restored one.

        The steps are in the place -dims of both, or 1.
        """
        first = (self.part == 0)[(..., *[None] * (dims - 1))]
        return before.masked_fill(~first, 0) if restored is None else torch.where(first, before, restored)

    def read(self, q: Tensor, before: Tensor, restored: Tensor | None) -> Tensor:
        """q [.., S, d] times matrices [.., d, _]: the one before its chunk, or, of later parts, the restored one."""
        if restored is None:
            return self.of_first(q @ before, None, 2)
        if q.dim() == 5 and restored.shape[2] == 1:  # one for all chunks: else torch would make a copy for each
            of_restored = (q.flatten(2, 3) @ restored[:, :, 0]).unflatten(2, q.shape[2:4])
            return self.of_first(q @ before, of_restored, 2)
        return self.of_first(q @ before, q @ restored, 2)

    def restoring(self, counts: list[int] | None) -> list[tuple[Tensor, Memory | None]]:
        """For all first chunks, all second ones, and so on: which of them have a reset [B, 1], and what it restores."""
        any_reset = one_by_one(self.part[..., -1] > 0, counts)
        if self.initial is None:
            return [(rows, None) for rows in any_reset]
        memories = [Memory(*of_all) for of_all in zip(*[one_by_one(x, counts) for x in self.initial])]
        memories = memories * len(any_reset) if counts is None else memories
        return list(zip(any_reset, memories))


def one_by_one(x: Tensor, counts: list[int] | None) -> Sequence[Tensor]:
    """Chunks as all first ones [B, N, ...], all second ones, and so on."""
    return x.unbind(2) if counts is None else x.split(counts)


def parts_of(resets: Tensor, initial: Memory | None) -> Parts:
    """The parts of chunks with these resets [.., S], 1 in the place of N; initial as `Parts` has it."""
    return Parts(resets, resets.cumsum(-1), initial)


def dense_parts(resets: Tensor, initial: Memory | None, S: int) -> Parts:
    """Those of chunks [B, N, c]: resets [B, T] of the sequence, initial of the batch."""
    missing = -resets.shape[1] % S
    resets = pad(resets, (0, missing)).unflatten(1, (-1, S))[:, None]
    if initial is not None:
        initial = Memory(*(x.unsqueeze(2) for x in initial))
    return parts_of(resets, initial)


def restored(memory: Memory, rows: Tensor, initial: Memory | None) -> Memory:
    """The memory, but that of some rows [B, 1]."""
    pairs = [(x, rows.reshape(-1, *[1] * (x.dim() - 1))) for x in memory]
    if initial is None:
        return Memory(*(x.masked_fill(which, 0) for x, which in pairs))
    return Memory(*(torch.where(which, new, x) for (x, which), new in zip(pairs, initial)))
