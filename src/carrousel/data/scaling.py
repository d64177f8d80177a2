"""Values of a size that networks learn from: each channel with mean 0 and deviation 1; and what replaces missing ones.

Letters: B sequences, F channels, N steps of all sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.sequences import Sequences
from carrousel.errors import UserError

IMPUTE = {
    "zero": "0 in the units of the data",
    "mean": "the mean of the channel in the training data",
    "last": "the last value of the channel in the sequence, before the first one the mean",
}
PIECE = 2**20  # steps that are scaled at a time: no second copy of all values is needed


@dataclass(frozen=True)
class Scaling:
    """The mean and the deviation of each channel [F], of the values that are not missing."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def measure(cls, sequences: Sequences, indices: NDArray[np.int64]) -> Scaling:
        """Mean and deviation of some of the sequences. A channel that never changes has deviation 1."""
        is_chosen = np.zeros(len(sequences), bool)
        is_chosen[indices] = True
        return cls.measure_steps(sequences.values, np.repeat(is_chosen, sequences.lengths))

    @classmethod
    def measure_steps(cls, values: NDArray[np.float32], steps: NDArray[np.bool_]) -> Scaling:
        """Mean and deviation of the chosen steps [N] of values [N, F]. A channel that never changes has deviation 1."""
        F = values.shape[1]
        count, total, squares = np.zeros(F), np.zeros(F), np.zeros(F)
        for part in chosen_pieces(values, steps):
            count += np.isfinite(part).sum(0)
            total += np.nansum(part, 0)
        mean = total / np.maximum(count, 1)
        for part in chosen_pieces(values, steps):
            squares += np.nansum((part - mean) ** 2, 0)
        deviation = np.sqrt(squares / np.maximum(count, 1))
        deviation[deviation <= 1e-7 * np.abs(mean)] = 1.0  # float32 rounds; also 0 for a channel of zeros
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    def apply(self, sequences: Sequences, name: str, impute: str | None) -> int:
        """Replace missing values and scale all, in place.

        Args:
            sequences: to change.
            name: where they are from, for the error message.
            impute: a key of IMPUTE; None: no value may be missing.

        Returns:
            How many values were missing.

        Raises:
            UserError: a value is missing, and `impute` is None.
        """
        values = sequences.values
        is_missing = np.isnan(values)
        missing = int(is_missing.sum())
        if missing and impute is None:
            raise UserError(describe_missing(sequences, is_missing, name))
        if missing and impute == "last":
            repeat_last(values, is_missing, sequences.offsets)
        filling = np.zeros(len(self.mean)) if impute == "zero" else np.array(self.mean)
        for start in range(0, len(values), PIECE):
            part = values[start : start + PIECE]
            filled = np.where(np.isnan(part), filling, part)
            part[...] = (filled - np.array(self.mean)) / np.array(self.deviation)
        return missing

    def to_json(self) -> dict[str, Any]:
        """In types that JSON has."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Scaling:
        """The inverse of `to_json`."""
        return cls(tuple(values["mean"]), tuple(values["deviation"]))


def chosen_pieces(values: NDArray[np.float32], steps: NDArray[np.bool_]) -> Iterator[NDArray[np.float64]]:
    """The chosen steps of values [N, F], a piece at a time, in float64."""
    for start in range(0, len(values), PIECE):
        yield values[start : start + PIECE][steps[start : start + PIECE]].astype(np.float64)


def repeat_last(values: NDArray[np.float32], is_missing: NDArray[np.bool_], offsets: NDArray[np.int64]) -> None:
    """Replace each missing value by the one before it in its sequence and channel, in place; others stay missing."""
    steps = np.arange(len(values))
    first = np.repeat(offsets[:-1], np.diff(offsets))  # the first step of each step's sequence
    for channel in np.flatnonzero(is_missing.any(0)):
        last = np.maximum.accumulate(np.where(is_missing[:, channel], -1, steps))
        known = last >= first
        values[known, channel] = values[last[known], channel]


def describe_missing(sequences: Sequences, is_missing: NDArray[np.bool_], name: str) -> str:
    """The error message for missing values: the first one, and how many there are."""
    step, channel = (int(index) for index in np.argwhere(is_missing)[0])
    offsets = sequences.offsets
    index = int(np.searchsorted(offsets, step, side="right")) - 1
    count = int(is_missing.sum())
    others = f", the first of {count:,}" if count > 1 else ""
    return (
        f"{name}, {sequences.names[index]}: {sequences.channels[channel]} missing at step {step - offsets[index] + 1}"
        f"{others}; choose what replaces missing values when you train: --impute {', '.join(IMPUTE)}"
    )
