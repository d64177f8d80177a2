"""The loop: steps until an end, with the clock, the learning curve, and a validation when one is due.

`Run` adds a folder with checkpoints, and the screen; `FitInMemory` leaves the best weights in memory.
"""

from __future__ import annotations

import math
import time
from typing import Any

from carrousel.training.curve import Curve, Point
from carrousel.training.options import Options
from carrousel.training.task import Data, Score, Task
from carrousel.training.trainer import Trainer

POINTS = 100  # of the training curve
VALIDATIONS = 20  # in a run
SPACING = 5  # between two validations a run trains on at least so many times the units that one measures


class Loop:
    """A trainer with its clock and its curve. What else happens, and when, is in the methods that subclasses replace.

    Args:
        trainer: at the first step, or where a run that is resumed was saved.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.task: Task = trainer.task
        self.options: Options = trainer.options
        self.data: Data = trainer.data
        self.curve: Curve = Curve()
        self.losses: list[float] = []  # since the last point of the curve
        self.seconds: float = 0.0  # of this run, without those between a stop and its resumption
        self.training: float = 0.0  # of these, those spent in steps
        self.units: int = self.options.units  # of a step
        self.steps: int | None = self.options.steps
        if self.options.epochs is not None:
            self.steps = math.ceil(self.options.epochs * self.data.size / self.units)

    # ---- what subclasses replace ----

    def is_interrupted(self) -> bool:
        """Whether to end before the next step."""
        return False

    def read_clock(self) -> float:
        """Seconds, from any moment on."""
        return time.monotonic()

    def measure(self) -> Score:
        """Measure the weights on the validation sample."""
        return self.trainer.measure(self.task.sample)

    def after_step(self) -> None:
        """A step was trained, and a validation made if it was due."""

    def after_validation(self, score: Score, is_best: bool) -> None:
        """The weights were measured; is_best: no earlier ones had a loss as low."""

    # ---- the clock ----

    def repeat_steps(self) -> str:
        """Train until the end that is set, until patience is exhausted, or until an interrupt; return which."""
        start = self.read_clock() - self.seconds
        while self.progress(self.trainer.step, self.seconds) < 1:
            if self.is_interrupted():
                return "interrupted"
            if self.options.patience and self.curve.since_best >= self.options.patience:
                return "patience"
            before = time.monotonic()
            self.losses.append(self.trainer.advance(self.progress(self.trainer.step + 0.5, self.seconds)))
            self.training += time.monotonic() - before
            self.seconds = self.read_clock() - start
            self.record()
            self.seconds = self.read_clock() - start  # with the time of a validation
            self.after_step()
        return "finished"

    def progress(self, step: float, seconds: float) -> float:
        """The part of the run that is over after so many steps and so many seconds, by what ends it first."""
        return max(step / (self.steps or math.inf), seconds / (60 * (self.options.minutes or math.inf)))

    def is_due(self, points: list[Point], times: int) -> bool:
        """Whether the next of `times` points, evenly spaced over the run, is due."""
        step, seconds = (points[-1].step, points[-1].seconds) if points else (0, 0.0)
        return int(times * self.progress(self.trainer.step, self.seconds)) > int(times * self.progress(step, seconds))

    @property
    def rate(self) -> float:
        """Units a second, in steps."""
        return self.trainer.step * self.units / max(self.training, 1e-9)

    def continue_from(self, facts: dict[str, Any]) -> None:
        """Set clock and curve to those of a checkpoint, which has them by the names of the attributes."""
        self.seconds, self.training = facts["seconds"], facts["training"]
        self.losses, self.curve = facts["losses"], Curve.from_json(facts["curve"])

    # ---- the curve ----

    def record(self) -> None:
        """After a step: update the curve, and validate if that is due."""
        if self.is_due(self.curve.train, POINTS):
            self.add_point(self.curve.train, math.fsum(self.losses) / len(self.losses))
            self.losses.clear()
        since = self.trainer.step - (self.curve.valid[-1].step if self.curve.valid else 0)
        enough = SPACING * min(self.task.sample, len(self.data.valid))
        if since * self.units >= enough and self.is_due(self.curve.valid, VALIDATIONS):
            self.validate()

    def add_point(self, points: list[Point], loss: float) -> None:
        """Add a loss that was measured now."""
        step = self.trainer.step
        points.append(Point(step, step * self.units, self.seconds, loss))

    def validate(self) -> None:
        """Measure the weights on the validation sample, unless there is none or that was just done."""
        if not len(self.data.valid) or (self.curve.valid and self.curve.valid[-1].step == self.trainer.step):
            return
        score = self.measure()
        best = self.curve.best
        self.add_point(self.curve.valid, score.loss)
        self.after_validation(score, best is None or score.loss < best.loss)
