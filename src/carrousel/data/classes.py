"""Labels as classes: their order, their numbers, and a split in which each class has its share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def sort_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The distinct labels: numbers by their value, then words."""

    def key(label: str) -> tuple[bool, float, str]:
        try:
            number = float(label)
        except ValueError:
            number = math.nan
        return (False, number, label) if math.isfinite(number) else (True, 0.0, label)

    return tuple(sorted(set(labels), key=key))


def split_by_class(
    targets: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split examples so that each class has about the same fraction in both parts; each class trains.

    Args:
        targets: the class of each [B].
        fraction: of the second part.
        seed: the same seed gives the same split.

    Returns:
        The indices of the first part and those of the second, both increasing.
    """
    random = np.random.default_rng(seed)
    counts = np.bincount(targets)
    shares = fraction * counts
    held_out = np.minimum(shares.astype(np.int64), np.maximum(counts - 1, 0))
    rest = np.where(held_out < counts - 1, shares - held_out, -1.0)
    for number in np.argsort(-rest, kind="stable")[: max(0, round(fraction * len(targets)) - int(held_out.sum()))]:
        held_out[number] += rest[number] > 0
    chosen = [random.permutation(np.flatnonzero(targets == number))[:count] for number, count in enumerate(held_out)]
    second = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(targets)), second), second
