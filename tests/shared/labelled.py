"""Small files of labelled sequences for the tests."""

from __future__ import annotations

import random
from pathlib import Path

CLASSES = ("fast", "slow", "10", "9")


def sequence(label: str, length: int, draw: random.Random) -> list[list[float]]:
    """Two channels: the first differs in its mean by class, the second is noise."""
    level = 2.0 * CLASSES.index(label) if label in CLASSES else 0.0
    return [[round(draw.gauss(mean, 0.5), 3) for _ in range(length)] for mean in (level, 100.0)]


def ts_line(channels: list[list[float]], label: str) -> str:
    """A line of a .ts file."""
    return ":".join([*(",".join(map(str, values)) for values in channels), label])


def ts_text(count: int = 60, seed: int = 1, classes: tuple[str, ...] = CLASSES) -> str:
    """A .ts file of sequences of 1 to 9 steps, the classes in turn."""
    draw = random.Random(seed)
    labels = [classes[index % len(classes)] for index in range(count)]
    lines = [ts_line(sequence(label, draw.randint(1, 9), draw), label) for label in labels]
    return "\n".join(["# sequences", "@classLabel true", "@data", *lines, ""])


def write_ts(folder: Path, name: str = "train.ts", **arguments) -> Path:
    """A file of `ts_text`."""
    path = folder / name
    path.write_text(ts_text(**arguments), encoding="utf-8")
    return path
