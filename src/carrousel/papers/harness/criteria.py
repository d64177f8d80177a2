"""When a trial has succeeded (Table 11): ST1, ST2, ST3, ABS, and Experiment 1's predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.sequences import Sequences
from carrousel.papers.lstm1997.trainer import Errors, Stop, Trainer

SOME = (8, 32)  # of a set that is examined: who fails on the first so many fails on all of it
BLOCK_STEPS = 200_000  # are generated at once, about: with a tenth, what any block costs was an eighth of the time


class Judged(Protocol):
    """What a criterion sees of a trial."""

    ends: NDArray  # the errors at the ends of its 1000 most recent training sequences
    stopped: bool  # whether the trainer stopped it
    stage: int  # how many of the criterion's stages it has passed
    examined: Sequences | None  # the set that is examined

    def fresh(self, count: int) -> Sequences:
        """New random sequences that are not trained on."""
        ...


class Criterion(Protocol):
    """A criterion of one stage or more, passed one after the other; the last one is success."""

    @property
    def stages(self) -> int:
        """How many."""
        ...

    @property
    def stop(self) -> Stop | None:
        """What the trainer judges after each sequence."""
        ...

    def every(self, steps: int) -> int:
        """Sequences of so many steps that are presented between two judgements."""
        ...

    def examined(self, trial: Judged) -> Sequences | None:
        """The set that is examined again and again, where there is one."""
        ...

    def passed(self, trainer: Trainer, trials: Mapping[int, Judged]) -> set[int]:
        """Which of these trials (by their place in the trainer) pass their next stage now."""
        ...


@dataclass(frozen=True)
class Running:
    """ST3, and Experiment 5's n_seq: judged on the most recent training sequences, as its Stop says how often."""

    stop: Stop
    stages: int = 1

    def every(self, steps: int) -> int:
        return max(20, BLOCK_STEPS // steps)

    def examined(self, trial: Judged) -> Sequences | None:
        return None

    def passed(self, trainer: Trainer, trials: Mapping[int, Judged]) -> set[int]:
        return {place for place, trial in trials.items() if trial.stopped}


@dataclass(frozen=True)
class Periodic:
    """What all that are judged every 100 training sequences share; each says in `passed` what it asks for."""

    @property
    def stages(self) -> int:
        return 1

    @property
    def stop(self) -> Stop | None:
        return None

    def every(self, steps: int) -> int:
        return 100

    def examined(self, trial: Judged) -> Sequences | None:
        return trial.examined


@dataclass(frozen=True)
class Within(Periodic):
    """ABS(bound) at every step of every examined sequence (Experiment 2a, whose two sequences are all there are)."""

    bound: float = 0.25

    def passed(self, trainer: Trainer, trials: Mapping[int, Judged]) -> set[int]:
        errors = trainer.evaluate(only(trainer, {place: trial.examined for place, trial in trials.items()}))
        return {place for place in trials if self.reached(errors[place])}

    def reached(self, errors: Errors | None) -> bool:
        """Whether all errors are within the bound."""
        return errors is not None and bool((errors.largest < self.bound).all())


@dataclass(frozen=True)
class TestSet(Periodic):
    """ST1 and ST2 (Experiment 3): few enough of a random set misclassified; then, a mean absolute error besides.

    Args:
        wrong_from: an absolute error of this or more is a misclassification.
        fewer_than: so many must be misclassified.
        means: for each stage the mean absolute error that must not be reached; None: none.
        size: of the set.
        fixed: the set is drawn once a trial, not each time that it is examined.
    """

    __test__ = False  # for pytest, which collects what is called Test...

    wrong_from: float = 0.2
    fewer_than: int = 1
    means: tuple[float | None, ...] = (None, 0.01)
    size: int = 256
    fixed: bool = False

    @property
    def stages(self) -> int:
        return len(self.means)

    def examined(self, trial: Judged) -> Sequences | None:
        return trial.fresh(self.size) if self.fixed else None

    def passed(self, trainer: Trainer, trials: Mapping[int, Judged]) -> set[int]:
        left, seen = dict(trials), {}
        for first, last in pairwise((0, *(some for some in SOME if some < self.size), self.size)):
            for place, errors in self.errors(trainer, left, first, last).items():
                seen[place] = joined(seen[place], errors) if place in seen else errors
            left = {place: trial for place, trial in left.items() if not self.too_many(seen[place])}
        return {place for place in left if self.reached(seen[place], left[place].stage)}

    def errors(self, trainer: Trainer, trials: Mapping[int, Judged], first: int, last: int) -> dict[int, Errors]:
        """Of each trial, on these places of its set."""
        sets = {
            place: trial.examined.part(first, last) if trial.examined else trial.fresh(last - first)
            for place, trial in trials.items()
        }
        found = trainer.evaluate(only(trainer, sets)) if sets else []
        return {place: errors for place, errors in enumerate(found) if errors is not None}

    def too_many(self, errors: Errors) -> bool:
        """Whether too many are misclassified; NaN is."""
        return int((~(errors.largest < self.wrong_from)).sum()) >= self.fewer_than

    def reached(self, errors: Errors, stage: int) -> bool:
        """Whether few enough are misclassified, and the mean error is below the stage's."""
        if self.too_many(errors):
            return False
        mean = self.means[stage]
        return mean is None or float(errors.absolute.mean()) < mean


@dataclass(frozen=True)
class Successive(Periodic):
    """ABS(bound) at the end of 10,000 successive random sequences, weights frozen (Experiments 2b, 2c).

    Tried when the 1000 most recent training sequences were all within the bound, and broken off at the first failure: a
    test costs ten times as many sequences.
    """

    bound: float = 0.2
    count: int = 10_000
    part: int = 500

    def examined(self, trial: Judged) -> Sequences | None:
        return None

    def passed(self, trainer: Trainer, trials: Mapping[int, Judged]) -> set[int]:
        left = {place: trial for place, trial in trials.items() if self.is_ready(trial)}
        for _ in range(0, self.count, self.part):
            if not left:
                break
            errors = trainer.evaluate(only(trainer, {place: trial.fresh(self.part) for place, trial in left.items()}))
            left = {place: trial for place, trial in left.items() if self.reached(errors[place])}
        return set(left)

    def is_ready(self, trial: Judged) -> bool:
        """Whether it may be tried."""
        return len(trial.ends) == 1000 and bool((trial.ends < self.bound).all())

    def reached(self, errors: Errors | None) -> bool:
        """Whether all errors are within the bound."""
        return errors is not None and bool((errors.at_end < self.bound).all())


@dataclass(frozen=True)
class Predicted(Periodic):
    """Every symbol of every string predicted: the possible next symbols are the most active outputs (Experiment 1)."""

    def passed(self, trainer: Trainer, trials: Mapping[int, Judged]) -> set[int]:
        sets = {place: trial.examined for place, trial in trials.items() if trial.examined}
        some = {place: strings.part(0, SOME[-1]) for place, strings in sets.items()}
        left = self.right(trainer, some)
        return self.right(trainer, {place: sets[place] for place in left}) if left else set()

    def right(self, trainer: Trainer, sets: Mapping[int, Sequences]) -> set[int]:
        """The trials that predict all of these strings."""
        outputs = trainer.outputs(only(trainer, sets))
        return {place for place, strings in sets.items() if legal_lead(outputs[place], strings.truth)}


def legal_lead(outputs: NDArray | None, legal: NDArray | None) -> bool:
    """Whether at every step each legal output is above each other one.

    Args:
        outputs: of the output units [steps, K].
        legal: the outputs that may be next there [steps, K], bool.
    """
    if outputs is None or legal is None:
        return False
    lowest = np.where(legal, outputs, np.inf).min(-1)
    return bool((lowest > np.where(legal, -np.inf, outputs).max(-1)).all())


def joined(a: Errors, b: Errors) -> Errors:
    """The errors on the sequences of both, in order."""
    return Errors(*map(np.concatenate, zip(a, b)))


def only(trainer: Trainer, blocks: Mapping[int, Sequences | None]) -> list[Sequences | None]:
    """A block for each of these trials, nothing for the others."""
    return [blocks.get(place) for place in range(len(trainer.weights))]
