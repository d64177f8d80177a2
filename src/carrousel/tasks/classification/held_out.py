"""What a classifier is measured on: sequences with their classes, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass

from carrousel.data.examples import Examples


@dataclass(frozen=True)
class HeldOut:
    """Sequences that did not train.

    Args:
        examples: the sequences.
        train: the training data, for the baselines; None: not available.
        notes: what people should know of the data, a line each.
    """

    examples: Examples
    train: Examples | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)
