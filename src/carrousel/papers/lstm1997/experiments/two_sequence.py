"""Experiment 3: noise and signal on the same channel, the 2-sequence problem (section 5.3).

One input line, two classes of equal probability. The first N elements tell the class, +1 or -1; all others are Gaussian
noise of variance 0.2. Lengths are random in [T, T + T/10]. At the end the class is to be told.

3a: targets 1.0 (class 1) and 0.0 (class 2). 3b: the same noise on the first N elements too. 3c: as 3a, targets 0.2 and
0.8 with Gaussian noise of variance 0.1 of their own.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from carrousel.papers.lstm1997.sequences import Sequences, random_lengths, starts

TARGETS = {"3a": (1.0, 0.0), "3b": (1.0, 0.0), "3c": (0.2, 0.8)}  # of class 1 and class 2


def sequences(rng: np.random.Generator, n: int, T: int, N: int, task: str) -> Sequences:
    """n sequences; the N informative elements count in the length.

    Args:
        rng: where chance comes from.
        n: how many.
        T: the shortest length.
        N: the informative elements.
        task: "3a", "3b" or "3c".
    """
    lengths = random_lengths(rng, n, T)
    second = rng.integers(0, 2, n)  # 0: class 1, 1: class 2
    x = rng.standard_normal(lengths.sum(), dtype=np.float32)
    x *= np.float32(sqrt(0.2))
    informative = starts(lengths)[:, None] + np.arange(N)
    signal = (1 - 2 * second)[:, None].astype(np.float32)
    x[informative] = x[informative] + signal if task == "3b" else signal
    truth = np.array(TARGETS[task], np.float32)[second][:, None]
    if task != "3c":
        return Sequences(lengths, x[:, None], truth)
    noise = np.float32(sqrt(0.1)) * rng.standard_normal((n, 1), dtype=np.float32)
    return Sequences(lengths, x[:, None], truth + noise, truth)
