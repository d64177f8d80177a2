"""When a trial has succeeded: the criteria of the 1997 paper's Table 11 (ST1, ST2, ST3, ABS), and predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.harness.method import Errors, Method
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.stop import Stop

SOME = (8, 32)  # sequences of an examined set to try first: a trial that fails on them fails on the set
BLOCK_STEPS = 200_000  # about as many steps a block; with a tenth of it, overhead was an eighth of the time


class JudgedTrial(Protocol):
    """What a criterion sees of a trial."""

    ends: NDArray[np.float32]  # the errors at the ends of its 1000 most recent training sequences
    stopped: bool  # the method stopped it: its Stop is met
    stage: int  # stages of the criterion that it has passed
    examined: Sequences | None  # the set that is examined

    def fresh(self, count: int) -> Sequences:
        """New random sequences, not used for training."""
        ...


class Criterion(Protocol):
    """A criterion of one or more stages, passed one after the other; a trial that passes the last one has succeeded."""

    @property
    def stages(self) -> int:
        """Number of stages."""
        ...

    @property
    def stop(self) -> Stop | None:
        """What the method judges after each sequence; None: nothing."""
        ...

    def every(self, steps: int) -> int:
        """Sequences to present between two judgements, given their average number of steps."""
        ...

    def examined(self, trial: JudgedTrial) -> Sequences | None:
        """The set that every judgement examines; None: there is no such set."""
        ...

    def passed(self, method: Method, trials: Mapping[int, JudgedTrial]) -> set[int]:
        """Which of these trials, by their place in the method, pass their next stage now."""
        ...


@dataclass(frozen=True)
class Running:
    """ST3, and Experiment 5's n_seq: judged on the most recent training sequences, as its Stop says how often."""

    stop: Stop
    stages: int = 1

    def every(self, steps: int) -> int:
        """As many as take BLOCK_STEPS steps, at least 20."""
        return max(20, BLOCK_STEPS // steps)

    def examined(self, trial: JudgedTrial) -> Sequences | None:
        """None: the training sequences are judged."""
        return None

    def passed(self, method: Method, trials: Mapping[int, JudgedTrial]) -> set[int]:
        """The trials whose Stop is met."""
        return {place for place, trial in trials.items() if trial.stopped}


@dataclass(frozen=True)
class Periodic:
    """Base of the criteria that are judged every 100 training sequences; `passed` is their own."""

    @property
    def stages(self) -> int:
        return 1

    @property
    def stop(self) -> Stop | None:
        return None

    def every(self, steps: int) -> int:
        """100, whatever their number of steps."""
        return 100

    def examined(self, trial: JudgedTrial) -> Sequences | None:
        """The set of the trial's source, if it has one."""
        return trial.examined


@dataclass(frozen=True)
class Within(Periodic):
    """ABS(bound) at every step of every examined sequence (Experiment 2a, which has two sequences only)."""

    bound: float = 0.25

    def passed(self, method: Method, trials: Mapping[int, JudgedTrial]) -> set[int]:
        """The trials whose errors on the examined set are all within the bound."""
        errors = method.evaluate(only(method, {place: trial.examined for place, trial in trials.items()}))
        return {place for place in trials if self.reached(errors[place])}

    def reached(self, errors: Errors | None) -> bool:
        """Whether all errors are within the bound."""
        return errors is not None and bool((errors.largest < self.bound).all())


@dataclass(frozen=True)
class TestSet(Periodic):
    """ST1 and ST2 (Experiment 3): few enough of a random set misclassified; for ST2 a small mean error as well.

    Args:
        wrong_from: an absolute error of this or more is a misclassification.
        fewer_than: fewer sequences than this must be misclassified.
        means: for each stage, the mean absolute error must be below this; None: no limit.
        size: of the set.
        fixed: the set is sampled once a trial, not at each judgement.
    """

    __test__ = False  # pytest collects classes named Test...

    wrong_from: float = 0.2
    fewer_than: int = 1
    means: tuple[float | None, ...] = (None, 0.01)
    size: int = 256
    fixed: bool = False

    @property
    def stages(self) -> int:
        return len(self.means)

    def examined(self, trial: JudgedTrial) -> Sequences | None:
        """A set that is sampled once, if it is fixed."""
        return trial.fresh(self.size) if self.fixed else None

    def passed(self, method: Method, trials: Mapping[int, JudgedTrial]) -> set[int]:
        """The trials that misclassify few enough of their set; a few sequences are tried first."""
        left, seen = dict(trials), {}
        for first, last in pairwise((0, *(some for some in SOME if some < self.size), self.size)):
            for place, errors in self.errors(method, left, first, last).items():
                seen[place] = join(seen[place], errors) if place in seen else errors
            left = {place: trial for place, trial in left.items() if not self.too_many(seen[place])}
        return {place for place in left if self.reached(seen[place], left[place].stage)}

    def errors(self, method: Method, trials: Mapping[int, JudgedTrial], first: int, last: int) -> dict[int, Errors]:
        """Each trial's errors on sequences first to last - 1 of its set."""
        sets = {
            place: trial.examined.part(first, last) if trial.examined else trial.fresh(last - first)
            for place, trial in trials.items()
        }
        found = method.evaluate(only(method, sets)) if sets else []
        return {place: errors for place, errors in enumerate(found) if errors is not None}

    def too_many(self, errors: Errors) -> bool:
        """Whether too many are misclassified; NaN counts as misclassified."""
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

    The test starts when the 1000 most recent training sequences were all within the bound, and ends at the first
    failure: it costs ten times as many sequences.
    """

    bound: float = 0.2
    count: int = 10_000
    part: int = 500

    def examined(self, trial: JudgedTrial) -> Sequences | None:
        """None: every test samples new sequences."""
        return None

    def passed(self, method: Method, trials: Mapping[int, JudgedTrial]) -> set[int]:
        """The trials that are within the bound on all `count` new sequences; `part` of them are run at a time."""
        left = {place: trial for place, trial in trials.items() if self.is_ready(trial)}
        for _ in range(0, self.count, self.part):
            if not left:
                break
            errors = method.evaluate(only(method, {place: trial.fresh(self.part) for place, trial in left.items()}))
            left = {place: trial for place, trial in left.items() if self.reached(errors[place])}
        return set(left)

    def is_ready(self, trial: JudgedTrial) -> bool:
        """Whether the test may start."""
        return len(trial.ends) == 1000 and bool((trial.ends < self.bound).all())

    def reached(self, errors: Errors | None) -> bool:
        """Whether all errors are within the bound."""
        return errors is not None and bool((errors.at_end < self.bound).all())


@dataclass(frozen=True)
class Predicted(Periodic):
    """Every symbol of every string is predicted: the legal next symbols are the most active outputs (Experiment 1)."""

    def passed(self, method: Method, trials: Mapping[int, JudgedTrial]) -> set[int]:
        """The trials that predict every string of their set."""
        sets = {place: trial.examined for place, trial in trials.items() if trial.examined}
        some = {place: strings.part(0, SOME[-1]) for place, strings in sets.items()}
        left = self.find_right(method, some)
        return self.find_right(method, {place: sets[place] for place in left}) if left else set()

    def find_right(self, method: Method, sets: Mapping[int, Sequences]) -> set[int]:
        """The trials that predict all of these strings."""
        outputs = method.outputs(only(method, sets))
        return {place for place, strings in sets.items() if do_legal_lead(outputs[place], strings.truth)}


def do_legal_lead(outputs: NDArray[Any] | None, legal: NDArray[Any] | None) -> bool:
    """Whether at every step each legal output is above each illegal one.

    Args:
        outputs: of the output units [steps, K].
        legal: the outputs that may be next there [steps, K], bool.
    """
    if outputs is None or legal is None:
        return False
    lowest = np.where(legal, outputs, np.inf).min(-1)
    return bool((lowest > np.where(legal, -np.inf, outputs).max(-1)).all())


def join(a: Errors, b: Errors) -> Errors:
    """The errors on the sequences of both, in order."""
    return Errors(*map(np.concatenate, zip(a, b)))


def only(method: Method, blocks: Mapping[int, Sequences | None]) -> list[Sequences | None]:
    """A list with a block for each of these trials, and None for the other places."""
    return [blocks.get(place) for place in range(method.places)]
