"""Plots: learning curves, and a trained network's states while it reads a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carrousel.errors import UserError
from carrousel.papers.harness.paper_row import Experiment, PaperRow
from carrousel.papers.harness.random_streams import random_streams
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.trials import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BESIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.01, 0.5),
    "frameon": False,
}  # a legend beside the axes hides no line


def file_name(row: PaperRow) -> str:
    """File name of a row's plot: 4-1.png, 4-1-linear-output.png."""
    return row.key.replace(" ", "-") + ".png"


def draw(experiment: Experiment, row: PaperRow, outcomes: Sequence[Outcome], seed: int, path: Path) -> None:
    """Draw a row: learning curves, and below them the first trial's states over a fresh sequence.

    Raises:
        UserError: the file cannot be written.
    """
    from matplotlib.figure import Figure  # takes half a second to import

    first = next((outcome for outcome in outcomes if outcome.weights), None)
    states = first and run_fresh_sequence(row, first, seed)
    figure = Figure(figsize=(10, 8 if states else 4), layout="constrained")
    axes = figure.subplots(3 if states else 1, 1, squeeze=False)[:, 0]
    draw_curves(axes[0], row, outcomes)
    label = ", ".join(("", *row.names[1:]))
    axes[0].set_title(f"{experiment.title}\nrow {row.number} ({row.setting}){label}")
    if states:
        draw_inputs(axes[1], states[0], experiment.inputs)
        draw_states(axes[2], *states)
        for below in axes[1:]:
            below.grid(alpha=0.3)
            below.set_xlim(0, len(states[0].x) + 1)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): free some space or change --out") from None


def draw_curves(axes: Axes, row: PaperRow, outcomes: Sequence[Outcome]) -> None:
    """Draw the mean absolute error of every trial over the sequences presented."""
    for outcome in outcomes:
        counts, errors = zip(*outcome.curve)
        axes.plot(counts, errors, lw=0.8, color="C0" if outcome.solved else "C3", alpha=0.7)
        if outcome.solved:
            axes.plot(outcome.sequences, errors[-1], "o", color="C0", ms=4)
    if row.paper:
        axes.axvline(row.paper.sequences, color="gray", ls="--", lw=1, label=f"paper's mean {row.paper.sequences:,}")
    if any(outcome.solved for outcome in outcomes):
        axes.plot([], [], "o-", color="C0", ms=4, lw=0.8, label="trial, until success")
    if not all(outcome.solved for outcome in outcomes):
        axes.plot([], [], color="C3", lw=0.8, label=f"trial, failed at {row.cap:,}")
    axes.set(xlabel="sequences presented", ylabel="mean absolute error", yscale="log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    axes.legend(**BESIDE)


def run_fresh_sequence(
    row: PaperRow, outcome: Outcome, seed: int
) -> tuple[Sequences, NDArray[Any], NDArray[Any]] | None:
    """A sequence that the trial has not seen, and the trained network's states and outputs over it, if it has any."""
    streams = random_streams(seed, row.group)
    sequence = row.source(streams, outcome.trial).training(streams("picture", outcome.trial), 1)
    found = row.method.states(np.array(outcome.weights), sequence.x)
    return found and (sequence, *found)


def draw_inputs(axes: Axes, sequence: Sequences, names: Sequence[str]) -> None:
    """Draw the inputs of a sequence: its symbols, or a line for each input."""
    x = sequence.x
    steps = np.arange(1, len(x) + 1)
    if x.ndim == 1:
        axes.plot(steps, x, ".", ms=3)
        axes.set_ylabel("symbol read" if names else "symbol read (number)")
        if names:
            axes.set_yticks(range(len(names)), names)
        return
    for k, column in enumerate(x.T):
        axes.plot(steps, column, lw=0.5 if k == 0 else 1.5, label=names[k] if names else f"input {k + 1}")
    axes.set_ylabel("input")
    axes.legend(**BESIDE)


def draw_states(axes: Axes, sequence: Sequences, states: NDArray[Any], outputs: NDArray[Any]) -> None:
    """Draw the internal states [T, units]; the outputs [T, K] and the target at the end stand in the title."""
    steps = np.arange(1, len(states) + 1)
    for cell, column in enumerate(states.T):
        axes.plot(steps, column, lw=1.2, label=f"cell {cell + 1}")
    output, target = outputs[-1], last_target(sequence, outputs.shape[1])
    axes.set_title(
        f"states of the first trial's cells; at the end: output {format_numbers(output)}, "
        f"target {format_numbers(target)}",
        fontsize=9,
    )
    axes.set(xlabel="step", ylabel="internal state s")
    axes.legend(**BESIDE)


def last_target(sequence: Sequences, outputs: int) -> NDArray[Any]:
    """The target at the end of a sequence [K]."""
    target = sequence.targets[-1]
    return np.eye(outputs)[int(target)] if np.ndim(target) == 0 else target


def format_numbers(numbers: NDArray[Any]) -> str:
    """Numbers with two decimals, separated by commas."""
    return ", ".join(f"{value:.2f}" for value in numbers)
