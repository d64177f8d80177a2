"""A run in several processes, on one machine or on many: `torchrun --nproc-per-node 2 -m carrousel train ...`.

Each process, a rank, has the whole model and trains on its part of every batch; the gradients are averaged by torch's
DistributedDataParallel (gloo, on CPUs). The first rank decides: it holds the clock, the folder and the screen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from carrousel.errors import UserError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets
LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out", "onnection refused")

Found = TypeVar("Found")


@dataclass(frozen=True)
class Ranks:
    """One of the processes of a run, and how many there are."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process holds the clock, the folder and the screen."""
        return self.rank == 0

    def part(self, size: int) -> tuple[int, int]:
        """Where this rank's part of so many begins, and how many there are in it.

        Raises:
            UserError: there is not one for each rank.
        """
        if size < self.count:
            message = f"a batch of {size} is less than one for each of {self.count} processes: start fewer"
            raise UserError(message if self.is_first else "")
        first, end = (size * rank // self.count for rank in (self.rank, self.rank + 1))
        return first, end - first

    def sum(self, value: float) -> float:
        """The sum over all ranks."""
        return self.reduce(value, "SUM")

    def largest(self, value: float) -> float:
        """The largest of all ranks."""
        return self.reduce(value, "MAX")

    def agree(self, value: float) -> float:
        """The value of the first rank."""
        return self.largest(value if self.is_first else -torch.inf)

    def reduce(self, value: float, operation: str) -> float:
        """One number of the numbers of all ranks."""
        if self.count == 1:
            return value
        from torch import distributed

        found = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(found, getattr(distributed.ReduceOp, operation))
        return found.item()

    def gather(self, part: Tensor, axis: int) -> Tensor:
        """The parts of all ranks side by side, on the first rank; on the others their own."""
        if self.count == 1:
            return part
        from torch import distributed

        shapes: list[Any] = [None] * self.count
        distributed.all_gather_object(shapes, tuple(part.shape))
        if not self.is_first:
            distributed.send(part.contiguous(), 0)
            return part
        parts = [part, *(part.new_empty(shape) for shape in shapes[1:])]
        for rank in range(1, self.count):
            distributed.recv(parts[rank], rank)
        return torch.cat(parts, axis)

    def train_together(self, module: nn.Module) -> nn.Module:
        """A module whose gradients are the mean over all ranks."""
        if self.count == 1:
            return module
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module)

    def from_first(self, function: Callable[[], Found]) -> Found:
        """What a function returns on the first rank, where alone it is called.

        Raises:
            UserError: it raised one; the message is empty on the other ranks, so that it is printed once.
        """
        if self.count == 1:
            return function()
        from torch import distributed

        outcome: list[Any] = [call(function) if self.is_first else None]
        distributed.broadcast_object_list(outcome, 0)
        found, error = outcome[0]
        self.raise_first([error])
        return found

    def on_each(self, function: Callable[[], Found]) -> Found:
        """What a function returns, called on each rank.

        Raises:
            UserError: on one of the ranks it raised one; the message is empty on all but the first rank.
        """
        if self.count == 1:
            return function()
        from torch import distributed

        found, error = call(function)
        errors: list[str | None] = [None] * self.count
        distributed.all_gather_object(errors, error)
        self.raise_first(errors)
        return found

    def raise_first(self, errors: list[str | None]) -> None:
        """Raise the first message, if there is one."""
        for rank, error in enumerate(errors):
            if error is not None:
                where = f"process {rank} of {self.count}: " if rank else ""
                raise UserError(f"{where}{error}" if self.is_first else "")


def call(function: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a function returns, and the message of the UserError that it raises."""
    try:
        return function(), None
    except UserError as error:
        return None, str(error)


@contextmanager
def join_ranks() -> Iterator[Ranks]:
    """Meet the other processes of this run, if there are any.

    Raises:
        UserError: they cannot be reached, or one has ended before the others.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or not all(name in os.environ for name in VARIABLES):
        yield Ranks()
        return
    from torch import distributed

    rank = int(os.environ["RANK"])
    try:
        distributed.init_process_group("gloo")
        try:
            yield Ranks(rank, count)
        finally:
            distributed.destroy_process_group()
    except (RuntimeError, distributed.DistError) as error:
        if not any(each in str(error) for each in LOST):
            raise
        raise UserError(
            f"process {rank} of {count} lost another one, which has ended or cannot be reached; what was saved last "
            "stays: start all of them again, with --resume"
        ) from None
