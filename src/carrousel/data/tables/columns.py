"""Columns of a table as arrays: numbers, texts and times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.growing_array import GrowingArray
from carrousel.data.tables.table import Kind, Table
from carrousel.data.tables.times import TimeReader, Times
from carrousel.errors import UserError


@dataclass(frozen=True)
class Texts:
    """A column of texts, numbered in the order in which they first appear.

    codes: the number of each row's text [N], int32.
    words: the texts; "" is an empty cell.
    """

    codes: NDArray[np.int32]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Columns:
    """Some columns of a table.

    numbers: one column for each that was asked for [N, F], float32; NaN where a cell is empty.
    texts: by column.
    times: by column.
    """

    numbers: NDArray[np.float32]
    texts: dict[str, Texts]
    times: dict[str, Times]


def choose_columns(
    table: Table, others: Mapping[str, str | None], chosen: Sequence[str], ignored: Sequence[str], option: str
) -> tuple[str, ...]:
    """The columns of numbers: those that were named, or all that have no other part.

    Args:
        table: has the columns.
        others: columns that have another part, by the option that names them: {"--id": "station"}.
        chosen: columns that were named; empty: all that are left.
        ignored: columns that are left out.
        option: what names columns of numbers: "--channels".

    Raises:
        UserError: there is no such column, one has two parts, or none is left.
    """
    parts = {name: part for part, name in others.items() if name is not None}
    for part, name in others.items():
        if name is not None:
            table.require(name, part)
            if parts[name] != part:
                raise UserError(
                    f"column {name!r} is named by {part} and by {parts[name]}: name another for one of them"
                )
    for name in chosen:
        table.require(name, option)
        if name in parts:
            raise UserError(f"column {name!r} is named by {option} and by {parts[name]}: name another for one of them")
    for name in ignored:
        table.require(name, "--ignore")
    left = tuple(name for name in chosen or table.columns if name not in parts and name not in ignored)
    if not left:
        raise UserError(f"{table.path} has no column left for {option}: its columns are {table.describe()}")
    return left


class TextReader:
    """Numbers texts that arrive in blocks."""

    def __init__(self) -> None:
        self.codes: GrowingArray = GrowingArray(np.int32)
        self.numbers: dict[str, int] = {}

    def add(self, texts: Any) -> None:
        """Add an Arrow array of strings."""
        encoded = texts.fill_null("").dictionary_encode()
        known = [self.numbers.setdefault(word, len(self.numbers)) for word in encoded.dictionary.to_pylist()]
        self.codes.add(np.asarray(known, np.int32)[np.asarray(encoded.indices)])

    def finish(self) -> Texts:
        """The whole column."""
        return Texts(self.codes.finish(), tuple(self.numbers))


def read_columns(
    table: Table,
    numbers: Sequence[str],
    texts: Sequence[str] = (),
    times: Sequence[str] = (),
    time_format: str | None = None,
) -> Columns:
    """Read columns of a table, in one pass.

    Args:
        table: from `open_table`.
        numbers: columns of numbers.
        texts: columns that are taken as they are spelled.
        times: columns of dates or numbers by which rows are sorted.
        time_format: how dates are written, as for `datetime.strptime`; None: find it.

    Raises:
        UserError: a cell cannot be read; says which.
    """
    kinds: dict[str, Kind] = {**dict.fromkeys(numbers, "number"), **dict.fromkeys(texts, "text")}
    kinds |= dict.fromkeys(times, "time")
    values = GrowingArray(np.float32, len(numbers))
    text_readers = {name: TextReader() for name in texts}
    time_readers = {name: TimeReader(table, name, time_format) for name in times}
    for block in table.blocks(kinds):
        for name, reader in {**text_readers, **time_readers}.items():
            reader.add(block[name])
        values.add(to_float32(table, block, numbers, values.size))
    return Columns(
        values.finish(),
        {name: reader.finish() for name, reader in text_readers.items()},
        {name: reader.finish() for name, reader in time_readers.items()},
    )


def to_float32(table: Table, block: Mapping[str, Any], names: Sequence[str], row: int) -> NDArray[np.float32]:
    """The numbers of a block [n, F], of which the first row has this number in the table.

    Raises:
        UserError: one is infinite, or too large for float32.
    """
    rows = len(next(iter(block.values())))
    numbers = np.empty((rows, len(names)), np.float32)
    for column, name in enumerate(names):
        wide = block[name].to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            numbers[:, column] = wide
        infinite = np.flatnonzero(np.isinf(numbers[:, column]))
        if infinite.size:
            raise UserError(
                f"{table.path} {table.place(row + int(infinite[0]))}, column {name!r}: {wide[infinite[0]]} is beyond "
                "float32 (3.4e38): correct it, or leave the cell empty if the value is missing"
            )
    return numbers
