"""A small good file of each kind that a task reads, and the options to train on it."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from every_task import TASKS
from labelled import CLASSES, ts_text
from tagged_files import spans_text

from carrousel.data.ts import read_sequences

Write = Callable[[Path], Path]


class Kind(NamedTuple):
    """A kind of file that a task reads.

    Args:
        task: its name.
        suffix: of the file.
        write: writes one into a folder, and returns its path; or the path of one of the files of a folder.
        options: of a run, more than those that every run of the task has.
        is_folder: commands take the folder of the file.
    """

    task: str
    suffix: str
    write: Write
    options: dict[str, Any]
    is_folder: bool = False


def write_own(task: str) -> Write:
    """Writes the file that the tests of all tasks use."""
    return lambda folder: TASKS[task].write(folder, 1)


def compress(write: Write) -> Write:
    """Writes the same, in gzip."""

    def write_compressed(folder: Path) -> Path:
        plain = write(folder)
        path = plain.with_name(plain.name + ".gz")
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        return path

    return write_compressed


def write_long_form(folder: Path) -> Path:
    """The labelled sequences as a table with a row for each step."""
    (folder / "long.ts").write_text(ts_text())
    found = read_sequences(folder / "long.ts")
    steps = iter(found.values)
    path = folder / "long.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "time", "a", "b", "label"])
        for number, (length, label) in enumerate(zip(found.lengths, found.labels or ())):
            writer.writerows([f"s{number}", step, *next(steps), f"class {label}"] for step in range(length))
    return path


def to_parquet(write: Write) -> Write:
    """Writes the same table as a Parquet file, in two groups of rows."""

    def write_parquet(folder: Path) -> Path:
        import pyarrow.csv
        import pyarrow.parquet

        path = write(folder)
        pyarrow.parquet.write_table(pyarrow.csv.read_csv(path), path.with_suffix(".parquet"), row_group_size=100)
        return path.with_suffix(".parquet")

    return write_parquet


def write_npz(of_steps: bool, compressed: bool) -> Write:
    """Writes a .npz file with a label for each sequence, or for each step."""

    def write(folder: Path) -> Path:
        rng = np.random.default_rng(1)
        lengths = rng.integers(1, 9, 60)
        y = np.array(CLASSES)[rng.integers(0, 4, lengths.sum() if of_steps else 60)]
        x = rng.normal(size=(lengths.sum(), 2)).astype(np.float32)
        (np.savez_compressed if compressed else np.savez)(folder / "data.npz", x=x, y=y, lengths=lengths)
        return folder / "data.npz"

    return write


def write_sounds(folder: Path) -> Path:
    """A folder of sounds; returns one of them."""
    for number in range(12):
        name = folder / "sounds" / ("low", "high")[number % 2] / f"{number:02}.wav"
        name.parent.mkdir(parents=True, exist_ok=True)
        wave = np.sin(np.arange(1200) * (0.1 + 0.3 * (number % 2) + 0.01 * number))
        content = io.BytesIO()
        soundfile.write(content, wave, 8000, format="WAV")
        name.write_bytes(content.getvalue())
    return folder / "sounds" / "low" / "00.wav"


def write_spans(folder: Path) -> Path:
    """Columns of words and labels of names."""
    path = folder / "spans.txt"
    path.write_text(spans_text())
    return path


TABLE = {"id": "id", "time": "time", "label": "label"}
KINDS = [
    *(
        kind
        for task, small in TASKS.items()
        for kind in (
            Kind(task, "plain", write_own(task), {}),
            Kind(task, "gz", compress(write_own(task)), {}),
        )
    ),
    Kind("classify", "csv", write_long_form, TABLE),
    Kind("classify", "csv.gz", compress(write_long_form), TABLE),
    Kind("classify", "parquet", to_parquet(write_long_form), TABLE),
    Kind("classify", "npz", write_npz(False, False), {}),
    Kind("classify", "compressed npz", write_npz(False, True), {}),
    Kind("classify", "wav", write_sounds, {}, is_folder=True),
    Kind("tag", "columns", write_spans, {}),
    Kind("tag", "npz", write_npz(True, False), {}),
    Kind("forecast", "parquet", to_parquet(write_own("forecast")), {}),
]
