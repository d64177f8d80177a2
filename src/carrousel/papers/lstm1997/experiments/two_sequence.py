"""Experiment 3: noise and signal on the same channel, the 2-sequence problem (section 5.3).

One input line, two classes of equal probability. The first N elements show the class, +1 or -1; all others are Gaussian
noise of variance 0.2. Lengths are random in [T, T + T/10]. The target at the end is the class.

3a: targets 1.0 (class 1) and 0.0 (class 2). 3b: the same noise on the first N elements too. 3c: as 3a, targets 0.2 and
0.8 with Gaussian noise of variance 0.1 of their own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import sqrt

import numpy as np

from carrousel.online.lstm1997.network import Network
from carrousel.papers.harness.criteria import TestSet
from carrousel.papers.harness.paper_row import Experiment, PaperRow, generated
from carrousel.papers.harness.sequences import Sequences, sample_lengths, starts
from carrousel.papers.lstm1997.methods.lstm import LSTM
from carrousel.papers.lstm1997.readings import change
from carrousel.papers.lstm1997.tables import PAPER

TARGETS = {"3a": (1.0, 0.0), "3b": (1.0, 0.0), "3c": (0.2, 0.8)}  # of class 1 and class 2


def sample_sequences(rng: np.random.Generator, n: int, T: int, N: int, task: str) -> Sequences:
    """Sample n sequences; the N informative elements count in the length.

    Args:
        rng: random numbers.
        n: number of sequences.
        T: the shortest length.
        N: number of informative elements.
        task: "3a", "3b" or "3c".
    """
    lengths = sample_lengths(rng, n, T)
    second = rng.integers(0, 2, n)  # 0: class 1, 1: class 2
    x = rng.standard_normal(lengths.sum(), dtype=np.float32)
    x *= np.float32(sqrt(0.2))
    informative = starts(lengths)[:, None] + np.arange(N)
    signal = (1 - 2 * second)[:, None].astype(np.float32)
    x[informative] = x[informative] + signal if task == "3b" else signal
    truth = np.array(TARGETS[task], np.float32)[second][:, None]
    if task != "3c":
        return Sequences(lengths, x[:, None], truth)
    noise = np.float32(sqrt(0.1)) * rng.standard_normal((n, 1), dtype=np.float32)
    return Sequences(lengths, x[:, None], truth + noise, truth)


NETWORK = Network(
    inputs=1,
    outputs=1,
    blocks=3,
    biased="hidden",
    input_gate_bias=(-1.0, -3.0, -5.0),
    output_gate_bias=(-2.0, -4.0, -6.0),
    weight_range=0.1,
)
RATES = {"3a": 1.0, "3b": 1.0, "3c": 0.1}
CRITERIA = {
    "3a": TestSet(wrong_from=0.2, fewer_than=1, means=(None, 0.01)),
    "3b": TestSet(wrong_from=0.2, fewer_than=6, means=(None, 0.04)),
    "3c": TestSet(wrong_from=0.1, fewer_than=1, means=(0.015,)),
}


def row(number: str, T: int, N: int) -> PaperRow:
    """A row of Tables 4, 5 or 6."""
    task = number[:2]
    return PaperRow(
        number,
        f"{task}: T = {T}, N = {N}",
        LSTM(NETWORK, RATES[task]),
        generated(partial(sample_sequences, T=T, N=N, task=task)),
        CRITERIA[task],
        wrong_from=CRITERIA[task].wrong_from,
        steps=T + T // 20,
        paper=PAPER["lstm", number],
        long=T > 100 or task == "3c",
    )


ROWS = (
    row("3a-1", T=100, N=3),
    row("3a-2", T=100, N=1),
    row("3a-3", T=1000, N=3),
    row("3b-1", T=100, N=3),
    row("3b-2", T=100, N=1),
    row("3b-3", T=1000, N=1),
    row("3c-1", T=100, N=3),
    row("3c-2", T=100, N=1),
)
ONE_SET = tuple(
    change(row, "fixed-test-set", criterion=replace(CRITERIA[row.number[:2]], fixed=True))
    for row in ROWS
    if row.steps < 200
)

STEEP = tuple(
    change(row, "steep", settings={"error": "entropy", "rate": row.method.rate / 4})
    for row in ROWS
    if row.number.startswith("3b")
)
PATIENT = change(ROWS[5], "ten-million", until=10_000_000)

EXPERIMENT = Experiment(
    "two-sequence",
    "Experiment 3: noise and signal on the same channel",
    rows=ROWS,
    variants=(PATIENT, *ONE_SET, *STEEP),
    silent=(
        "ST1 and ST2 are judged every 100 sequences, on 256 sequences that are sampled anew each time",
        "the N informative elements count in the length; lengths are uniform in [T, T + T/10], both included",
    ),
    explained=(
        'The paper does not say whether its "randomly chosen test set" is chosen once. A fixed set (`fixed-test-set`) '
        "may hold a sequence that an otherwise correct network never gets right: then the trial never ends. With a "
        "set that changes, a trial can end a little earlier by luck. In 3b-3 all trials hold their outputs near 0.5 "
        "for more than a million sequences, and two are still there at the cap; when they run on, these two succeed "
        "as well (`ten-million`; the paper names no bound). At 0.5 f' is 1/4 anyway: `steep`, which helps in "
        "Experiments 1 and 6, changes nothing here."
    ),
)
