"""The criterion that a method judges itself, after each training sequence."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carrousel.online.checks import check_whole, is_number

ONE = float(2**40)  # the window's errors are summed as whole numbers of this part


@dataclass(frozen=True)
class Stop:
    """When a trial is done, judged on its `window` most recent training sequences.

    All must hold: `window` sequences have been presented; at most `allowed` of the window have an error above `bound`;
    the window's mean error is below `mean`.

    Args:
        bound: for the largest absolute error of an output unit, as in ABS(bound).
        window: number of recent sequences that count.
        allowed: sequences in the window that may exceed the bound.
        mean: upper limit of the error averaged over the window; None: no limit.
        measure: what `mean` limits: "absolute" or "squared" error, averaged over outputs and steps with a target.
        at_end: `bound` applies to the last step of each sequence only, not to every step with a target.
        every: training sequences between two judgements.

    Raises:
        ValueError: a criterion that nothing can meet; the message names the argument and its value.
    """

    bound: float
    window: int = 2000
    allowed: int = 0
    mean: float | None = None
    measure: str = "absolute"
    at_end: bool = False
    every: int = 1

    def __post_init__(self) -> None:
        check_whole("window", self.window, 1)
        check_whole("allowed", self.allowed, 0)
        check_whole("every", self.every, 1)
        if not is_number(self.bound) or not self.bound >= 0:
            raise ValueError(f"bound={self.bound!r} must be a number of 0 or more")
        if self.mean is not None and not (is_number(self.mean) and self.mean > 0):
            raise ValueError(f"mean={self.mean!r} must be a number above 0, or None")
        if self.measure not in ("absolute", "squared"):
            raise ValueError(f'measure={self.measure!r} must be "absolute" or "squared"')


class Window:
    """The most recent training sequences of one trial, judged by a Stop as the kernels judge them, bit for bit.

    Args:
        stop: the criterion.
    """

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.bound: np.float32 = np.float32(stop.bound)
        self.presented: int = 0
        self.above: int = 0
        self.sum: int = 0
        self.recent: deque[tuple[bool, int]] = deque()

    def add(self, errors: Sequence[np.float32]) -> bool:
        """Add the errors of one sequence; whether the criterion is met now.

        Args:
            errors: largest, at_end, absolute, squared, as `method.Errors` holds them.
        """
        stop, (largest, at_end, absolute, squared) = self.stop, errors
        is_above = not (at_end if stop.at_end else largest) <= self.bound  # True for NaN
        self._count(is_above, fixed_point(squared if stop.measure == "squared" else absolute))
        is_due = self.presented >= stop.window and self.presented % stop.every == 0
        is_below_mean = stop.mean is None or self.sum < stop.mean * ONE * stop.window
        return is_due and self.above <= stop.allowed and is_below_mean

    def _count(self, is_above: bool, error: int) -> None:
        """Put one sequence into the window; the oldest one leaves it."""
        self.recent.append((is_above, error))
        self.presented += 1
        self.above += is_above
        self.sum += error
        if len(self.recent) > self.stop.window:
            was_above, old = self.recent.popleft()
            self.above -= was_above
            self.sum -= old


def fixed_point(error: np.float32) -> int:
    """The error in units of 2^-40: sums of whole numbers do not depend on their order. NaN counts as large."""
    return int((float(error) if error < 1024 else 1024.0) * ONE)
