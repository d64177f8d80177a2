"""Pictures: how the error fell, and how a cell holds what it must keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carrousel.errors import UserError
from carrousel.papers.lstm1997.readings import LITERAL
from carrousel.papers.lstm1997.reference import Reference
from carrousel.papers.lstm1997.row import Experiment, Row
from carrousel.papers.lstm1997.sequences import Sequences, starts
from carrousel.papers.lstm1997.streams import streams
from carrousel.papers.lstm1997.trials import Outcome

BESIDE = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False}  # a legend that hides no line


def file_name(row: Row) -> str:
    """Name of the file of a row's plot: 4-1.png, 4-1-linear-output.png."""
    return row.key.replace(" ", "-") + ".png"


def draw(experiment: Experiment, row: Row, outcomes: Sequence[Outcome], seed: int, path: Path) -> None:
    """Write a row's picture: learning curves above, the first trial's states in a fresh sequence below.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # half a second to import, and only here

    first = next((outcome for outcome in outcomes if outcome.weights), None)
    figure = Figure(figsize=(10, 8 if first else 4), layout="constrained")
    axes = figure.subplots(3 if first else 1, 1, squeeze=False)[:, 0]
    curves(axes[0], row, outcomes)
    reading = "" if row.reading == LITERAL else f", {row.reading}"
    axes[0].set_title(f"{experiment.title}\nrow {row.number} ({row.setting}){reading}")
    if first:
        stream = streams(seed, row.group)
        sequence = row.source(stream, first.trial).training(stream("picture", first.trial), 1)
        inputs_and_states(axes[1], axes[2], row, np.array(first.weights), sequence, experiment.inputs)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise UserError(f"{path} cannot be drawn ({error.strerror}): make room or change --out") from None


def curves(axes, row: Row, outcomes: Sequence[Outcome]) -> None:
    """The mean absolute error of every trial, over the sequences presented."""
    for outcome in outcomes:
        counts, errors = zip(*outcome.curve)
        axes.plot(counts, errors, lw=0.8, color="C0" if outcome.solved else "C3", alpha=0.7)
        if outcome.solved:
            axes.plot(outcome.sequences, errors[-1], "o", color="C0", ms=4)
    axes.axvline(row.paper.sequences, color="gray", ls="--", lw=1, label=f"paper's mean {row.paper.sequences:,}")
    if any(outcome.solved for outcome in outcomes):
        axes.plot([], [], "o-", color="C0", ms=4, lw=0.8, label="trial, until success")
    if not all(outcome.solved for outcome in outcomes):
        axes.plot([], [], color="C3", lw=0.8, label=f"trial, failed at {row.cap:,}")
    axes.set(xlabel="sequences presented", ylabel="mean absolute error", yscale="log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    axes.legend(**BESIDE)


def inputs_and_states(above, below, row: Row, weights: NDArray, sequence: Sequences, names: Sequence[str]) -> None:
    """What is read, and the cells' states meanwhile."""
    x = one_hot(sequence, row.network.inputs)
    steps = np.arange(1, len(x) + 1)
    states, outputs = states_over(Reference(row.network, weights), x)
    if sequence.x.ndim == 1:
        above.plot(steps, sequence.x, ".", ms=3)
        above.set_ylabel("symbol read" if names else "symbol read (number)")
        if names:
            above.set_yticks(range(len(names)), names)
    else:
        for k, column in enumerate(sequence.x.T):
            above.plot(steps, column, lw=0.5 if k == 0 else 1.5, label=names[k] if names else f"input {k + 1}")
        above.set_ylabel("input")
        above.legend(**BESIDE)
    for cell, column in enumerate(states.T):
        below.plot(steps, column, lw=1.2, label=f"cell {cell + 1}")
    output, target = outputs[-1], target_of(sequence, row.network.outputs)
    below.set_title(
        f"states of the first trial's cells; output at the end {words(output)}, target {words(target)}", fontsize=9
    )
    below.set(xlabel="step", ylabel="internal state s")
    below.legend(**BESIDE)
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.set_xlim(0, len(x) + 1)


def states_over(network: Reference, x: NDArray) -> tuple[NDArray, NDArray]:
    """States [T, cells] and outputs [T, K] while x [T, I] is read."""
    states, outputs = [], []
    for row in x:
        outputs.append(network.step(row))
        states.append(network.s.copy())
    return np.array(states), np.array(outputs)


def one_hot(sequences: Sequences, inputs: int) -> NDArray:
    """The first sequence's inputs [T, I]."""
    begin = starts(sequences.lengths)[0]
    x = sequences.x[begin : begin + sequences.lengths[0]]
    return np.eye(inputs)[np.asarray(x, int)] if x.ndim == 1 else x


def target_of(sequences: Sequences, outputs: int) -> NDArray:
    """What is wanted at the end of the first sequence [K]."""
    target = sequences.targets[0] if sequences.at_end else sequences.targets[sequences.lengths[0] - 1]
    return np.eye(outputs)[np.asarray(target, int)] if np.ndim(target) == 0 else target


def words(numbers: NDArray) -> str:
    """Few numbers, two digits each."""
    return ", ".join(f"{value:.2f}" for value in numbers)
