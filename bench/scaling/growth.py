"""Figures along an axis, and how fast they grow: the exponent of a power, and what it is called.

A cost that grows as the power e of a size is a straight line of slope e where both axes are logarithmic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from carrousel.bench.measurement import round_figure

# What an exponent is called, up to 0.1 from a whole number.
NAMES = {-1: "inverse", 0: "constant", 1: "linear", 2: "quadratic"}
TOLERANCE = 0.1
UNKNOWN = "unknown: fewer than two figures above 0"
FLOAT32 = 4  # bytes of a number


@dataclass(frozen=True)
class Growth:
    """What each side costs at each place of an axis.

    Args:
        axis: what grows: "T", "threads", "steps".
        unit: of the figures.
        places: increasing values on the axis.
        figures: of each side, one a place.
    """

    axis: str
    unit: str
    places: Sequence[int]
    figures: dict[str, list[float]]

    result: ClassVar[str] = "exponent"  # what `verdict` gives

    def exponent(self, who: str) -> float:
        """The slope through the upper half of the places, at least two; NaN if there are fewer, or a figure is zero."""
        start = max(0, min(len(self.places) // 2, len(self.places) - 2))
        sizes, costs = self.places[start:], self.figures[who][start:]
        if len(sizes) < 2 or min(costs) <= 0:
            return math.nan
        return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])

    def verdict(self, who: str) -> str:
        """How the cost of a side grows: "1.01, linear"."""
        exponent = self.exponent(who)
        rounded = round(exponent, 2) + 0.0  # -0.0 becomes 0.0
        return UNKNOWN if math.isnan(exponent) else f"{rounded:.2f}, {name_exponent(exponent)}"

    def ratio(self, who: str) -> float:
        """The last figure, divided by the first."""
        return self.figures[who][-1] / self.figures[who][0]

    def table(self) -> str:
        """The figures in Markdown, and below them the verdicts."""
        rows = [
            [f"{place:,}", *(round_figure(figures[k]) for figures in self.figures.values())]
            for k, place in enumerate(self.places)
        ]
        head = [self.axis, *(f"{who}, {self.unit}" for who in self.figures)]
        lines = [head, *rows, [self.result, *map(self.verdict, self.figures)]]
        written = [f"| {' | '.join(cells)} |" for cells in lines]
        return "\n".join([written[0], "|" + "--:|" * len(head), *written[1:]])

    def to_json(self) -> dict[str, Any]:
        """Everything that was measured, and the verdicts."""
        verdicts = {who: self.verdict(who) for who in self.figures}
        return {"axis": self.axis, "unit": self.unit, "places": [*self.places], **self.figures, self.result: verdicts}


@dataclass(frozen=True)
class EndlessGrowth(Growth):
    """Memory in MB against the steps of what has no end: constant if a step leaves less than one float32 number."""

    result: ClassVar[str] = "bytes a step"

    def verdict(self, who: str) -> str:
        """What a step adds, between the last two places: "0, constant"."""
        figures, places = self.figures[who], self.places
        added = (figures[-1] - figures[-2]) * 2**20 / (places[-1] - places[-2])
        return f"{round_figure(added)}, {'constant' if added < FLOAT32 else name_exponent(self.exponent(who))}"


def name_exponent(exponent: float) -> str:
    """The name of an exponent, or those of the two whole numbers beside it."""
    for whole, name in NAMES.items():
        if abs(exponent - whole) <= TOLERANCE:
            return name
    below = [name for whole, name in NAMES.items() if whole < exponent]
    above = [name for whole, name in NAMES.items() if whole > exponent]
    if below and above:
        return f"between {below[-1]} and {above[0]}"
    return f"more than {below[-1]}" if below else f"more than {above[0]}" if above else UNKNOWN  # NaN has no neighbours
