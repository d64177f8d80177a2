"""Experiment 2a: noise-free sequences with long time lags (section 5.2).

p + 1 symbols a_1 ... a_(p-1), a_p = x, a_(p+1) = y, and two sequences: (y, a_1, ..., a_(p-1), y) and (x, a_1, ...,
a_(p-1), x), each with probability 0.5. At each symbol the target is the next one: the first symbol must be
remembered for p steps.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from carrousel.online.lstm1997.network import Network
from carrousel.papers.harness.criteria import Within
from carrousel.papers.harness.paper_row import Experiment, PaperRow, Source
from carrousel.papers.harness.random_streams import RandomStreams
from carrousel.papers.harness.sequences import Ints, Sequences
from carrousel.papers.lstm1997.methods.lstm import LSTM
from carrousel.papers.lstm1997.readings import change
from carrousel.papers.lstm1997.tables import PAPER


def sample_sequences(rng: np.random.Generator, n: int, p: int) -> Sequences:
    """Sample n sequences of p predictions; symbol a_k has number k - 1."""
    first = rng.integers(p - 1, p + 1, (n, 1), dtype=np.int32)
    middle = np.broadcast_to(np.arange(p - 1, dtype=np.int32), (n, p - 1))
    return frame(first, middle)


def list_sequences(p: int) -> Sequences:
    """Both sequences of the task."""
    first = np.array([[p - 1], [p]], np.int32)
    return frame(first, np.broadcast_to(np.arange(p - 1, dtype=np.int32), (2, p - 1)))


def frame(first: Ints, middle: Ints) -> Sequences:
    """Sequences that end with the symbol with which they begin.

    Args:
        first: x or y [n, 1].
        middle: the symbols between [n, p - 1].
    """
    whole = np.concatenate((first, middle, first), axis=1)
    n, length = whole.shape
    lengths = np.full(n, length - 1, np.int32)
    return Sequences(lengths, whole[:, :-1].reshape(-1), whole[:, 1:].reshape(-1))


def make_network(p: int) -> Network:
    """A memory cell and an input gate that see the inputs; outputs that see the inputs and the cell; no biases."""
    return Network(
        inputs=p + 1,
        outputs=p + 1,
        blocks=1,
        output_gates=False,
        connectivity="B",
        g="g1",
        h="id",
        weight_range=0.2,
    )


def source(streams: RandomStreams, trial: int) -> Source:
    """The two sequences in random order; both are examined."""
    return Source(partial(sample_sequences, p=100), list_sequences(p=100))


LITERAL = PaperRow(
    "2a",
    "p = 100",
    LSTM(make_network(p=100), 1.0, grows=True),
    source,
    Within(0.25),
    wrong_from=None,
    steps=100,
    paper=PAPER["lstm", "2a"],
)
NO_SLOPE = change(LITERAL, "no-slope", settings={"error": "entropy"})
SHUT = change(LITERAL, "shut-new-gate", settings={"opening": -3.0})

EXPERIMENT = Experiment(
    "long-lag-noise-free",
    "Experiment 2a: noise-free sequences with long time lags",
    rows=(LITERAL,),
    variants=(
        change(NO_SLOPE, "shut-new-gate", settings={"opening": -3.0}),
        SHUT,
        NO_SLOPE,
        change(LITERAL, "cell-from-start", settings={"grows": False}),
        change(LITERAL, "stepwise", settings={"update": "step"}),
    ),
    silent=(
        "weights change once, at the end of each sequence",
        "success: both sequences within 0.25 at every step, examined every 100 sequences",
        "the error has stopped decreasing when the mean squared error of 100 sequences is not 1 % below that of the "
        "100 before; then the memory cell and its input gate are added, with new random weights",
    ),
    explained=(
        "Read literally, the new cell disturbs what was learned: gate and g, both logistic, are half open, so that "
        "the cell's state, which h does not bound, grows by a quarter at each step, to 25 at the end of the sequence. "
        "Once its gate has shut, x and y are distinguished, but the last of two outputs to come within 0.25 takes "
        "some 15,000 sequences: the slope f' of outputs near 0 slows down what is left to learn. "
        "`shut-new-gate-no-slope` adds -3 to the new input gate's weights and leaves f' out of the output units' "
        "error; the others make one change each."
    ),
)
