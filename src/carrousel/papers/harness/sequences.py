"""A block of sequences as a task makes it and the network reads it: one after the other, without padding."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Sequences(NamedTuple):
    """N sequences, their steps laid end to end: step t of sequence n is row `starts(lengths)[n] + t`.

    Symbols are given by number: input unit x[row] is 1, all others are 0.

    Args:
        lengths: steps of each sequence [N].
        x: inputs [sum(lengths), n_in], or symbols [sum(lengths)].
        targets: of the output units: [N, K] or symbols [N] when the error comes at a sequence's end only,
            [sum(lengths), K] or symbols [sum(lengths)] when it comes at every step.
        truth: what a test compares the outputs with, laid out like `targets`, where it is not the same: targets without
            noise [N, K] float32, or the legal outputs [sum(lengths), K] bool of a step that has several.
    """

    lengths: Ints
    x: Floats | Ints
    targets: Floats | Ints
    truth: Floats | NDArray[np.bool_] | None = None

    @property
    def at_end(self) -> bool:
        """Whether the error comes at a sequence's end only."""
        return len(self.targets) == len(self.lengths)

    def part(self, first: int, last: int) -> Sequences:
        """Sequences first to last - 1, or to the last one there is, without a copy."""
        last = min(last, len(self.lengths))
        ends = np.concatenate(([0], np.cumsum(self.lengths)))
        steps = slice(ends[first], ends[last])
        outputs = slice(first, last) if self.at_end else steps
        truth = None if self.truth is None else self.truth[outputs]
        return Sequences(self.lengths[first:last], self.x[steps], self.targets[outputs], truth)

    def taken(self, chosen: NDArray) -> Sequences:
        """The chosen sequences, in that order, copied; one may be chosen more than once."""
        lengths = self.lengths[chosen]
        steps = np.repeat(starts(self.lengths)[chosen], lengths) + positions(lengths)
        outputs = chosen if self.at_end else steps
        truth = None if self.truth is None else self.truth[outputs]
        return Sequences(lengths, self.x[steps], self.targets[outputs], truth)

    def joined(self, other: Sequences) -> Sequences:
        """These sequences, then the others."""
        both: Any = [None if a is None or b is None else np.concatenate((a, b)) for a, b in zip(self, other)]
        return Sequences(*both)


def starts(lengths: Ints) -> NDArray[np.int64]:
    """The row of each sequence's first step [N]."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


def positions(lengths: Ints) -> Ints:
    """Of each row, its step t in its own sequence, from 0 [sum(lengths)]."""
    return (np.arange(lengths.sum()) - np.repeat(starts(lengths), lengths)).astype(np.int32)


def random_lengths(rng: np.random.Generator, n: int, T: int) -> Ints:
    """Lengths uniform in [T, T + T/10], both included [n]."""
    return rng.integers(T, T + T // 10 + 1, n, dtype=np.int32)
