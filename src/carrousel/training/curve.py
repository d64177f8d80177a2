"""The learning curve of a run, and its picture."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from carrousel.training.picture import to_png


class Point(NamedTuple):
    """A loss, and when it was measured: the step, the units trained on, and the seconds of the run."""

    step: int
    seen: int
    seconds: float
    loss: float


@dataclass
class Curve:
    """The training losses, each point the mean since the point before, and the validation losses."""

    train: list[Point] = field(default_factory=list)
    valid: list[Point] = field(default_factory=list)

    @property
    def best(self) -> Point | None:
        """The lowest validation loss, the first of equals."""
        return min(self.valid, key=lambda point: point.loss, default=None)

    @property
    def since_best(self) -> int:
        """How many validations ago that was."""
        return len(self.valid) - 1 - self.valid.index(self.best) if self.best else 0

    def to_json(self) -> dict[str, Any]:
        """The curve in types that JSON has."""
        return {"train": [list(point) for point in self.train], "valid": [list(point) for point in self.valid]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Curve:
        """The inverse of `to_json`."""
        return cls([Point(*point) for point in values["train"]], [Point(*point) for point in values["valid"]])


def draw(curve: Curve, title: str, unit: str, loss_unit: str) -> bytes:
    """The curve as a PNG.

    Args:
        curve: to draw.
        title: above it.
        unit: what is counted on the x axis, for example "characters".
        loss_unit: what the loss is measured in; for "nats ..." the right axis is in bits.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its first import on a machine reports on fonts
    from matplotlib.figure import Figure  # half a second to import, and only here

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    scale, word = (1e6, "millions") if max((point.seen for point in curve.train), default=0) > 2e5 else (1, "number")
    for name, points, marker in (("training", curve.train, None), ("validation", curve.valid, "o")):
        if points:
            x, y = [point.seen / scale for point in points], [point.loss for point in points]
            axes.plot(x, y, label=name, marker=marker, markersize=4)
    if curve.best:
        label = f"best {curve.best.loss:.4f} at step {curve.best.step:,}"
        axes.axhline(curve.best.loss, color="gray", lw=0.8, ls=":", label=label)
    axes.set(xlabel=f"{unit} trained on ({word})", ylabel=f"loss ({loss_unit})", title=title)
    if loss_unit.startswith("nats"):
        to_bits, to_nats = partial(np.multiply, 1 / math.log(2)), partial(np.multiply, math.log(2))
        axes.secondary_yaxis("right", functions=(to_bits, to_nats)).set_ylabel(loss_unit.replace("nats", "bits", 1))
    axes.grid(alpha=0.3)
    if curve.train:
        axes.legend()
    return to_png(figure)
