"""Experiment 2a: noise-free sequences with long time lags (section 5.2).

p + 1 symbols a_1 ... a_(p-1), a_p = x, a_(p+1) = y, and two sequences: (y, a_1, ..., a_(p-1), y) and (x, a_1, ...,
a_(p-1), x), each with probability 0.5. At each symbol the next one is to be predicted: the first must be kept p steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.sequences import Sequences


def sequences(rng: np.random.Generator, n: int, p: int) -> Sequences:
    """n sequences of p predictions; symbol a_k has number k - 1."""
    first = rng.integers(p - 1, p + 1, (n, 1), dtype=np.int32)
    middle = np.broadcast_to(np.arange(p - 1, dtype=np.int32), (n, p - 1))
    return framed(first, middle)


def both(p: int) -> Sequences:
    """The two sequences that there are."""
    first = np.array([[p - 1], [p]], np.int32)
    return framed(first, np.broadcast_to(np.arange(p - 1, dtype=np.int32), (2, p - 1)))


def framed(first: NDArray, middle: NDArray) -> Sequences:
    """Sequences that end with the symbol they begin with.

    Args:
        first: x or y [n, 1].
        middle: the symbols between [n, p - 1].
    """
    whole = np.concatenate((first, middle, first), axis=1)
    n, length = whole.shape
    lengths = np.full(n, length - 1, np.int32)
    return Sequences(lengths, whole[:, :-1].reshape(-1), whole[:, 1:].reshape(-1))
