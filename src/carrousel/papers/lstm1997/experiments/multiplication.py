"""Experiment 5: the multiplication problem (section 5.5).

As Experiment 4, but values are in [0, 1], and at the end the product X1 * X2 is to be told. A solution cannot be found
by adding up in a cell; the negative input gate biases of Experiment 4 are left out.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from carrousel.papers.lstm1997.criteria import Running
from carrousel.papers.lstm1997.experiments.adding import marked_pairs
from carrousel.papers.lstm1997.network import Network
from carrousel.papers.lstm1997.row import Experiment, Row, change, drawn
from carrousel.papers.lstm1997.sequences import Sequences
from carrousel.papers.lstm1997.trainer import Stop


def sequences(rng: np.random.Generator, n: int, T: int) -> Sequences:
    """n sequences. If the first pair gets marked, its value counts as 1."""
    lengths, x, X1, X2 = marked_pairs(rng, n, T, lowest=0.0, neutral=1.0)
    return Sequences(lengths, x, (X1 * X2)[:, None])


NETWORK = Network(inputs=2, outputs=1, blocks=2, block_size=2, biased="all", weight_range=0.1)


def few_wrong(n_seq: int, every: int = 1) -> Running:
    """Fewer than n_seq of the 2000 most recent training sequences have an error above 0.04."""
    return Running(Stop(bound=0.04, window=2000, allowed=n_seq - 1, every=every))


def row(number: str, n_seq: int) -> Row:
    """A row of Table 8."""
    training = drawn(partial(sequences, T=100))
    return Row(
        number,
        f"n_seq = {n_seq}",
        NETWORK,
        0.1,
        training,
        few_wrong(n_seq),
        wrong_from=0.04,
        steps=105,
        long=n_seq < 140,
    )


N_SEQ = {"5-1": 140, "5-2": 13}
ROWS = tuple(row(number, n_seq) for number, n_seq in N_SEQ.items())
NO_SLOPE = tuple(change(row, "no-slope", error="entropy") for row in ROWS)
SPACED = tuple(change(row, "judged-10000", criterion=few_wrong(N_SEQ[row.number], every=10_000)) for row in NO_SLOPE)

EXPERIMENT = Experiment(
    "multiplication",
    "Experiment 5: multiplication problem",
    rows=ROWS,
    variants=(
        *NO_SLOPE,
        *SPACED,
        *(change(row, "linear-output", network=replace(NETWORK, output="linear")) for row in ROWS),
    ),
    silent=(
        "each row trains from the same start: the trials of 5-2 go on where those of 5-1 stop",
        "the criterion is judged after each sequence",
        'the column "MSE" is taken as mean absolute error: no mean square can be so large with so few wrong',
        "when the first pair gets marked, its marker stays -1 and its value counts as 1, whichever mark it was",
    ),
    explained=(
        "Read literally, with a logistic output unit and f' in its error, learning is slow where the target is near 0, "
        "as most products are: f' is small there. `no-slope` takes e_k = t - y, which is the gradient of the cross "
        "entropy; `linear-output` has a linear output unit. More of the 2560 test sequences are wrong than in the "
        "paper: judged after each sequence, a trial ends at the first moment that meets the criterion, which is often "
        "a lucky one. The paper's figures are whole thousands. With `no-slope-judged-10000` fewer are wrong, but still "
        "more than in the paper, whose 139 of 2560 are a quarter fewer than the 140 of 2000 that the criterion allows."
    ),
    inputs=("value", "marker"),
)
