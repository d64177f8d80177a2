"""A row of the paper's tables: everything needed to run it again, and the reading of the paper it is run with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from carrousel.papers.lstm1997.criteria import Criterion
from carrousel.papers.lstm1997.network import Network
from carrousel.papers.lstm1997.readings import LITERAL, describe, join_names
from carrousel.papers.lstm1997.sequences import Sequences
from carrousel.papers.lstm1997.streams import Stream
from carrousel.papers.lstm1997.tables import PAPER, Figures

Draw = Callable[[np.random.Generator, int], Sequences]


class Source(NamedTuple):
    """Where a trial's sequences come from."""

    training: Draw
    examined: Sequences | None = None  # what the criterion judges, where it is a set that never changes


@dataclass(frozen=True)
class Row:
    """Data, network, learning rate, criterion, test.

    Args:
        number: the paper's name of it, as in Table 10.
        setting: what it is, in a few words.
        network: the description.
        rate: alpha.
        source: the sequences of a trial, from the row's random streams and the trial's number.
        criterion: when a trial has succeeded.
        wrong_from: on 2560 fresh sequences after success, an output's absolute error of this or more is wrong;
            None: no such test.
        steps: of a sequence, on average.
        grows: the memory cell block comes when the error stops decreasing (sequential network construction).
        opening: of the input gate that comes then, as `construction.with_blocks` takes it.
        changes: what differs from the paper's letter, by the names in `readings.CHANGES`; none: the literal reading.
        error: the output units' error signal, as the trainer's.
        update: when the weights change, as the trainer's.
        until: sequences after which a trial has failed; None: five times the paper's mean.
        long: takes minutes, so that it is run when asked for only.
    """

    number: str
    setting: str
    network: Network
    rate: float
    source: Callable[[Stream, int], Source]
    criterion: Criterion
    wrong_from: float | None
    steps: int
    grows: bool = False
    opening: float = 0.0
    changes: tuple[str, ...] = ()
    error: str = "squared"
    update: str = "sequence"
    until: int | None = None
    long: bool = False

    @property
    def reading(self) -> str:
        """Short name of the reading, as --reading takes it: "literal", "linear-output-judged-1000"."""
        return join_names(self.changes)

    @property
    def description(self) -> str:
        """A sentence that says what the reading changes."""
        return describe(self.changes)

    @property
    def paper(self) -> Figures:
        """The paper's figures for this row."""
        return PAPER[self.number]

    @property
    def cap(self) -> int:
        """Sequences after which a trial has failed."""
        return self.until or 5 * self.paper.sequences

    @property
    def group(self) -> str:
        """The rows that share their random streams: "4" of "4-1"; trial 0 starts from the same weights in all."""
        return self.number.split("-")[0]

    @property
    def rule(self) -> tuple[object, ...]:
        """What the lanes of a vector have in common: trials of rows that agree in it may run side by side."""
        return self.network, self.rate, self.update, self.error, self.criterion.stop

    @property
    def key(self) -> str:
        """Unique name of the row and its reading: "4-1", "4-1 linear-output"."""
        return self.number if self.reading == LITERAL else f"{self.number} {self.reading}"


def change(row: Row, *changes: str, **fields: Any) -> Row:
    """The row read otherwise.

    Args:
        row: the row; changes that it has already stay.
        changes: names of what is changed, from `readings.CHANGES`.
        fields: the fields of the row that make the change, as `dataclasses.replace` takes them.

    Example:
        >>> change(row, "linear-output", network=replace(row.network, output="linear")).reading
        'linear-output'
    """
    return replace(row, changes=(*row.changes, *changes), **fields)


@dataclass(frozen=True)
class Experiment:
    """Rows that belong together.

    Args:
        name: what a person types.
        title: the paper's number and name of the experiment.
        rows: the literal readings, in the paper's order.
        variants: the same rows in other readings.
        silent: what the paper does not say, and what is done here.
        explained: why the other readings are there, and what they show; readings stand in backquotes.
        inputs: names of the input units in plots; without any, they are numbered.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    variants: tuple[Row, ...] = ()
    silent: tuple[str, ...] = ()
    explained: str = ""
    inputs: tuple[str, ...] = ()

    @property
    def readings(self) -> dict[str, str]:
        """Every reading of the experiment, the literal one first: name and description."""
        return {row.reading: row.description for row in (*self.rows, *self.variants)}


def drawn(training: Draw) -> Callable[[Stream, int], Source]:
    """Sequences that are generated on line, the same way for every trial."""
    return lambda stream, trial: Source(training)
