"""Trials side by side, each with its own weights and sequences, until success or the cap."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.harness.criteria import only
from carrousel.papers.harness.method import Errors, Method, Presented
from carrousel.papers.harness.paper_row import PaperRow, Source
from carrousel.papers.harness.random_streams import RandomStreams, random_streams
from carrousel.papers.harness.sequences import Sequences

PLACES = 16  # trials side by side on one thread: the lanes of the widest vector
TEST = 2560  # fresh sequences after success
MAX_POINTS = 300  # of a learning curve
POINT = 200  # sequences averaged into a point of a curve, before the curve is thinned
MAX_PLOTTED = 1000  # weights of a network that is stored for its plot


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    Args:
        trial: its number.
        solved: it passed the criterion within the cap.
        sequences: presented until then, or until the cap.
        stages: presented until each stage of the criterion that it passed.
        wrong: of 2560 fresh sequences, without learning; None: no such test, or no success.
        absolute: mean absolute error on those.
        squared: mean squared error on those.
        grown: presented until the network first got new units; None: it never did.
        seconds: from the start of the row's first trial to the end of this one.
        curve: [sequences presented, mean absolute error since the point before].
        weights: at the end, of the first trial of small networks, for a plot.
    """

    trial: int
    solved: bool
    sequences: int
    stages: list[int]
    wrong: int | None = None
    absolute: float | None = None
    squared: float | None = None
    grown: int | None = None
    seconds: float = 0.0
    curve: list[list[float]] = field(default_factory=list)
    weights: list[float] | None = None

    def facts(self) -> dict[str, Any]:
        """The fields for JSON."""
        return asdict(self)


class Trial:
    """A trial while it runs.

    Args:
        number: its number.
        row: what is run.
        streams: the row's random streams.
    """

    def __init__(self, number: int, row: PaperRow, streams: RandomStreams) -> None:
        self.number = number
        self.row = row
        self.weights_rng: np.random.Generator = streams("weights", number)
        self.training_rng: np.random.Generator = streams("training", number)
        self.test_rng: np.random.Generator = streams("test", number)
        self.source: Source = row.source(streams, number)
        self.presented: int = 0
        self.stage: int = 0
        self.stages: list[int] = []
        self.ends: NDArray[np.float32] = np.zeros(0, np.float32)
        self.stopped: bool = False
        self.grown: int | None = None
        self.curve: list[tuple[int, float]] = []
        self.examined: Sequences | None = self.source.examined
        self.examined = row.criterion.examined(self)

    def fresh(self, count: int) -> Sequences:
        """New random sequences, not used for training."""
        return self.source.training(self.test_rng, count)

    def next_block(self) -> Sequences:
        """The training sequences until the next judgement, up to the cap."""
        left = self.row.cap - self.presented
        return self.source.training(self.training_rng, min(self.row.criterion.every(self.row.steps), left))

    def note(self, presented: Presented | None) -> None:
        """Record the result of a block."""
        if presented is None:
            return
        errors, self.stopped, grew = presented
        self.ends = np.concatenate((self.ends, errors.at_end))[-1000:]
        for part in np.split(errors.absolute, range(POINT, len(errors.absolute), POINT)):
            self.presented += len(part)
            if not self.curve or len(part) >= 20:  # the mean of a few sequences is too noisy for a point
                self.curve.append((self.presented, float(part.mean())))
        if grew and self.grown is None:
            self.grown = self.presented


