"""Experiment 2b: no local regularities (section 5.2).

As Experiment 2a, but the symbols between the first and the last are drawn at random from a_1 ... a_(p-1): only the last
symbol can be predicted.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from carrousel.papers.lstm1997.criteria import Successive
from carrousel.papers.lstm1997.experiments.long_lag_noise_free import framed, network
from carrousel.papers.lstm1997.row import Experiment, Row, drawn
from carrousel.papers.lstm1997.sequences import Sequences


def sequences(rng: np.random.Generator, n: int, p: int) -> Sequences:
    """n sequences of p predictions; symbol a_k has number k - 1, x is p - 1, y is p."""
    first = rng.integers(p - 1, p + 1, (n, 1), dtype=np.int32)
    middle = rng.integers(0, p - 1, (n, p - 1), dtype=np.int32)
    return framed(first, middle)


EXPERIMENT = Experiment(
    "long-lag-random",
    "Experiment 2b: no local regularities",
    rows=(
        Row(
            "2b",
            "p = 100",
            network(p=100),
            1.0,
            drawn(partial(sequences, p=100)),
            Successive(bound=0.25),
            wrong_from=None,
            steps=100,
            grows=True,
        ),
    ),
    silent=(
        "weights change once, at the end of each sequence",
        "the 10,000 sequences are tried, with frozen weights, whenever the 100 most recent training sequences were all "
        "right; only the sequences trained on count",
        "the error has stopped decreasing when the mean squared error of 100 sequences is not 1 % below that of the "
        "100 before; then the memory cell and its input gate come, with new random weights",
    ),
)
