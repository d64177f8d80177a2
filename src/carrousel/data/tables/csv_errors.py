"""The line, column and value that cannot be read: the file is read again, slowly, by Python's own csv module."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator, Mapping

from carrousel.data.lines import explained, open_text
from carrousel.data.tables.csv_dialect import Dialect
from carrousel.data.tables.table import Kind

NUMBER = re.compile(r"[ \t]*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[ \t]*")
DECIMAL_COMMA = re.compile(r"[ \t]*[+-]?\d+,\d+[ \t]*")
MOST_PRINTED = 40  # characters of a cell, in an error message


def read_rows(dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The rows after the header, each with the number of its first line."""
    with open_text(dialect.path, dialect.encoding, "surrogateescape", newline="") as text:
        reader = csv.reader(text, delimiter=dialect.delimiter)
        before, header = 0, True
        for row in reader:
            if row and not header:
                yield before + 1, row
            header = header and not row
            before = reader.line_num


def find_line(dialect: Dialect, row: int) -> int:
    """The line of a row, from 1, by the row's number from 0."""
    return next((line for number, (line, _) in enumerate(read_rows(dialect)) if number == row), row + 2)


def explain(dialect: Dialect, kinds: Mapping[str, Kind], missing: Collection[str], reported: str) -> str:
    """The error message for a CSV file that could not be read.

    Args:
        dialect: how the file was read.
        kinds: the columns that were read.
        missing: how a missing number is written.
        reported: pyarrow's message, in case nothing is found.

    Raises:
        UserError: the file is damaged: not a cell, but the bytes.
    """
    line = 1
    try:
        with explained(dialect.path, dialect.encoding):
            for line, row in read_rows(dialect):
                if problem := find_problem(dialect, kinds, missing, row):
                    return f"{dialect.path} line {line}{problem}"
    except csv.Error as error:
        return f'{dialect.path} after line {line}: {error}; a quote may not be closed: look for a single " there'
    first = reported.splitlines()[0] if reported else "pyarrow gives no reason"
    return f"{dialect.path} cannot be read as a table: {first[:200]}; a quote may not be closed"


def find_problem(dialect: Dialect, kinds: Mapping[str, Kind], missing: Collection[str], row: list[str]) -> str | None:
    """What is wrong with a row, or None: the end of a message that begins with the file and the line."""
    if len(row) != len(dialect.columns):
        count = "1 cell" if len(row) == 1 else f"{len(row)} cells"
        return (
            f" has {count} and the header {len(dialect.columns)}: {shorten(dialect.delimiter.join(row))}; complete "
            "the line, or put quotes around a cell with the delimiter in it"
        )
    for name, cell in zip(dialect.columns, row):
        if name not in kinds:
            continue
        if any("\ud800" <= character <= "\udfff" for character in cell):
            shown = cell.encode("utf-8", "surrogateescape").decode("latin-1")
            return (
                f", column {name!r}: {shorten(shown)} is not {dialect.encoding}: give --encoding, for example latin-1"
            )
        if kinds[name] == "number" and cell not in missing and not is_number(cell, dialect.decimal):
            return f", column {name!r}: {describe_no_number(cell, dialect.decimal)}"
    return None


def is_number(cell: str, decimal: str) -> bool:
    """Whether pyarrow reads a cell as a finite number."""
    if decimal != ".":
        cell = "" if "." in cell else cell.replace(decimal, ".")
    return NUMBER.fullmatch(cell) is not None


def describe_no_number(cell: str, decimal: str) -> str:
    """What a cell is instead of a number, and what to do."""
    if decimal == "." and DECIMAL_COMMA.fullmatch(cell):
        return f"{shorten(cell)} is not a number: give --decimal , if the comma is the decimal point"
    return (
        f"{shorten(cell)} is not a number: correct it, leave the cell empty if the value is missing, or leave out "
        "the column with --ignore"
    )


def shorten(cell: str) -> str:
    """A cell as it is printed in a message, in quotes."""
    return repr(cell if len(cell) <= MOST_PRINTED else f"{cell[:MOST_PRINTED]}...")
