"""A network of 1997, and weights that are none, for the tests of bad input."""

from __future__ import annotations

import numpy as np

from carrousel.online.lstm1997.network import Network

NETWORK = Network(2, 3, 2, 2, biased="all", weight_range=0.5)
COUNT = NETWORK.weight_count
WEIGHTS = {
    "few": np.zeros(COUNT - 1),
    "none": None,
    "words": ["a"] * COUNT,
    "complex": np.zeros(COUNT, complex),
    "nan": np.full(COUNT, np.nan),
    "beyond float32": np.full(COUNT, -1e39),
}
