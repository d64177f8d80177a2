"""The losses of a run so far, and their picture."""

from __future__ import annotations

import io
import logging
import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np


class Point(NamedTuple):
    """A loss that was measured."""

    step: int
    characters: int
    seconds: float
    nats: float


@dataclass
class Curve:
    """What was measured: the training loss, each point the mean since the point before, and the validation loss."""

    train: list[Point] = field(default_factory=list)
    valid: list[Point] = field(default_factory=list)

    @property
    def best(self) -> Point | None:
        """The lowest validation loss, the first of equals."""
        return min(self.valid, key=lambda point: point.nats, default=None)

    @property
    def since_best(self) -> int:
        """How many validations ago that was."""
        return len(self.valid) - 1 - self.valid.index(self.best) if self.best else 0

    def as_facts(self) -> dict[str, Any]:
        """The curve, as JSON holds it."""
        return {"train": [list(point) for point in self.train], "valid": [list(point) for point in self.valid]}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Curve:
        """The inverse of `as_facts`."""
        return cls([Point(*point) for point in facts["train"]], [Point(*point) for point in facts["valid"]])


def draw(curve: Curve, title: str) -> bytes:
    """The curve as a PNG: nats a character over characters read, bits on the right."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its first import on a machine would tell of fonts
    from matplotlib.figure import Figure  # half a second to import, and only here

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, points, marker in (("training", curve.train, None), ("validation", curve.valid, "o")):
        if points:
            millions = [point.characters / 1e6 for point in points]
            axes.plot(millions, [point.nats for point in points], label=name, marker=marker, markersize=4)
    if curve.best:
        label = f"best {curve.best.nats:.4f} at step {curve.best.step:,}"
        axes.axhline(curve.best.nats, color="gray", lw=0.8, ls=":", label=label)
    axes.set(xlabel="characters read (millions)", ylabel="loss (nats a character)", title=title)
    to_bits, to_nats = partial(np.multiply, 1 / math.log(2)), partial(np.multiply, math.log(2))
    axes.secondary_yaxis("right", functions=(to_bits, to_nats)).set_ylabel("bits a character")
    axes.grid(alpha=0.3)
    if curve.train:
        axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()
