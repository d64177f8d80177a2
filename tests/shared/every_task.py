"""What the tests of all tasks train: for each task a small data file and the options of small runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from evenly import write_series
from labelled import write_ts
from runs import sentences

from carrousel.tasks import ALL
from carrousel.training import run


class SmallTask(NamedTuple):
    """How the tests train a task.

    Args:
        write: writes a data file into a folder, other data for another seed, and returns its path.
        options: of a small run of 12 steps.
        random: options that make random numbers take part.
    """

    write: Callable[[Path, int], Path]
    options: dict[str, Any]
    random: dict[str, Any]


def write_text(folder: Path, seed: int) -> Path:
    """A file of sentences."""
    path = folder / f"text{seed}.txt"
    path.write_text(sentences(seed=seed))
    return path


def write_labelled(folder: Path, seed: int) -> Path:
    """A .ts file of sequences of four classes."""
    return write_ts(folder, f"sequences{seed}.ts", seed=seed)


def write_table(folder: Path, seed: int) -> Path:
    """A CSV file of two series of days."""
    return write_series(folder, f"series{seed}.csv", seed=seed, shops={"north": 60, "south": 45})


TASKS: dict[str, SmallTask] = {
    "text": SmallTask(write_text, {"hidden": 12, "batch": 4, "length": 8, "steps": 12}, {"layers": 2, "dropout": 0.3}),
    "classify": SmallTask(write_labelled, {"hidden": 8, "batch": 8, "steps": 12}, {"layers": 2, "noise": 0.3}),
    "forecast": SmallTask(
        write_table,
        {"hidden": 8, "batch": 8, "steps": 12, "id": "shop", "known": "price", "static": "city", "horizon": 3},
        {"layers": 2, "dropout": 0.3},
    ),
}


def train(name: str, file: Path, out: Path, **options: Any) -> dict[str, Any]:
    """A small run of a task in this process."""
    task = ALL[name]
    values = {"files": (str(file),), **TASKS[name].options, **options}
    return run.train(task, task.options(**values), out, quiet=True)


def resume(name: str, out: Path, **options: Any) -> dict[str, Any]:
    """Continue a run in this process, with the options that are given."""
    task = ALL[name]
    return run.train(task, task.options(**options), out, resume=True, given=options, quiet=True)


def words(options: dict[str, Any]) -> list[str]:
    """Options as they are typed."""
    return [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
