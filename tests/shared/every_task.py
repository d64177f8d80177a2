"""What the tests of all tasks train: for each task a small data file and the options of small runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from evenly import write_series
from labelled import write_ts
from runs import sentences
from tagged_files import write_conllu
from translations import write_pairs

from carrousel.tasks import ALL
from carrousel.training import run


class SmallTask(NamedTuple):
    """How the tests train a task.

    Args:
        write: writes a data file into a folder, other data for another seed, and returns its path.
        options: of a small run of 12 steps.
        random: options that make random numbers take part.
        certain: options without random numbers, but for the first weights.
    """

    write: Callable[[Path, int], Path]
    options: dict[str, Any]
    random: dict[str, Any]
    certain: dict[str, Any]


def write_text(folder: Path, seed: int) -> Path:
    """A file of sentences."""
    path = folder / f"text{seed}.txt"
    path.write_text(sentences(seed=seed))
    return path


def write_words(folder: Path, seed: int) -> Path:
    """A file of whole lines, so that no word is there only once."""
    path = folder / f"words{seed}.txt"
    path.write_text("".join(sentences(seed=seed).splitlines(keepends=True)[:-1]))
    return path


def write_labelled(folder: Path, seed: int) -> Path:
    """A .ts file of sequences of four classes."""
    return write_ts(folder, f"sequences{seed}.ts", seed=seed)


def write_tagged(folder: Path, seed: int) -> Path:
    """A CoNLL-U file of sentences; nothing in it is left out, which would be printed."""
    return write_conllu(folder, f"tagged{seed}.conllu", seed=seed, multiword=False)


def write_translations(folder: Path, seed: int) -> Path:
    """A file of pairs of texts."""
    return write_pairs(folder, f"pairs{seed}.tsv", seed=seed)


def write_table(folder: Path, seed: int) -> Path:
    """A CSV file of two series of days."""
    return write_series(folder, f"series{seed}.csv", seed=seed, shops={"north": 60, "south": 45})


TASKS: dict[str, SmallTask] = {
    "text": SmallTask(
        write_text,
        {"hidden": 12, "batch": 4, "length": 8, "steps": 12},
        random={"layers": 2, "dropout": 0.3},
        certain={"dropout": 0.0},
    ),
    "words": SmallTask(
        write_words,
        {"min_count": 1, "hidden": 12, "batch": 4, "length": 8, "steps": 12},
        random={"layers": 2, "embedding": 8},
        certain={"dropout": 0.0, "word_dropout": 0.0, "weight_dropout": 0.0},
    ),
    "classify": SmallTask(
        write_labelled,
        {"hidden": 8, "batch": 8, "steps": 12},
        random={"layers": 2, "noise": 0.3},
        certain={"dropout": 0.0, "noise": 0.0, "shift": 0.0},
    ),
    "tag": SmallTask(
        write_tagged,
        {"hidden": 8, "batch": 8, "steps": 12},
        random={"layers": 2, "word_dropout": 1.0},
        certain={"dropout": 0.0, "word_dropout": 0.0},
    ),
    "forecast": SmallTask(
        write_table,
        {"hidden": 8, "batch": 8, "steps": 12, "id": "shop", "known": "price", "static": "city", "horizon": 3},
        random={"layers": 2, "dropout": 0.3},
        certain={"dropout": 0.0},
    ),
    "translate": SmallTask(
        write_translations,
        {"hidden": 12, "embedding": 8, "vocabulary": 300, "batch": 8, "steps": 12, "beam": 2},
        random={"layers": 2, "dropout": 0.3},
        certain={"dropout": 0.0},
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
