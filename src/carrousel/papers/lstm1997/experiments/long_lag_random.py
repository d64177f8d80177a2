"""Experiment 2b: no local regularities (section 5.2).

As Experiment 2a, but the symbols between the first and the last are random from a_1 ... a_(p-1): only the last
symbol can be predicted.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from carrousel.papers.harness.criteria import Successive
from carrousel.papers.harness.paper_row import Experiment, PaperRow, generated
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.lstm1997.experiments.long_lag_noise_free import frame, make_network
from carrousel.papers.lstm1997.methods.lstm import LSTM
from carrousel.papers.lstm1997.readings import change
from carrousel.papers.lstm1997.tables import PAPER


def sample_sequences(rng: np.random.Generator, n: int, p: int) -> Sequences:
    """Sample n sequences of p predictions; symbol a_k has number k - 1, x is p - 1, y is p."""
    first = rng.integers(p - 1, p + 1, (n, 1), dtype=np.int32)
    middle = rng.integers(0, p - 1, (n, p - 1), dtype=np.int32)
    return frame(first, middle)


def sample_with_last_targets(rng: np.random.Generator, n: int, p: int) -> Sequences:
    """The same, but only the last step of a sequence has a target."""
    block = sample_sequences(rng, n, p)
    return block._replace(targets=block.targets[np.cumsum(block.lengths) - 1])


LITERAL = PaperRow(
    "2b",
    "p = 100",
    LSTM(make_network(p=100), 1.0, grows=True),
    generated(partial(sample_sequences, p=100)),
    Successive(bound=0.25),
    wrong_from=None,
    steps=100,
    paper=PAPER["lstm", "2b"],
)
AT_END = change(LITERAL, "error-at-end", source=generated(partial(sample_with_last_targets, p=100)))

EXPERIMENT = Experiment(
    "long-lag-random",
    "Experiment 2b: no local regularities",
    rows=(LITERAL,),
    variants=(
        change(AT_END, "no-slope", settings={"error": "entropy"}),
        AT_END,
        change(LITERAL, "no-slope", settings={"error": "entropy"}),
        change(LITERAL, "stepwise", settings={"update": "step"}),
    ),
    silent=(
        "weights change once, at the end of each sequence",
        "the 10,000 sequences are tried, with frozen weights, once the 1000 most recent training sequences were all "
        "right; only the sequences trained on count",
        "the error has stopped decreasing when the mean squared error of 100 sequences is not 1 % below that of the "
        "100 before; then the memory cell and its input gate are added, with new random weights",
    ),
    explained=(
        "Read literally, the outputs x and y have an error at each of the hundred steps, and at 99 of them it pushes "
        "them down: nothing in the input says which step is the last. No trial learns to predict x or y within 0.25 "
        "there. `error-at-end-no-slope` trains on the last symbol only, as most of the paper's experiments do, and "
        "leaves f' out of the output units' error; the others make one change each."
    ),
)
