"""Names of readings: a reading of a paper is a set of changes to its letter, each with a name and a description.

A reading's name joins the names of its changes with hyphens, so that the same change has the same name everywhere.
Without changes it is the literal reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LITERAL = "literal"
AS_PRINTED = "Everything is as the paper says."


class Change(NamedTuple):
    """One change to the paper's letter."""

    name: str  # "linear-output"
    description: str  # a clause: "the output unit is linear, not logistic"


def join_names(changes: Sequence[Change]) -> str:
    """Name of the reading with these changes: "linear-output-every-1k"; "literal" without any."""
    return "-".join(change.name for change in changes) or LITERAL


def describe(changes: Sequence[Change]) -> str:
    """A sentence that says what these changes are."""
    sentence = "; ".join(change.description for change in changes)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else AS_PRINTED
