"""Trials side by side, each from its own weights on its own sequences, until success or the cap."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.construction import stopped_falling, with_blocks, without_blocks
from carrousel.papers.lstm1997.criteria import only
from carrousel.papers.lstm1997.row import Row, Source
from carrousel.papers.lstm1997.sequences import Sequences
from carrousel.papers.lstm1997.streams import Stream, streams
from carrousel.papers.lstm1997.trainer import Errors, Presented, Trainer

PLACES = 16  # of trials side by side on one thread: as many as the widest vector has lanes
TEST = 2560  # fresh sequences after success
POINTS = 300  # of a learning curve, at most
POINT = 200  # sequences that make one at most, before there are too many


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Args:
        trial: its number.
        solved: whether it passed the criterion within the cap.
        sequences: presented until then, or until the cap.
        stages: presented until each stage of the criterion that was passed.
        wrong: of 2560 fresh sequences, weights frozen; None where there is no such test, or no success.
        absolute: mean absolute error on those.
        squared: mean squared error on those.
        grown: presented until the memory cell block came; None where it was there from the start.
        seconds: from the start of the row's first trial to the end of this one.
        curve: [sequences presented, mean absolute error since the point before].
        weights: at the end, of the first trial of small networks, for a picture.
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
        """As JSON holds it."""
        return asdict(self)


class Trial:
    """A trial while it runs.

    Args:
        number: its number.
        row: what is run.
        stream: the row's random streams.
    """

    def __init__(self, number: int, row: Row, stream: Stream) -> None:
        self.number, self.row = number, row
        self.weights_rng = stream("weights", number)
        self.training_rng, self.test_rng = stream("training", number), stream("test", number)
        self.source: Source = row.source(stream, number)
        self.presented, self.stage = 0, 0
        self.stages: list[int] = []
        self.ends = np.zeros(0, np.float32)
        self.stopped = False
        self.grown: int | None = None
        self.since_new: list[float] = []  # squared errors, for sequential construction
        self.curve: list[tuple[int, float]] = []
        self.examined: Sequences | None = self.source.examined
        self.examined = row.criterion.examined(self)

    def fresh(self, count: int) -> Sequences:
        """New random sequences that are not trained on."""
        return self.source.training(self.test_rng, count)

    def next_block(self) -> Sequences:
        """What it is trained on until it is judged again, up to the cap."""
        left = self.row.cap - self.presented
        return self.source.training(self.training_rng, min(self.row.criterion.every(self.row.steps), left))

    def note(self, presented: Presented | None) -> None:
        """Take in what became of a block."""
        if presented is None:
            return
        errors, self.stopped = presented
        self.ends = np.concatenate((self.ends, errors.at_end))[-1000:]
        for part in np.split(errors.absolute, range(POINT, len(errors.absolute), POINT)):
            self.presented += len(part)
            if not self.curve or len(part) >= 20:  # the mean of a few is no point of a curve
                self.curve.append((self.presented, float(part.mean())))
        if self.grown is None:
            self.since_new.extend(errors.squared.tolist())
            del self.since_new[:-400]


def run(
    work: Sequence[tuple[Row, int]],
    seed: int,
    done: Callable[[Row, Outcome], None],
    halted: Callable[[], bool] = lambda: False,
    threads: int = 1,
) -> None:
    """Run trials, of one row or of several: where one has ended, the next takes its place in the vector.

    Args:
        work: rows of one rule, each with the number of one of its trials. A trial's result depends on its row, the seed
            and its number alone.
        seed: of all random streams.
        done: called with each trial as it ends.
        halted: asked between blocks; once it says yes, the trials that have not ended are dropped.
        threads: for the trainer.
    """
    waiting = deque(work)
    trainer = trainer_for(work[0][0], min(len(work), PLACES * threads), threads)
    running: dict[int, Trial] = {}
    began: dict[str, float] = {}
    while (waiting or running) and not halted():
        for place in range(len(trainer.weights)):
            if waiting and place not in running:
                running[place] = placed(trainer, place, *waiting.popleft(), seed)
                began.setdefault(running[place].row.key, time.monotonic())
        present(trainer, running)
        for key in {trial.row.key for trial in running.values()}:
            of_row = {place: trial for place, trial in running.items() if trial.row.key == key}
            for place, ended in judged(trainer, of_row).items():
                seconds = round(time.monotonic() - began[key], 3)
                done(running.pop(place).row, replace(ended, seconds=seconds))


def trainer_for(row: Row, places: int, threads: int) -> Trainer:
    """Of the row's rule, with places for so many trials."""
    weights = np.zeros((places, row.network.weight_count), np.float32)
    return Trainer(row.network, weights, row.rate, update=row.update, error=row.error, threads=threads)