def run_trials(
    work: Sequence[tuple[PaperRow, int]],
    seed: int,
    done: Callable[[PaperRow, Outcome], None],
    halted: Callable[[], bool] = lambda: False,
    threads: int = 1,
) -> None:
    """Run trials of one row or several: when one ends, the next takes its place.

    Args:
        work: rows of one rule, each with the number of one of its trials. A trial's result depends on its row, the seed
            and its number only.
        seed: of all random streams.
        done: called with each trial as it ends.
        halted: asked between blocks; once it returns True, the trials that have not ended are dropped.
        threads: for the method.
    """
    waiting = deque(work)
    method = work[0][0].method.start(min(len(work), PLACES * threads), threads)
    running: dict[int, Trial] = {}
    began: dict[str, float] = {}
    while (waiting or running) and not halted():
        for place in range(method.places):
            if waiting and place not in running:
                running[place] = begin_trial(method, place, *waiting.popleft(), seed)
                began.setdefault(running[place].row.key, time.monotonic())
        train(method, running)
        for key in {trial.row.key for trial in running.values()}:
            of_row = {place: trial for place, trial in running.items() if trial.row.key == key}
            for place, outcome in end_trials(method, of_row).items():
                seconds = round(time.monotonic() - began[key], 3)
                done(running.pop(place).row, replace(outcome, seconds=seconds))


def begin_trial(method: Method, place: int, row: PaperRow, number: int, seed: int) -> Trial:
    """Begin a new trial at a place of the method."""
    trial = Trial(number, row, random_streams(seed, row.group))
    method.begin(place, trial.weights_rng)
    return trial


def train(method: Method, trials: dict[int, Trial]) -> None:
    """Train each trial on its next sequences, until the next judgement."""
    blocks = {place: trial.next_block() for place, trial in trials.items()}
    stop = next(iter(trials.values())).row.criterion.stop  # part of the rule: the same for all
    for place, presented in enumerate(method.train(only(method, blocks), stop)):
        if place in trials:
            trials[place].note(presented)


def end_trials(method: Method, trials: dict[int, Trial]) -> dict[int, Outcome]:
    """Judge and test the trials of one row; the outcomes of those that have ended."""
    row = next(iter(trials.values())).row
    ended = judge(row, method, trials)
    tests = run_test(row, method, {place: t for place, t in ended.items() if t.stage == row.criterion.stages})
    return {place: make_outcome(row, trial, method.weights(place), tests.get(place)) for place, trial in ended.items()}


def judge(row: PaperRow, method: Method, trials: dict[int, Trial]) -> dict[int, Trial]:
    """Move trials on to their next stage; those that have ended, by success or at the cap."""
    left = dict(trials)
    for _ in range(row.criterion.stages):
        left = {place: left[place] for place in row.criterion.passed(method, left)} if left else {}
        for trial in left.values():
            trial.stage += 1
            trial.stages.append(trial.presented)
        left = {place: trial for place, trial in left.items() if trial.stage < row.criterion.stages}
    return {p: t for p, t in trials.items() if t.stage == row.criterion.stages or t.presented >= row.cap}


def run_test(row: PaperRow, method: Method, trials: dict[int, Trial]) -> dict[int, Errors]:
    """The errors of successful trials on fresh sequences, if the row has such a test."""
    if row.wrong_from is None or not trials:
        return {}
    errors = method.evaluate(only(method, {place: trial.fresh(TEST) for place, trial in trials.items()}))
    return {place: found for place, found in enumerate(errors) if found is not None}


def make_outcome(row: PaperRow, trial: Trial, weights: NDArray[Any] | None, errors: Errors | None) -> Outcome:
    """The result of a trial that has ended."""
    figures: dict[str, Any] = {}
    if errors is not None and row.wrong_from is not None:
        figures["wrong"] = int((~(errors.largest < row.wrong_from)).sum())
        figures["absolute"] = float(errors.absolute.mean())
        figures["squared"] = float(errors.squared.mean())
    if weights is not None and trial.number == 0 and len(weights) < MAX_PLOTTED:
        figures["weights"] = [float(weight) for weight in weights]
    return Outcome(
        trial.number,
        trial.stage == row.criterion.stages,
        trial.presented,
        trial.stages,
        grown=trial.grown,
        curve=thin(trial.curve),
        **figures,
    )


def thin(curve: list[tuple[int, float]]) -> list[list[float]]:
    """A curve of at most MAX_POINTS points: the means of neighbours."""
    group = -(-len(curve) // MAX_POINTS)
    parts = [curve[first : first + group] for first in range(0, len(curve), max(1, group))]
    return [[part[-1][0], round(float(np.mean([error for _, error in part])), 6)] for part in parts]
