"""Readings of the 1997 paper: the names and descriptions of the changes, and how a row is read differently."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from carrousel.papers.harness.paper_row import PaperRow
from carrousel.papers.harness.readings import Change

DESCRIPTIONS = {  # in the order in which a reading's name joins them
    # connections and units
    "outputs-see-inputs": "the output units see the inputs as well as the cells",
    "biased-outputs": "the output units have biases",
    "skip": "the output units see the inputs as well as the cells, and have biases",
    "linear-output": "the output unit is linear, not logistic",
    "input-only-cells": "the memory cells see the inputs only, while the gates see everything",
    "no-bias": "the memory cells have no biases",
    "cell-from-start": "the memory cell is there from the start",
    # initial weights
    "small-weights": "the initial weights are sampled from [-0.1, 0.1]",
    "small-input-gates": "the input gates' biases begin at -1",
    "slow-fill": "the cells fill slowly: the input gates' biases begin at -2 and all other weights in [-0.1, 0.1]",
    "shut-new-gate": "the new input gate begins almost shut: -3 is added to its weights from the inputs",
    # learning
    "stepwise": "the weights change at each step, not at the end of each sequence",
    "error-at-end": "only the last symbol of a sequence has an error",
    "no-slope": "the slope f' is left out of the output units' error",
    "steep": "the slope f' in the output units' error is 1/4, its largest value, everywhere",
    "rate-2": "the learning rate is 2.0",
    # success and failure
    "squared-criterion": "the criterion asks for a mean squared error below 0.01 and for no error above 0.2",
    "fixed-test-set": "the criterion's test set is chosen once a trial",
    "every-100": "the criterion is judged every 100 sequences, not after each one",
    "every-1k": "the criterion is judged every 1000 sequences, not after each one",
    "every-10k": "the criterion is judged every 10,000 sequences, not after each one",
    "five-million": "a trial fails after five million sequences",
    "ten-million": "a trial fails after ten million sequences",
}

CHANGES = {name: Change(name, description) for name, description in DESCRIPTIONS.items()}


def change(row: PaperRow, *names: str, settings: dict[str, Any] | None = None, **fields: Any) -> PaperRow:
    """The row in another reading.

    Args:
        row: the row; its own changes stay.
        names: of the new changes, from CHANGES.
        settings: fields of the row's method that make the change.
        fields: other fields of the row that make it.

    Example:
        >>> change(row, "linear-output", settings={"network": replace(row.method.network, output="linear")}).reading
        'linear-output'
    """
    order = list(CHANGES)
    changed = {change.name for change in row.changes} | set(names)
    changes = tuple(CHANGES[name] for name in sorted(changed, key=order.index))
    method = replace(row.method, **settings) if settings else row.method
    return replace(row, changes=changes, method=method, **fields)
