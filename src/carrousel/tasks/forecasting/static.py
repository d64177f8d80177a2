"""Columns that describe a series, as numbers: scaled if all are numbers, otherwise a 1 for the series' class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.errors import UserError

MOST = 1000  # classes of a column


def measure_static(static: dict[str, tuple[str, ...]]) -> dict[str, dict[str, Any]]:
    """What `encode_static` needs of each column, in types that JSON has.

    Args:
        static: a text for each series, by column; "" if it is missing.

    Raises:
        UserError: a column of texts has a text of its own for each of very many series.
    """
    return {name: measure_column(name, texts) for name, texts in static.items()}


def measure_column(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """Mean and deviation of a column of numbers, the classes of another one."""
    present = [text for text in texts if text]
    numbers = [to_number(text) for text in present]
    if present and all(number is not None for number in numbers):
        values = np.array(numbers, np.float64)
        return {"mean": float(values.mean()), "deviation": float(values.std()) or 1.0}
    classes = sorted(set(present))
    if len(classes) > MOST:
        raise UserError(
            f"--static {name} has {len(classes):,} different texts, and at most {MOST:,} are classes: leave the column "
            f"out with --ignore {name}"
        )
    return {"classes": classes}


def to_number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def encode_static(
    static: dict[str, tuple[str, ...]], measured: dict[str, dict[str, Any]], count: int, file: str
) -> tuple[NDArray[np.float32], list[str]]:
    """The numbers of each series [B, S], and notes on values that are missing or unknown: 0 in all their numbers.

    Args:
        static: a text for each series, by column.
        measured: what `measure_static` returned.
        count: B.
        file: for the notes.

    Raises:
        UserError: a column of numbers has a text.
    """
    parts, notes = [np.zeros((count, 0), np.float32)], list[str]()
    for name, about in measured.items():
        texts = static[name]
        part, unknown = encode_classes(texts, about) if "classes" in about else encode_numbers(name, texts, about, file)
        parts.append(part)
        if unknown:
            notes.append(f"{file}: {unknown:,} series have no known value in {name} (--static), and count as average")
    return np.concatenate(parts, 1), notes


def encode_classes(texts: Sequence[str], about: dict[str, Any]) -> tuple[NDArray[np.float32], int]:
    """A row for each text with a 1 at its class, and how many have none."""
    numbers = {text: number for number, text in enumerate(about["classes"])}
    encoded = np.zeros((len(texts), len(numbers)), np.float32)
    known = [(row, numbers[text]) for row, text in enumerate(texts) if text in numbers]
    for row, column in known:
        encoded[row, column] = 1
    return encoded, len(texts) - len(known)


def encode_numbers(
    name: str, texts: Sequence[str], about: dict[str, Any], file: str
) -> tuple[NDArray[np.float32], int]:
    """The scaled numbers, and how many are missing.

    Raises:
        UserError: one is not a number.
    """
    encoded = np.zeros((len(texts), 1), np.float32)
    for row, text in enumerate(texts):
        value = to_number(text) if text else about["mean"]
        if value is None:
            raise UserError(f"{file}, column {name!r}: {text!r} is not a number, and in training all were: correct it")
        encoded[row] = (value - about["mean"]) / about["deviation"]
    return encoded, sum(not text for text in texts)


def count_static(measured: dict[str, dict[str, Any]]) -> int:
    """S, the numbers of a series."""
    return sum(len(about["classes"]) if "classes" in about else 1 for about in measured.values())
