"""A block of sequences, laid end to end without padding, as an experiment makes it and a method reads it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Sequences(NamedTuple):
    """N sequences, their steps laid end to end: step t of sequence n is at index `starts(lengths)[n] + t`.

    Symbols are integers: input unit x[index] is 1, all others are 0.

    Args:
        lengths: steps of each sequence [N].
        x: inputs [sum(lengths), n_in], or symbols [sum(lengths)].
        targets: of the output units: [N, K] or symbols [N] if only the last step of a sequence has an error,
            [sum(lengths), K] or symbols [sum(lengths)] if every step has one.
        truth: what a test compares the outputs with, in the shape of `targets`, if it differs from them: targets
            without noise [N, K] float32, or the legal outputs [sum(lengths), K] bool of steps that have several.
    """

    lengths: Ints
    x: Floats | Ints
    targets: Floats | Ints
    truth: Floats | NDArray[np.bool_] | None = None

    @property
    def at_end(self) -> bool:
        """Whether only the last step of a sequence has an error."""
        return len(self.targets) == len(self.lengths)

    def part(self, first: int, last: int) -> Sequences:
        """Sequences first to last - 1, or to the end of the block; a view."""
        last = min(last, len(self.lengths))
        ends = np.concatenate(([0], np.cumsum(self.lengths)))
        steps = slice(ends[first], ends[last])
        outputs = slice(first, last) if self.at_end else steps
        truth = None if self.truth is None else self.truth[outputs]
        return Sequences(self.lengths[first:last], self.x[steps], self.targets[outputs], truth)

    def select(self, chosen: NDArray[np.integer]) -> Sequences:
        """A copy of the chosen sequences, in that order; a sequence may be chosen more than once."""
        lengths = self.lengths[chosen]
        steps = np.repeat(starts(self.lengths)[chosen], lengths) + positions(lengths)
        outputs = chosen if self.at_end else steps
        truth = None if self.truth is None else self.truth[outputs]
        return Sequences(lengths, self.x[steps], self.targets[outputs], truth)

    def concat(self, other: Sequences) -> Sequences:
        """These sequences, then the other ones."""
        both: Any = [None if a is None or b is None else np.concatenate((a, b)) for a, b in zip(self, other)]
        return Sequences(*both)

    def with_truth(self) -> Sequences:
        """The same sequences with truth as their targets, if truth is numeric: what errors are evaluated against."""
        return self if self.truth is None or self.truth.dtype.kind != "f" else self._replace(targets=self.truth)


def starts(lengths: Ints) -> NDArray[np.int64]:
    """Index of each sequence's first step [N]."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


def positions(lengths: Ints) -> Ints:
    """Step t of each index in its own sequence, from 0 [sum(lengths)]."""
    return (np.arange(lengths.sum()) - np.repeat(starts(lengths), lengths)).astype(np.int32)


def sample_lengths(rng: np.random.Generator, n: int, T: int) -> Ints:
    """Sample lengths [n], uniform in [T, T + T/10], both ends included."""
    return rng.integers(T, T + T // 10 + 1, n, dtype=np.int32)
