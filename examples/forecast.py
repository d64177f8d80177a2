"""Predict a series online: a network learns from each value as it comes, and stores nothing of the past but its state.

    python examples/forecast.py                          # the neuron of matplotlib's first logo
    python examples/forecast.py mine.csv --column price  # a series of your own

The neuron is a real one; its voltage was recorded every 2 ms. It rests for half a second, then it is made to fire
again and again. One voltage does not show whether it rises towards a spike or falls after one, nor when the next
spike is due: that takes a memory. So two networks run side by side; one of them is reset at each step.

Each value is predicted before it comes and learned from afterwards. Every line shows root mean square errors since
the line before: that of always predicting "no change", and those of the networks in per cent of it. On many series
"no change" is hard to beat. The network of 1997 has no forget gate; if a series has natural ends (a day, a patient),
call `learner.reset()` there.
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

from carrousel.online import Learner, Network

NETWORK = Network(inputs=1, outputs=1, blocks=8, biased="all", output="linear")


class Scale:
    """Running mean and standard deviation, to scale a series of any unit."""

    def __init__(self) -> None:
        self.count, self.mean, self.sum = 0, 0.0, 0.0

    def add(self, value: float) -> None:
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self.sum += before * (value - self.mean)

    @property
    def spread(self) -> float:
        return math.sqrt(self.sum / self.count) if self.sum else 1.0


class Forecaster:
    """Predicts the next value of a series: the present value plus the change that its learner predicts."""

    def __init__(self, rate: float, has_memory: bool = True) -> None:
        self.learner = Learner(NETWORK, rate, seed=0)
        self.has_memory = has_memory
        self.values, self.changes = Scale(), Scale()
        self.errors: list[float] = []

    def predict(self, now: float) -> float:
        self.values.add(now)
        if not self.has_memory:
            self.learner.reset()
        self.x = np.clip((now - self.values.mean) / self.values.spread, -3, 3)
        return now + self.learner.predict_one([self.x])[0] * self.changes.spread  # commits nothing

    def learn(self, now: float, then: float) -> None:
        self.changes.add(then - now)
        self.learner.learn_one([self.x], [np.clip((then - now) / self.changes.spread, -5, 5)])


def run(series: list[float], rate: float) -> None:
    """Predict and learn the whole series; print the errors ten times."""
    forecasters = {"no memory": Forecaster(rate, has_memory=False), "memory": Forecaster(rate)}
    print(f"{'values':>8} {'no change':>10}" + "".join(f"{name:>17}" for name in forecasters))
    changes, lines = np.diff(series), np.linspace(0, len(series) - 1, 11).astype(int)
    for first, last in pairwise(lines):
        for forecaster in forecasters.values():
            forecaster.errors.clear()
        for now, then in pairwise(series[first : last + 1]):
            for forecaster in forecasters.values():
                forecaster.errors.append(then - forecaster.predict(now))
                forecaster.learn(now, then)
        no_change = rms(changes[first:last])
        errors = [rms(forecaster.errors) for forecaster in forecasters.values()]
        if not np.isfinite(errors).all():
            raise ValueError(f"--rate {rate} is too high: a network has diverged before value {last}; try a lower one")
        shares = (f"{error / no_change:>17.0%}" if no_change else f"{'-':>17}" for error in errors)
        print(f"{last:>8,} {no_change:>10.4g}" + "".join(shares))


def rms(errors: ArrayLike) -> float:
    """Root mean square."""
    return math.sqrt(np.mean(np.square(errors)))


def read_neuron() -> list[float]:
    """Millivolts, every 2 ms, from a file of matplotlib."""
    file = Path(matplotlib.get_data_path(), "sample_data", "membrane.dat")
    return [100.0 * float(value) for value in np.fromfile(file, np.float32)[::4]]


def read_column(file: Path, name: str | None) -> list[float]:
    """A column of a CSV file whose first line has the names; the last column if no name is given."""
    with open(file, newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        names = rows.fieldnames or []
        if not names or name not in (None, *names):
            what = "no header line" if not names else f"no column {name!r}, but {', '.join(names)}"
            raise ValueError(f"{file} has {what}")
        return [float(row[name or names[-1]] or "nan") for row in rows]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Predict a series online, one value at a time.")
    parser.add_argument("file", type=Path, nargs="?", help="a CSV file; default: the voltage of a neuron")
    parser.add_argument("--column", help="name of the column; default: the last one")
    parser.add_argument("--rate", type=float, default=0.12, help="the learning rate")
    options = parser.parse_args()
    try:
        series = read_column(options.file, options.column) if options.file else read_neuron()
        if len(series) < 100 or not np.isfinite(series).all():
            raise ValueError(f"{options.file} holds {len(series)} values: at least 100 are needed, without gaps")
        run(series, options.rate)
    except (OSError, ValueError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
