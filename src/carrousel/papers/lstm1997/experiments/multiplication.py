"""Experiment 5: the multiplication problem (section 5.5).

As Experiment 4, but values are in [0, 1], and the target at the end is the product X1 * X2. A cell that only
adds up cannot solve it. There are no negative input gate biases as in Experiment 4.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from carrousel.online.lstm1997.network import Network
from carrousel.papers.harness.criteria import Running
from carrousel.papers.harness.paper_row import Experiment, PaperRow, generated
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.experiments.adding import sample_marked_pairs
from carrousel.papers.lstm1997.methods.lstm import LSTM
from carrousel.papers.lstm1997.readings import change
from carrousel.papers.lstm1997.tables import PAPER


def sample_sequences(rng: np.random.Generator, n: int, T: int) -> Sequences:
    """Sample n sequences. If the first pair is marked, its value counts as 1."""
    lengths, x, X1, X2 = sample_marked_pairs(rng, n, T, lowest=0.0, neutral=1.0)
    return Sequences(lengths, x, (X1 * X2)[:, None])


NETWORK = Network(inputs=2, outputs=1, blocks=2, block_size=2, biased="all", weight_range=0.1)


def allow_fewer_than(n_seq: int, every: int = 1) -> Running:
    """Fewer than n_seq of the 2000 most recent training sequences have an error above 0.04."""
    return Running(Stop(bound=0.04, window=2000, allowed=n_seq - 1, every=every))


def row(number: str, n_seq: int) -> PaperRow:
    """A row of Table 8."""
    training = generated(partial(sample_sequences, T=100))
    return PaperRow(
        number,
        f"n_seq = {n_seq}",
        LSTM(NETWORK, 0.1),
        training,
        allow_fewer_than(n_seq),
        wrong_from=0.04,
        steps=105,
        paper=PAPER["lstm", number],
        long=n_seq < 140,
    )


N_SEQ = {"5-1": 140, "5-2": 13}
ROWS = tuple(row(number, n_seq) for number, n_seq in N_SEQ.items())
NO_SLOPE = tuple(change(row, "no-slope", settings={"error": "entropy"}) for row in ROWS)
SPACED = tuple(
    change(row, "every-10k", criterion=allow_fewer_than(N_SEQ[row.number], every=10_000)) for row in NO_SLOPE
)

EXPERIMENT = Experiment(
    "multiplication",
    "Experiment 5: multiplication problem",
    rows=ROWS,
    variants=(
        *NO_SLOPE,
        *SPACED,
        *(change(row, "linear-output", settings={"network": replace(NETWORK, output="linear")}) for row in ROWS),
    ),
    silent=(
        "each row trains from the same start: the trials of 5-2 continue where those of 5-1 stop",
        "the criterion is judged after each sequence",
        'the column "MSE" is taken as mean absolute error: no mean square can be so large with so few wrong',
        "if the first pair is marked, its marker stays -1 and its value counts as 1, whichever mark it is",
    ),
    explained=(
        "Read literally, with a logistic output unit and f' in its error, learning is slow where the target is near "
        "0, as most products are: f' is small there. `no-slope` takes e_k = t - y, which is the gradient of the cross "
        "entropy; `linear-output` has a linear output unit. More of the 2560 test sequences are wrong than in the "
        "paper: judged after each sequence, a trial ends at the first moment that meets the criterion, which is often "
        "a lucky one. The paper's figures are whole thousands. With `no-slope-every-10k` fewer are wrong, but still "
        "more than in the paper, whose 139 of 2560 are a quarter fewer than the 140 of 2000 that the criterion "
        "allows."
    ),
    inputs=("value", "marker"),
)
