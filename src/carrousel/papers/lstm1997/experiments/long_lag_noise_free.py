"""Experiment 2a: noise-free sequences with long time lags (section 5.2).

p + 1 symbols a_1 ... a_(p-1), a_p = x, a_(p+1) = y, and two sequences: (y, a_1, ..., a_(p-1), y) and (x, a_1, ...,
a_(p-1), x), each with probability 0.5. At each symbol the next one is to be predicted: the first must be kept p steps.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.criteria import Within
from carrousel.papers.lstm1997.network import Network
from carrousel.papers.lstm1997.row import Experiment, Row, Source, change
from carrousel.papers.lstm1997.sequences import Sequences
from carrousel.papers.lstm1997.streams import Stream


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


def network(p: int) -> Network:
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


def source(stream: Stream, trial: int) -> Source:
    """The two sequences, at random, and to be examined both."""
    return Source(partial(sequences, p=100), both(p=100))


LITERAL = Row("2a", "p = 100", network(p=100), 1.0, source, Within(0.25), wrong_from=None, steps=100, grows=True)
NO_SLOPE = change(LITERAL, "no-slope", error="entropy")
SHUT = change(LITERAL, "shut-new-gate", opening=-3.0)

EXPERIMENT = Experiment(
    "long-lag-noise-free",
    "Experiment 2a: noise-free sequences with long time lags",
    rows=(LITERAL,),
    variants=(
        change(NO_SLOPE, "shut-new-gate", opening=-3.0),
        SHUT,
        NO_SLOPE,
        change(LITERAL, "cell-from-start", grows=False),
        change(LITERAL, "step-updates", update="step"),
    ),
    silent=(
        "weights change once, at the end of each sequence",
        "success: both sequences within 0.25 at every step, examined every 100 sequences",
        "the error has stopped decreasing when the mean squared error of 100 sequences is not 1 % below that of the "
        "100 before; then the memory cell and its input gate come, with new random weights",
    ),
    explained=(
        "Read literally, the new cell disturbs what was learned: gate and g, both logistic, are half open, so that the "
        "cell's state, which h does not bound, grows by a quarter at each step, to 25 at the end of the sequence. Once "
        "its gate has shut, x and y are told apart, but the last of two outputs to come within 0.25 takes some 15,000 "
        "sequences: the slope f' of outputs near 0 slows down what is left to learn. `shut-new-gate-no-slope` adds -3 "
        "to the new input gate's weights and leaves f' out of the output units' error; the others make one change "
        "each."
    ),
)
