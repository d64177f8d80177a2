"""What a CSV file looks like: compression, encoding, delimiter, header."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from carrousel.data.lines import explained, open_text
from carrousel.data.text import GZIP_MAGIC
from carrousel.errors import UserError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
SAMPLE = 1 << 18  # characters that are looked at
ROWS = 20  # rows that are looked at
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Dialect:
    """How to read a CSV file.

    Args:
        path: the file.
        is_gzip: whether it is compressed.
        encoding: Python's name of its encoding.
        delimiter: what separates cells.
        decimal: the decimal point.
        before: empty lines before the header.
        columns: the names of the columns.
    """

    path: Path
    is_gzip: bool
    encoding: str
    delimiter: str
    decimal: str
    before: int
    columns: tuple[str, ...]


def find_dialect(path: Path, delimiter: str | None, encoding: str, decimal: str) -> Dialect:
    """Look at the first lines of a CSV file.

    Raises:
        UserError: it has no text, no header, a column twice, or its delimiter cannot be found.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UserError(f"--delimiter {delimiter!r} is not allowed: give one character, for example ';'")
    if decimal not in (".", ","):
        raise UserError(f"--decimal {decimal!r} is not allowed: give . or ,")
    with path.open("rb") as file:
        is_gzip = file.read(2) == GZIP_MAGIC
    lines = read_sample(path, encoding)
    before = sum(1 for _ in itertools.takewhile(lambda line: not line.strip("\r\n"), lines))
    if not any(line.strip() for line in lines):
        raise UserError(f"{path} has no text: its first line must name the columns")
    delimiter = delimiter or find_delimiter(path, lines[before:])
    if delimiter == decimal:
        raise UserError(f"{path}: {delimiter!r} cannot separate cells and be the decimal point too: give --delimiter")
    header = next(csv.reader(lines[before:], delimiter=delimiter))
    return Dialect(path, is_gzip, encoding, delimiter, decimal, before, name_columns(path, before + 1, header))


def read_sample(path: Path, encoding: str) -> list[str]:
    """The first lines of a file; the last one may be cut.

    Raises:
        UserError: they cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(2)
    with open_text(path, encoding, "surrogateescape", newline="") as text, explained(path, encoding):
        sample = text.read(SAMPLE)
    if start in UTF_16 and "16" not in encoding:
        raise UserError(f"{path} starts as a text in UTF-16: give --encoding utf-16")
    if "\0" in sample:
        raise UserError(f"{path} is not a text: it has a zero byte in its first lines; name a CSV or Parquet file")
    return io.StringIO(sample, newline="").readlines()


def find_delimiter(path: Path, lines: list[str]) -> str:
    """The delimiter that splits the first rows into the same number of cells, and into most.

    Raises:
        UserError: two delimiters do that, or only the header is split.
    """
    widths = {delimiter: widths_of(lines, delimiter) for delimiter in DELIMITERS}
    even = {delimiter: found[0] for delimiter, found in widths.items() if found and len(set(found)) == 1}
    chosen = [delimiter for delimiter, width in even.items() if width == max(even.values())]
    if len(chosen) == 1:
        return chosen[0]
    if chosen and max(even.values()) > 1:
        names = " and ".join(DELIMITERS[delimiter] for delimiter in chosen)
        raise UserError(f"{path}: {names} split the first lines into as many cells: give --delimiter")
    return max(DELIMITERS, key=lambda delimiter: widths[delimiter][:1])  # a single column, or rows of different widths


def widths_of(lines: list[str], delimiter: str) -> list[int]:
    """How many cells the first rows have with this delimiter."""
    widths: list[int] = []
    with suppress(csv.Error):  # a quote that is not closed
        for row in csv.reader(lines, delimiter=delimiter):
            widths += [len(row)] if row else []
            if len(widths) == ROWS:
                break
    return widths


def name_columns(path: Path, line: int, header: list[str]) -> tuple[str, ...]:
    """The names of the columns, without blanks around them; a column without a name is called by its number.

    Raises:
        UserError: a name stands there twice, is not text in this encoding, or all are numbers: there is no header.
    """
    names = tuple(name.strip() or f"column {number}" for number, name in enumerate(header, start=1))
    for number, name in enumerate(names):
        if any("\ud800" <= character <= "\udfff" for character in name):
            raise UserError(
                f"{path} line {line}, column {number + 1}: the name has bytes of another encoding: give --encoding, "
                "for example --encoding latin-1"
            )
        if name in names[:number]:
            raise UserError(f"{path} line {line}: two columns are named {name!r}: rename one of them")
    if all(map(is_number, header)):
        raise UserError(
            f"{path} line {line} holds numbers ({', '.join(header[:3])}) and not the names of columns: add a first "
            "line with a name for each column"
        )
    return names


def is_number(text: str) -> bool:
    """Whether a text is a number, or empty."""
    try:
        float(text.strip().replace(",", ".") or 0)
    except ValueError:
        return False
    return True