def placed(trainer: Trainer, place: int, row: Row, number: int, seed: int) -> Trial:
    """A new trial at a place of the trainer."""
    trial = Trial(number, row, streams(seed, row.group))
    weights = row.network.initial_weights(trial.weights_rng)
    trainer.begin(place, without_blocks(row.network, weights) if row.grows else weights)
    return trial


def present(trainer: Trainer, trials: dict[int, Trial]) -> None:
    """Train each trial on its next sequences, until it is judged again."""
    blocks = {place: trial.next_block() for place, trial in trials.items()}
    stop = next(iter(trials.values())).row.criterion.stop  # of the rule: the same in all
    for place, presented in enumerate(trainer.train(only(trainer, blocks), stop)):
        if place in trials:
            trials[place].note(presented)


def judged(trainer: Trainer, trials: dict[int, Trial]) -> dict[int, Outcome]:
    """What became of those that have ended, of the trials of one row."""
    row = next(iter(trials.values())).row
    if row.grows:
        grow(row, trainer, trials)
    ended = judge(row, trainer, trials)
    tests = tested(row, trainer, {place: t for place, t in ended.items() if t.stage == row.criterion.stages})
    return {place: outcome(row, trial, trainer.weights[place], tests.get(place)) for place, trial in ended.items()}


def grow(row: Row, trainer: Trainer, trials: dict[int, Trial]) -> None:
    """Give the memory cell block to the trials whose error has stopped falling."""
    for place, trial in trials.items():
        if trial.grown is None and stopped_falling(trial.since_new):
            trainer.weights[place] = with_blocks(row.network, trainer.weights[place], trial.weights_rng, row.opening)
            trial.grown = trial.presented


def judge(row: Row, trainer: Trainer, trials: dict[int, Trial]) -> dict[int, Trial]:
    """Pass trials on to their next stage; those that have ended, by success or at the cap."""
    left = dict(trials)
    for _ in range(row.criterion.stages):
        left = {place: left[place] for place in row.criterion.passed(trainer, left)} if left else {}
        for trial in left.values():
            trial.stage += 1
            trial.stages.append(trial.presented)
        left = {place: trial for place, trial in left.items() if trial.stage < row.criterion.stages}
    return {p: t for p, t in trials.items() if t.stage == row.criterion.stages or t.presented >= row.cap}


def tested(row: Row, trainer: Trainer, trials: dict[int, Trial]) -> dict[int, Errors]:
    """The errors of successful trials on fresh sequences, where the paper tests so."""
    if row.wrong_from is None or not trials:
        return {}
    errors = trainer.evaluate(only(trainer, {place: trial.fresh(TEST) for place, trial in trials.items()}))
    return {place: found for place, found in enumerate(errors) if found is not None}


def outcome(row: Row, trial: Trial, weights: NDArray, errors: Errors | None) -> Outcome:
    """What became of a trial that has ended."""
    figures: dict[str, Any] = {}
    if errors is not None:
        figures["wrong"] = int((~(errors.largest < row.wrong_from)).sum())
        figures["absolute"] = float(errors.absolute.mean())
        figures["squared"] = float(errors.squared.mean())
    kept = trial.number == 0 and row.network.weight_count < 1000
    return Outcome(
        trial.number,
        trial.stage == row.criterion.stages,
        trial.presented,
        trial.stages,
        grown=trial.grown,
        curve=thinned(trial.curve),
        weights=[float(weight) for weight in weights] if kept else None,
        **figures,
    )


def thinned(curve: list[tuple[int, float]]) -> list[list[float]]:
    """A curve of POINTS points at most: neighbours become their mean."""
    group = -(-len(curve) // POINTS)
    parts = [curve[first : first + group] for first in range(0, len(curve), max(1, group))]
    return [[part[-1][0], round(float(np.mean([error for _, error in part])), 6)] for part in parts]
