"""A table: columns by name, read in blocks of rows; what is wrong with a cell is reported with its place."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from carrousel.errors import UserError

Kind = Literal["number", "text", "time"]
MOST_PRINTED = 20  # columns, in an error message


class Table(ABC):
    """A table in a file.

    Attributes:
        path: the file.
        columns: the names of its columns, in the file's order.
    """

    path: Path
    columns: tuple[str, ...]

    @abstractmethod
    def blocks(self, kinds: Mapping[str, Kind]) -> Iterator[Mapping[str, Any]]:
        """The rows of some columns, block after block, as Arrow arrays by column.

        A number is a float64, null where the cell is empty; a text is a string, null or "" where the cell is empty; a
        time is whatever the file stores: a string, an integer, a float, or an Arrow timestamp.

        Args:
            kinds: the columns to read, and as what.

        Raises:
            UserError: a cell cannot be read; says which.
        """

    @abstractmethod
    def may_be_times(self, column: str) -> bool:
        """Whether a column can be read as times, by its type."""

    @abstractmethod
    def place(self, row: int) -> str:
        """What a person calls the row with this number, from 0: "line 12"."""

    def require(self, column: str, option: str) -> None:
        """Raise an error if there is no such column.

        Args:
            column: its name.
            option: what named it: "--id".

        Raises:
            UserError: with the columns that there are.
        """
        if column in self.columns:
            return
        near = difflib.get_close_matches(column, self.columns, 1, 0.6)
        near = near or [name for name in self.columns if name.lower() == column.lower()]
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"{self.path} has no column {column!r} ({option}): {guess}its columns are {self.describe()}")

    def describe(self) -> str:
        """The names of the columns, for a message."""
        more = f", ... ({len(self.columns)} in all)" if len(self.columns) > MOST_PRINTED else ""
        return ", ".join(self.columns[:MOST_PRINTED]) + more
