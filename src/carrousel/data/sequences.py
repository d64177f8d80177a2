"""Sequences of any length, with a label each: what every reader of sequences returns."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from carrousel.errors import UserError

WITHOUT_LABEL = "sequences without a label"


@dataclass(frozen=True)
class Sequences:
    """Sequences of any length, end to end.

    Args:
        values: steps of all sequences, one sequence after another [N, F], float32; NaN where a value is missing.
        lengths: steps of each sequence [B], int64; the sum is N.
        labels: one for each sequence [B], as the file spells it, "" where it is missing; None: the file has none.
        names: what the user would call each sequence [B], for messages: "line 12", "id 7", "a/b.wav".
        channels: the name of each value of a step [F].
        skipped: what was left out and how often, for people: {"rows without a label": 3}; never silent.
    """

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]
    labels: tuple[str, ...] | None
    names: tuple[str, ...]
    channels: tuple[str, ...]
    skipped: dict[str, int]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each sequence starts, and where the last one ends [B + 1]."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    def select(self, indices: Sequence[int]) -> Sequences:
        """Some of the sequences, in this order; what was skipped stays."""
        offsets = self.offsets
        parts = [self.values[offsets[index] : offsets[index + 1]] for index in indices]
        return replace(
            self,
            values=np.concatenate(parts) if parts else self.values[:0],
            lengths=self.lengths[list(indices)],
            labels=None if self.labels is None else tuple(self.labels[index] for index in indices),
            names=tuple(self.names[index] for index in indices),
        )

    def with_labels_only(self) -> Sequences:
        """The sequences that have a label; the others are counted in `skipped`."""
        labels = self.labels or ("",) * len(self)
        indices = [index for index, label in enumerate(labels) if label]
        if len(indices) == len(self):
            return self
        left_out = self.skipped.get(WITHOUT_LABEL, 0) + len(self) - len(indices)
        return replace(self.select(indices), skipped={**self.skipped, WITHOUT_LABEL: left_out})

    def digest(self) -> str:
        """Differs for different values, lengths, labels, or another order."""
        found = hashlib.sha256(repr((self.values.shape, self.labels)).encode("utf-8", "surrogatepass"))
        found.update(np.ascontiguousarray(self.values).data)
        found.update(np.ascontiguousarray(self.lengths).data)
        return found.hexdigest()


def join(parts: Sequence[Sequences], files: Sequence[str]) -> Sequences:
    """The sequences of several files, one file after another; names get that of their file.

    Raises:
        UserError: they have other channels, or some have labels and others have none.
    """
    first, *others = parts
    if not others:
        return first
    for part, file in zip(others, files[1:]):
        if part.channels != first.channels:
            raise UserError(
                f"{file} has {len(part.channels)} channels ({', '.join(part.channels)}), {files[0]} has "
                f"{len(first.channels)} ({', '.join(first.channels)}): name files with the same channels"
            )
        if (part.labels is None) != (first.labels is None):
            raise UserError(f"{file} and {files[0]} do not both have labels: name files of one kind")
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    return Sequences(
        values=np.concatenate([part.values for part in parts]),
        lengths=np.concatenate([part.lengths for part in parts]),
        labels=None if first.labels is None else tuple(label for part in parts for label in part.labels or ()),
        names=tuple(f"{file}, {name}" for part, file in zip(parts, files) for name in part.names),
        channels=first.channels,
        skipped=dict(skipped),
    )
