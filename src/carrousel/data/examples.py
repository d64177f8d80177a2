"""Labelled sequences as a model takes them: tensors, gathered into padded batches.

Letters: T time, B batch, F values of a step, N steps of all sequences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

UNKNOWN = -1  # the target of a sequence whose label the model does not know, or that has none


@dataclass(frozen=True)
class Examples:
    """Sequences with a target each; parts of a data set share its values.

    Args:
        values: steps of all sequences of the data set [N, F], float32.
        starts: where each sequence of this part starts [B], int64.
        lengths: its steps [B], int64.
        targets: the number of its class [B], int64, or UNKNOWN; where numbers are predicted, K of them [B, K], float32.
    """

    values: Tensor
    starts: Tensor
    lengths: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.starts)

    def select(self, indices: Tensor) -> Examples:
        """Some of them [n]; the values are shared."""
        parts = (self.starts[indices], self.lengths[indices], self.targets[indices])
        return replace(self, starts=parts[0], lengths=parts[1], targets=parts[2])

    def spread(self, count: int | None) -> Examples:
        """So many of them, spread evenly over all; None: all."""
        if count is None or count >= len(self):
            return self
        return self.select(torch.arange(count, device=self.starts.device) * len(self) // count)

    def pad(self) -> Tensor:
        """All of them side by side [T, B, F]; a sequence that is shorter than T repeats its last step."""
        steps = torch.arange(int(self.lengths.max()), device=self.starts.device)[:, None]
        return self.values[self.starts + torch.minimum(steps, self.lengths - 1)]

    def split_by_length(self, count: int) -> list[Tensor]:
        """The indices of all, in groups of so many that are about as long."""
        return list(self.lengths.argsort(stable=True).split(count))


class Shuffled:
    """The numbers from 0 to size - 1, shuffled, again and again in another order, as one endless row.

    Any part of the row is known from its place alone, so that a resumed run continues with the same batches.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.orders: dict[int, Tensor] = {}  # by the number of the pass

    def take(self, first: int, count: int) -> Tensor:
        """The numbers [count] from a place of the row on."""
        parts: list[Tensor] = []
        while count > 0:
            turn, place = divmod(first, self.size)
            part = self.order(turn)[place : place + count]
            parts.append(part)
            first, count = first + len(part), count - len(part)
        return torch.cat(parts)

    def order(self, turn: int) -> Tensor:
        """The numbers in the order of a pass [size]."""
        if turn not in self.orders:
            self.orders = {key: value for key, value in self.orders.items() if key == turn - 1}
            generator = torch.Generator().manual_seed((self.seed + turn * 0x9E3779B97F4A7C15) % 2**63)
            self.orders[turn] = torch.randperm(self.size, generator=generator)
        return self.orders[turn]
