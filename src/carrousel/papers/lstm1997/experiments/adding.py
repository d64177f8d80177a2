"""Experiment 4: the adding problem (section 5.4).

Each element is a pair: a random value in [-1, 1], and a marker. Two pairs are marked with 1.0: one of the first ten
pairs (its value is X1), and one of the first T/2 - 1 pairs that are still unmarked (X2). The first and the last pair's
markers are -1, all others 0. Lengths are random in [T, T + T/10]. The target at the end is 0.5 + (X1 + X2) / 4.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from carrousel.online.lstm1997.network import Network
from carrousel.papers.harness.criteria import Running
from carrousel.papers.harness.paper_row import Experiment, PaperRow, generated
from carrousel.papers.harness.sequences import Floats, Ints, Sequences, sample_lengths, starts
from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.methods.lstm import LSTM
from carrousel.papers.lstm1997.readings import change
from carrousel.papers.lstm1997.tables import PAPER


def sample_sequences(rng: np.random.Generator, n: int, T: int) -> Sequences:
    """Sample n sequences. If the first pair gets marked, its value counts as 0."""
    lengths, x, X1, X2 = sample_marked_pairs(rng, n, T, lowest=-1.0, neutral=0.0)
    return Sequences(lengths, x, (0.5 + (X1 + X2) / 4.0)[:, None])


def sample_marked_pairs(
    rng: np.random.Generator, n: int, T: int, lowest: float, neutral: float
) -> tuple[Ints, Floats, Floats, Floats]:
    """Sample pairs of a value and a marker, for n sequences.

    The first pair's marker is -1 even if the pair is marked, so that the mark is invisible: its value does not count,
    whichever of the two marks it has.

    Args:
        rng: random numbers.
        n: number of sequences.
        T: the shortest length; even, at least 20.
        lowest: values are uniform between this and 1.
        neutral: counts instead of the first pair's value if that pair is marked.

    Returns:
        Lengths [n], pairs [sum(lengths), 2], and the marked values X1 and X2 [n].
    """
    lengths = sample_lengths(rng, n, T)
    begin = starts(lengths)
    first, second = sample_marks(rng, n, T)
    x = np.zeros((lengths.sum(), 2), np.float32)
    x[:, 0] = lowest + (1 - lowest) * rng.random(len(x), dtype=np.float32)
    X1 = np.where(first == 0, neutral, x[begin + first, 0]).astype(np.float32)
    X2 = np.where(second == 0, neutral, x[begin + second, 0]).astype(np.float32)
    x[begin + first, 1] = x[begin + second, 1] = 1.0
    x[begin, 1] = x[begin + lengths - 1, 1] = -1.0
    return lengths, x, X1, X2


def sample_marks(rng: np.random.Generator, n: int, T: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sample the marked positions, from 0: one of the first ten, and another of the first T/2 [n] each."""
    first = rng.integers(0, 10, n)
    second = rng.integers(0, T // 2 - 1, n)
    return first, second + (second >= first)


NETWORK = Network(
    inputs=2,
    outputs=1,
    blocks=2,
    block_size=2,
    biased="all",
    input_gate_bias=(-3.0, -6.0),
    weight_range=0.1,
)
ST3 = Stop(bound=0.04, window=2000, mean=0.01)
CRITERION, SPACED = Running(ST3), Running(replace(ST3, every=1000))


def row(number: str, T: int) -> PaperRow:
    """A row of Table 7."""
    training = generated(partial(sample_sequences, T=T))
    return PaperRow(
        number,
        f"T = {T}",
        LSTM(NETWORK, 0.5),
        training,
        CRITERION,
        wrong_from=0.04,
        steps=T + T // 20,
        paper=PAPER["lstm", number],
        long=T > 100,
    )


ROWS = (row("4-1", T=100), row("4-2", T=500), row("4-3", T=1000))
LINEAR = tuple(change(row, "linear-output", settings={"network": replace(NETWORK, output="linear")}) for row in ROWS)
APART = tuple(
    change(row, "input-only-cells", settings={"network": replace(row.method.network, recurrent_cells=False)})
    for row in LINEAR
)
UNBIASED = tuple(
    change(
        row,
        "no-bias",
        "every-1k",
        settings={"network": replace(row.method.network, biased="gates and outputs")},
        criterion=SPACED,
    )
    for row in LINEAR
)
LOOSE = Running(Stop(bound=0.2, window=2000, mean=0.01, measure="squared"))

EXPERIMENT = Experiment(
    "adding",
    "Experiment 4: adding problem",
    rows=ROWS,
    variants=(
        *LINEAR,
        *APART,
        change(LINEAR[0], "every-1k", criterion=SPACED),
        *UNBIASED,
        change(ROWS[0], "no-slope", settings={"error": "entropy"}),
        change(ROWS[0], "rate-2", settings={"rate": 2.0}),
        change(ROWS[0], "squared-criterion", criterion=LOOSE),
    ),
    silent=(
        'the "average training error" is the mean absolute error of the 2000 most recent sequences',
        "the criterion is judged after each sequence",
        "if the first pair is marked, its marker stays -1 and its value counts as 0, whichever mark it is",
        "lengths are uniform in [T, T + T/10], both included",
    ),
    explained=(
        "Read literally, the output unit is logistic. Its targets reach from 0 to 1, where a logistic unit saturates: "
        "sequences whose X1 + X2 is near -2 or 2 stay wrong by more than 0.04 for a long time, and the criterion asks "
        "for 2000 sequences in a row without a single one wrong. `linear-output` has a linear output unit and is the "
        "paper's letter otherwise. The longer the lag, the further the states drift, because the gates feed the cells "
        "at each step, as in Experiment 2c; `linear-output-input-only-cells` holds the weights from the hidden layer "
        "into the cells at zero. Judged after each sequence, a trial ends at the first moment that meets the "
        "criterion, often by luck. The paper's figures are whole thousands; with `linear-output-every-1k` only a "
        "third as many test sequences are wrong. The cells' biases make the states drift as well, and are there to "
        "induce it; `linear-output-no-bias-every-1k` has none (89 weights instead of the paper's 93). `no-slope`, "
        "`rate-2` (four times the paper's rate) and `squared-criterion` change one thing each."
    ),
    inputs=("value", "marker"),
)
