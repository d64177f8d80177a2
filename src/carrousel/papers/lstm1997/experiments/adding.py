"""Experiment 4: the adding problem (section 5.4).

Each element is a pair: a random value in [-1, 1], and a marker. Two pairs are marked with 1.0: one of the first ten
pairs (its value is X1), and one of the first T/2 - 1 pairs that are still unmarked (X2). The first and the last pair's
markers are -1, all others 0. Lengths are random in [T, T + T/10]. At the end 0.5 + (X1 + X2) / 4 is to be told.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.criteria import Running
from carrousel.papers.lstm1997.network import Network
from carrousel.papers.lstm1997.row import Experiment, Row, change, drawn
from carrousel.papers.lstm1997.sequences import Floats, Ints, Sequences, random_lengths, starts
from carrousel.papers.lstm1997.trainer import Stop


def sequences(rng: np.random.Generator, n: int, T: int) -> Sequences:
    """n sequences. If the first pair gets marked, its value counts as 0."""
    lengths, x, X1, X2 = marked_pairs(rng, n, T, lowest=-1.0, neutral=0.0)
    return Sequences(lengths, x, (0.5 + (X1 + X2) / 4.0)[:, None])


def marked_pairs(
    rng: np.random.Generator, n: int, T: int, lowest: float, neutral: float
) -> tuple[Ints, Floats, Floats, Floats]:
    """Pairs of a value and a marker, for n sequences.

    The first pair's marker is -1 even when the pair is marked, so that no one can see the mark: its value does not
    count, whichever of the two marks fell on it.

    Args:
        rng: where chance comes from.
        n: how many sequences.
        T: the shortest length; even, at least 20.
        lowest: values are uniform between this and 1.
        neutral: what counts instead of the first pair's value when that pair gets marked.

    Returns:
        Lengths [n], pairs [sum(lengths), 2], and the marked values X1 and X2 [n].
    """
    lengths = random_lengths(rng, n, T)
    begin = starts(lengths)
    first, second = marks(rng, n, T)
    x = np.zeros((lengths.sum(), 2), np.float32)
    x[:, 0] = lowest + (1 - lowest) * rng.random(len(x), dtype=np.float32)
    X1 = np.where(first == 0, neutral, x[begin + first, 0]).astype(np.float32)
    X2 = np.where(second == 0, neutral, x[begin + second, 0]).astype(np.float32)
    x[begin + first, 1] = x[begin + second, 1] = 1.0
    x[begin, 1] = x[begin + lengths - 1, 1] = -1.0
    return lengths, x, X1, X2


def marks(rng: np.random.Generator, n: int, T: int) -> tuple[NDArray, NDArray]:
    """The marked positions, from 0: one of the first ten, and another of the first T/2 [n] each."""
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
JUDGED, SPACED = Running(ST3), Running(replace(ST3, every=1000))


def row(number: str, T: int) -> Row:
    """A row of Table 7."""
    training = drawn(partial(sequences, T=T))
    return Row(number, f"T = {T}", NETWORK, 0.5, training, JUDGED, wrong_from=0.04, steps=T + T // 20, long=T > 100)


ROWS = (row("4-1", T=100), row("4-2", T=500), row("4-3", T=1000))
LINEAR = tuple(change(row, "linear-output", network=replace(NETWORK, output="linear")) for row in ROWS)
APART = tuple(change(row, "input-only-cells", network=replace(row.network, recurrent_cells=False)) for row in LINEAR)
UNBIASED = tuple(
    change(
        row,
        "unbiased",
        "judged-1000",
        network=replace(row.network, biased="gates and outputs"),
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
        change(LINEAR[0], "judged-1000", criterion=SPACED),
        *UNBIASED,
        change(ROWS[0], "no-slope", error="entropy"),
        change(ROWS[0], "rate-2", rate=2.0),
        change(ROWS[0], "squared-criterion", criterion=LOOSE),
    ),
    silent=(
        'the "average training error" is the mean absolute error of the 2000 most recent sequences',
        "the criterion is judged after each sequence",
        "when the first pair gets marked, its marker stays -1 and its value counts as 0, whichever mark it was",
        "lengths are uniform in [T, T + T/10], both included",
    ),
    explained=(
        "Read literally, the output unit is logistic. Its targets reach from 0 to 1, where a logistic unit saturates: "
        "sequences whose X1 + X2 is near -2 or 2 stay wrong by more than 0.04 for a long time, and the criterion asks "
        "for 2000 sequences in a row without a single one wrong. `linear-output` has a linear output unit and is the "
        "paper's letter otherwise. The longer the lag, the further the states drift, because the gates feed the cells "
        "at each step, as in Experiment 2c; `linear-output-input-only-cells` holds the weights from the hidden layer "
        "into the cells at zero. Judged after each sequence, a trial ends at the first moment that meets the "
        "criterion, which is often a lucky one. The paper's figures are whole thousands; with "
        "`linear-output-judged-1000` only a third as many test sequences are wrong. The cells' biases make the states "
        "drift as well, and are there to induce it; `linear-output-unbiased-judged-1000` has none (89 weights instead "
        "of the paper's 93). `no-slope`, `rate-2` (four times the paper's rate) and `squared-criterion` change one "
        "thing each."
    ),
    inputs=("value", "marker"),
)
