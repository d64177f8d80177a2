"""Sequences from a .ts file: the text format of the UEA, UCR and aeon archives of labelled series.

Lines with # are comments, lines with @ the header; after @data each line is a sequence: its dimensions separated by
colons, the values of a dimension by commas, and the label at the end. A value that is missing is written as `?`.

    @classLabel true yes no
    @data
    0.5,0.7,0.9:1,2,3:yes
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carrousel.data.sequences import Sequences
from carrousel.data.text import STDIN, read
from carrousel.errors import UserError

MISSING = "?"
TRUE, FALSE = "true", "false"


def read_sequences(path: str | Path, encoding: str = "utf-8") -> Sequences:
    """The sequences of a .ts file, plain or gzip; - is stdin.

    Raises:
        UserError: it cannot be read, or is not in this format; says in which line and column.
    """
    name = "stdin" if str(path) == STDIN else str(path)
    lines = number_lines(read(path, encoding))
    classes = read_header(lines, name)
    rows = [Row(text, line, name, classes) for line, text in lines if text.strip() and not text.startswith("#")]
    if not rows:
        raise UserError(f"{name} has no sequence after @data: name a file with at least one")
    dimensions = len(rows[0].values)
    for row in rows:
        row.require_dimensions(dimensions, rows[0].line)
    return Sequences(
        values=np.concatenate([row.values.T for row in rows]),
        lengths=np.array([row.values.shape[1] for row in rows], np.int64),
        labels=None if classes is None else tuple(row.label for row in rows),
        names=tuple(f"line {row.line}" for row in rows),
        channels=tuple(f"dimension {index + 1}" for index in range(dimensions)),
        skipped={},
    )


def number_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers from 1, one at a time, without their ends (LF or CRLF)."""
    number = start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        yield number, text[start:end].rstrip("\r")
        start = end + 1


def read_header(lines: Iterator[tuple[int, str]], name: str) -> tuple[str, ...] | None:
    """Read the lines up to @data; only the entries that change how a sequence is read are needed.

    Returns:
        The labels that @classLabel names, () if it names none or is missing; None: the sequences have no label.

    Raises:
        UserError: a line is not of a header, @data is missing, or the file has time stamps or numbers as labels.
    """
    classes: tuple[str, ...] | None = ()
    for number, line in lines:
        key, *words = line.split() or ["#"]
        key, first = key.lower(), words[0].lower() if words else ""
        if key == "@data":
            return classes
        if not key.startswith(("#", "@")):
            raise UserError(f"{name} is not a .ts file: line {number} is {shorten(line)!r}, before a line @data")
        if key == "@classlabel":
            classes = None if first == FALSE else tuple(words[1:])
        if key == "@targetlabel" and first == TRUE:
            raise UserError(
                f"{name}, line {number}: @targetLabel true, labels are numbers to predict; write @classLabel true if "
                "they are classes"
            )
        if key == "@timestamps" and first == TRUE:
            raise UserError(
                f"{name}, line {number}: @timeStamps true is not read; write the values alone, at equal steps of time"
            )
    raise UserError(f"{name} is not a .ts file: it has no line @data")


class Row:
    """A line after @data: values [F, T], and a label, "" where it is missing.

    Args:
        text: the line.
        line: its number.
        name: of the file.
        classes: what `read_header` returned.

    Raises:
        UserError: the line is not a sequence.
    """

    def __init__(self, text: str, line: int, name: str, classes: tuple[str, ...] | None) -> None:
        self.line: int = line
        self.name: str = name
        parts = text.split(":")
        self.label: str = ""
        if classes is not None:
            self.label = self.read_label(parts.pop().strip(), text, classes)
        if not parts:
            raise self.error(1, shorten(text), "has no label; write it after a colon, or @classLabel false above @data")
        found, column = [], 1
        for part in parts:
            found.append(self.read_values(part, column))
            column += len(part) + 1
        lengths = [len(values) for values in found]
        if len(set(lengths)) > 1:
            other = next(index for index, length in enumerate(lengths) if length != lengths[0])
            raise UserError(
                f"{name}, line {line}: dimension {other + 1} has {lengths[other]} values and dimension 1 has "
                f"{lengths[0]}; write {MISSING} where a value is missing"
            )
        self.values: NDArray[np.float32] = np.stack(found)

    def read_label(self, label: str, text: str, classes: tuple[str, ...]) -> str:
        """The label at the end of a line; it must be one of the classes, if the header names any."""
        if label == MISSING:
            return ""
        known = {each.lower() for each in classes}
        if label and known and label.lower() not in known and ":" in text:
            names = shorten(" ".join(classes))
            raise self.error(
                text.rfind(":") + 2, label, f"is not a label that @classLabel names ({names}); add it there"
            )
        return label

    def read_values(self, text: str, column: int) -> NDArray[np.float32]:
        """The numbers of a dimension [T], which starts at a column of the line."""
        words = text.split(",")
        try:
            numbers = [math.nan if word.strip() == MISSING else to_number(word) for word in words]
        except ValueError:
            numbers = [math.inf]
        with np.errstate(over="ignore"):  # beyond float32: infinite, and refused below
            values = np.array(numbers, np.float32)
        if not np.isinf(values).any():
            return values
        for word in words:
            if word.strip() != MISSING and not is_number(word):
                advice = f"write {MISSING} where a value is missing"
                raise self.error(column, word.strip(), f"is not a number; {advice}")
            column += len(word) + 1
        raise AssertionError("one of the words is not a number")

    def require_dimensions(self, count: int, line: int) -> None:
        """Raise UserError if there are not as many dimensions as in another line."""
        if len(self.values) != count:
            raise UserError(
                f"{self.name}, line {self.line}: {len(self.values)} dimensions, and line {line} has {count}: separate "
                "dimensions by colons, the same number in each line"
            )

    def error(self, column: int, value: str, what: str) -> UserError:
        """An error about a value of this line."""
        return UserError(f"{self.name}, line {self.line}, column {column}: {shorten(value)!r} {what}")


def to_number(word: str) -> float:
    """A word as a number; Python's own `1_000` is not one."""
    if "_" in word:
        raise ValueError(word)
    return float(word)


def is_number(word: str) -> bool:
    """Whether a word is a number that float32 has, or nan."""
    try:
        number = to_number(word)
    except ValueError:
        return False
    return math.isnan(number) or abs(number) <= float(np.finfo(np.float32).max)


def shorten(text: str) -> str:
    """As much of a text as fits into a message."""
    return text if len(text) <= 40 else f"{text[:40]}..."
