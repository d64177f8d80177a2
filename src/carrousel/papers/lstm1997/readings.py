"""Readings of the paper: short names for what a run changes of the paper's letter, and a sentence that explains each.

A reading is a set of changes; its name joins theirs with hyphens, so that the same change has the same name in every
experiment. Without changes it is the literal reading.
"""

from __future__ import annotations

from collections.abc import Sequence

LITERAL = "literal"
AS_PRINTED = "Everything is as the paper says."

CHANGES: dict[str, str] = {  # in the order in which a reading's name joins them
    # connections and units
    "outputs-see-inputs": "the output units see the inputs as well as the cells",
    "biased-outputs": "the output units have biases",
    "direct": "the output units see the inputs as well as the cells, and have biases",
    "linear-output": "the output unit is linear, not logistic",
    "input-only-cells": "the memory cells see the inputs only, while the gates see everything",
    "unbiased": "the memory cells have no biases",
    "cell-from-start": "the memory cell is there from the start",
    # initial weights
    "small-weights": "the initial weights are drawn from [-0.1, 0.1]",
    "small-input-gates": "the input gates' biases begin at -1",
    "slow-fill": "the cells fill slowly: the input gates' biases begin at -2 and all other weights in [-0.1, 0.1]",
    "shut-new-gate": "the new input gate begins almost shut: -3 is added to its weights from the inputs",
    # learning
    "step-updates": "the weights change at each step, not at the end of each sequence",
    "error-at-end": "only the last symbol of a sequence has an error",
    "no-slope": "the slope f' is left out of the output units' error",
    "steep": "the slope f' in the output units' error is 1/4, its largest value, everywhere",
    "rate-2": "the learning rate is 2.0",
    # success and failure
    "squared-criterion": "the criterion asks for a mean squared error below 0.01 and for no error above 0.2",
    "fixed-test-set": "the criterion's test set is chosen once a trial",
    "judged-100": "the criterion is judged every 100 sequences, not after each one",
    "judged-1000": "the criterion is judged every 1000 sequences, not after each one",
    "judged-10000": "the criterion is judged every 10,000 sequences, not after each one",
    "five-million": "a trial fails after five million sequences",
    "ten-million": "a trial fails after ten million sequences",
}


def join_names(changes: Sequence[str]) -> str:
    """Name of the reading with these changes: "linear-output-judged-1000"; "literal" without any."""
    return "-".join(in_order(changes)) or LITERAL


def describe(changes: Sequence[str]) -> str:
    """A sentence that says what these changes are."""
    sentence = "; ".join(CHANGES[change] for change in in_order(changes))
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else AS_PRINTED


def in_order(changes: Sequence[str]) -> list[str]:
    """These changes in the order of CHANGES."""
    return sorted(changes, key=list(CHANGES).index)
