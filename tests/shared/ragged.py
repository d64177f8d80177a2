"""Sequences of different lengths in memory, for the tests of estimators."""

from __future__ import annotations

import numpy as np

LABELS = np.array(["slow", "fast", "wild"])
SMALL = {"hidden": 8, "steps": 60, "random_state": 0}


def ragged(count: int = 60, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    """Arrays [T_i, 2] and a label each: the first channel differs in its mean by label, the second is noise."""
    random = np.random.default_rng(seed)
    numbers = np.arange(count) % len(LABELS)
    lengths = random.integers(1, 9, count)
    found = [random.normal([2.0 * number, 50.0], 0.5, (T, 2)) for number, T in zip(numbers, lengths)]
    return found, LABELS[numbers]


def means(X: list[np.ndarray]) -> np.ndarray:
    """A number for each sequence: the mean of its first channel [N]."""
    return np.array([one[:, 0].mean() for one in X])


def end_to_end(X: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same as an array [sum T_i, F] with lengths [N]."""
    return np.concatenate(X), np.array([len(one) for one in X])


def pad(X: list[np.ndarray], value: float = 1e6) -> np.ndarray:
    """The same as an array [N, T, F], with a value that must not be read beyond the end."""
    found = np.full((len(X), max(map(len, X)), X[0].shape[1]), value)
    for row, one in zip(found, X):
        row[: len(one)] = one
    return found
