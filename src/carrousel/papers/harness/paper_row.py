"""A row of a paper's tables: an experiment, the method that learns it, and the paper's figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from carrousel.papers.harness.criteria import Criterion
from carrousel.papers.harness.method import MethodSettings
from carrousel.papers.harness.random_streams import RandomStreams
from carrousel.papers.harness.readings import LITERAL, Change, describe, join_names
from carrousel.papers.harness.sequences import Sequences

Sampler = Callable[[np.random.Generator, int], Sequences]  # (random numbers, count) -> sequences


class Source(NamedTuple):
    """Where a trial's sequences come from."""

    training: Sampler
    examined: Sequences | None = None  # what the criterion judges, if it is a set that never changes


@dataclass(frozen=True)
class Figures:
    """The paper's figures for a row.

    Args:
        source: the table.
        weights: of the network.
        trials: number of trials.
        solved: trials that succeeded.
        sequences: presented until success; the mean of the trials that succeeded.
        first: presented until the first of two criteria (ST1 of Experiments 3a and 3b).
        wrong: sequences misclassified, of 2560 fresh ones; the mean of the trials.
        error: the average absolute error on those, if the paper gives one.
        range: fewest and most sequences until success, if the paper gives them.
    """

    source: str
    weights: int
    trials: int
    solved: int
    sequences: int
    first: int | None = None
    wrong: float | None = None
    error: float | None = None
    range: tuple[int, int] | None = None


@dataclass(frozen=True)
class PaperRow:
    """An experiment and the method that learns it.

    Args:
        number: the paper's name of the row.
        setting: the row in a few words.
        method: the method and its settings.
        source: the sequences of a trial, from the row's random streams and the trial's number.
        criterion: when a trial has succeeded.
        wrong_from: on 2560 fresh sequences after success, an output's absolute error of this or more is wrong;
            None: no such test.
        steps: average length of a sequence.
        paper: the paper's figures; None: the paper does not have this method on this experiment.
        changes: how the row differs from the paper's letter; none: the literal reading.
        until: sequences after which a trial has failed; None: five times the paper's mean.
        long: takes minutes, so that it runs only on request.
        compared: the row compares another method with the experiment's own.
    """

    number: str
    setting: str
    method: Any  # MethodSettings; experiments read the fields of their own method's settings
    source: Callable[[RandomStreams, int], Source]
    criterion: Criterion
    wrong_from: float | None
    steps: int
    paper: Figures | None = None
    changes: tuple[Change, ...] = ()
    until: int | None = None
    long: bool = False
    compared: bool = False

    @property
    def reading(self) -> str:
        """Short name of the reading, as --reading takes it: "literal", "linear-output-every-1k"."""
        return join_names(self.changes)

    @property
    def description(self) -> str:
        """A sentence that says what the reading changes."""
        return describe(self.changes)

    @property
    def cap(self) -> int:
        """Sequences after which a trial has failed."""
        if self.until is not None:
            return self.until
        assert self.paper is not None, f"row {self.number} has neither a cap nor figures of the paper"
        return 5 * self.paper.sequences

    @property
    def group(self) -> str:
        """The rows that share their random streams: "4" for "4-1"; trial 0 starts from the same weights in all."""
        return self.number.split("-")[0]

    @property
    def rule(self) -> tuple[object, ...]:
        """What trials that run side by side have in common: the method with its settings, and its Stop."""
        return self.method, self.criterion.stop

    @property
    def names(self) -> tuple[str, ...]:
        """What distinguishes the row: its number, its method if it is compared, its reading if it is not literal."""
        method = (self.method.name,) if self.compared else ()
        return self.number, *method, *(() if self.reading == LITERAL else (self.reading,))

    @property
    def key(self) -> str:
        """Unique name of the row: "4-1", "4-1 linear-output"."""
        return " ".join(self.names)

    def by(self, method: MethodSettings, paper: Figures | None) -> PaperRow:
        """The same row by another method, with the same data, criterion and cap."""
        return replace(self, method=method, paper=paper, changes=(), until=self.cap, compared=True)


@dataclass(frozen=True)
class Experiment:
    """Rows that belong together.

    Args:
        name: what a person types.
        title: the paper's number and name of the experiment.
        rows: the literal readings, in the paper's order.
        variants: the same rows in other readings.
        compared: the same rows by other methods.
        silent: what the paper does not say, and what is done here.
        explained: why the other readings are there, and what they show; readings stand in backquotes.
        inputs: names of the input units in plots; if empty, they are numbered.
    """

    name: str
    title: str
    rows: tuple[PaperRow, ...]
    variants: tuple[PaperRow, ...] = ()
    compared: tuple[PaperRow, ...] = ()
    silent: tuple[str, ...] = ()
    explained: str = ""
    inputs: tuple[str, ...] = ()

    @property
    def all_rows(self) -> tuple[PaperRow, ...]:
        """Every row in every reading, by every method."""
        return *self.rows, *self.variants, *self.compared

    @property
    def readings(self) -> dict[str, str]:
        """Every reading, the literal one first: name and description."""
        return {row.reading: row.description for row in (*self.rows, *self.variants)}


def generated(sampler: Sampler) -> Callable[[RandomStreams, int], Source]:
    """A source that generates sequences on line, the same way for every trial."""
    return lambda streams, trial: Source(sampler)


def find_rows(experiments: Iterable[Experiment]) -> list[tuple[Experiment, PaperRow]]:
    """Every row of these experiments, with its experiment."""
    return [(experiment, row) for experiment in experiments for row in experiment.all_rows]
