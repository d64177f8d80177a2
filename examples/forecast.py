"""A network that learns to foresee a series while it watches, one value at a time, and never looks back.

    python examples/foresee.py                          # the neuron of matplotlib's first logo
    python examples/foresee.py mine.csv --column price  # a series of your own

The neuron is a real one, its voltage recorded every 2 ms. It rests for half a second; then it is made to fire, again
and again. From one voltage nobody can tell whether it climbs towards a spike or falls from one, nor when the next is
due: that takes a memory. So two networks watch side by side, alike but that one is made to forget at each step.

Each value is foretold before it comes, and learned from once it has come. Errors are root mean squares since the line
before; the networks' are told as shares of the error of who foretells no change, which on many series is hard to beat.
The network of 1997 cannot forget by itself; where a series has natural ends (a day, a patient), `learner.reset()` there
helps it.
"""

from __future__ import annotations

import argparse
import csv
import math
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import ArrayLike

from carrousel.papers.lstm1997 import Learner, Network

NETWORK = Network(inputs=1, outputs=1, blocks=8, biased="all", output="linear")


class Scale:
    """Mean and spread of what has been seen so far: a series of any unit becomes numbers that a network likes."""

    def __init__(self) -> None:
        self.count, self.mean, self.sum = 0, 0.0, 0.0

    def see(self, value: float) -> None:
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self.sum += before * (value - self.mean)

    @property
    def spread(self) -> float:
        return math.sqrt(self.sum / self.count) if self.sum else 1.0


class Watcher:
    """Foretells the next value of a series: the present one, and the change that its learner expects."""

    def __init__(self, rate: float, forgets: bool = False) -> None:
        self.learner = Learner(NETWORK, rate, seed=0)
        self.forgets = forgets
        self.values, self.changes = Scale(), Scale()
        self.errors: list[float] = []

    def foretell(self, now: float) -> float:
        self.values.see(now)
        if self.forgets:
            self.learner.reset()
        self.x = np.clip((now - self.values.mean) / self.values.spread, -3, 3)
        return now + self.learner.predict_one([self.x])[0] * self.changes.spread  # commits nothing

    def learn(self, now: float, then: float) -> None:
        self.changes.see(then - now)
        self.learner.learn_one([self.x], [np.clip((then - now) / self.changes.spread, -5, 5)])


def watch(series: list[float], rate: float) -> None:
    """Print, ten times, the errors since the time before."""
    watchers = {"made to forget": Watcher(rate, forgets=True), "with memory": Watcher(rate)}
    print(f"{'values':>8} {'no change':>10}" + "".join(f"{name:>17}" for name in watchers))
    changes, lines = np.diff(series), np.linspace(0, len(series) - 1, 11).astype(int)
    for first, last in pairwise(lines):
        for watcher in watchers.values():
            watcher.errors.clear()
        for now, then in pairwise(series[first : last + 1]):
            for watcher in watchers.values():
                watcher.errors.append(then - watcher.foretell(now))
                watcher.learn(now, then)
        no_change = rms(changes[first:last])
        errors = [rms(watcher.errors) for watcher in watchers.values()]
        if not np.isfinite(errors).all():
            raise ValueError(f"--rate {rate} is too high: a network has diverged before value {last}; try a lower one")
        shares = (f"{error / no_change:>17.0%}" if no_change else f"{'-':>17}" for error in errors)
        print(f"{last:>8,} {no_change:>10.4g}" + "".join(shares))


def rms(errors: ArrayLike) -> float:
    """The root of the mean square."""
    return math.sqrt(np.mean(np.square(errors)))


def neuron() -> list[float]:
    """Millivolts every 2 ms, from a file that comes with matplotlib."""
    file = Path(matplotlib.get_data_path(), "sample_data", "membrane.dat")
    return [100.0 * float(value) for value in np.fromfile(file, np.float32)[::4]]


def column(file: Path, name: str | None) -> list[float]:
    """A column of a CSV file whose first line has the names; without a name, the last one."""
    with open(file, newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        names = rows.fieldnames or []
        if not names or name not in (None, *names):
            what = "no line of names" if not names else f"no column {name!r}, but {', '.join(names)}"
            raise ValueError(f"{file} has {what}")
        return [float(row[name or names[-1]] or "nan") for row in rows]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Foretell a series online, one value at a time.")
    parser.add_argument("file", type=Path, nargs="?", help="a CSV file; without one, a neuron's voltage")
    parser.add_argument("--column", help="its name in the first line; without one, the last column")
    parser.add_argument("--rate", type=float, default=0.12, help="the learning rate")
    given = parser.parse_args()
    try:
        series = column(given.file, given.column) if given.file else neuron()
        if len(series) < 100 or not np.isfinite(series).all():
            raise ValueError(f"{given.file} holds {len(series)} values: at least 100 are needed, and none may lack")
        watch(series, given.rate)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
