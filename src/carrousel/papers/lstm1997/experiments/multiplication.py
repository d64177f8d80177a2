"""Experiment 5: the multiplication problem (section 5.5).

As Experiment 4, but values are in [0, 1], and at the end the product X1 * X2 is to be told. A solution cannot be found
by adding up in a cell; the negative input gate biases of Experiment 4 are left out.
"""

from __future__ import annotations

import numpy as np

from carrousel.papers.lstm1997.experiments.adding import marked_pairs
from carrousel.papers.lstm1997.sequences import Sequences


def sequences(rng: np.random.Generator, n: int, T: int) -> Sequences:
    """n sequences. If the first pair gets marked, its value counts as 1."""
    lengths, x, X1, X2 = marked_pairs(rng, n, T, lowest=0.0, neutral=1.0)
    return Sequences(lengths, x, (X1 * X2)[:, None])
