"""Experiment 2b: no local regularities (section 5.2).

As Experiment 2a, but the symbols between the first and the last are drawn at random from a_1 ... a_(p-1): only the last
symbol can be predicted.
"""

from __future__ import annotations

import numpy as np

from carrousel.papers.lstm1997.experiments.long_lag_noise_free import framed
from carrousel.papers.lstm1997.sequences import Sequences


def sequences(rng: np.random.Generator, n: int, p: int) -> Sequences:
    """n sequences of p predictions; symbol a_k has number k - 1, x is p - 1, y is p."""
    first = rng.integers(p - 1, p + 1, (n, 1), dtype=np.int32)
    middle = rng.integers(0, p - 1, (n, p - 1), dtype=np.int32)
    return framed(first, middle)
