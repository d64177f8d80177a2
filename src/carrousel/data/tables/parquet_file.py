"""A table in a Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from carrousel.data.libraries import load_library
from carrousel.data.tables.csv_errors import shorten
from carrousel.data.tables.table import Kind, Table
from carrousel.errors import UserError

ROWS = 1 << 16  # rows that are read at a time


class ParquetTable(Table):
    """A table in a Parquet file.

    Args:
        path: the file.

    Raises:
        UserError: it is damaged, or pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        parquet = load_library("pyarrow.parquet", f"reading {path}")
        arrow = load_library("pyarrow", f"reading {path}")
        self.path = path
        try:
            self.file: Any = parquet.ParquetFile(path, pre_buffer=False, memory_map=False)
            self.columns: tuple[str, ...] = tuple(self.file.schema_arrow.names)
        except (arrow.ArrowException, OSError, UnicodeError, MemoryError) as error:
            raise UserError(self.describe_damage(error)) from None
        twice = [name for number, name in enumerate(self.columns) if name in self.columns[:number]]
        if twice:
            raise UserError(f"{path}: two columns are named {twice[0]!r}: rename one of them")

    def describe_damage(self, error: BaseException) -> str:
        """The error message for a file that pyarrow cannot read."""
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        return f"{self.path} is damaged or no Parquet file ({first}): write or fetch it again"

    def blocks(self, kinds: Mapping[str, Kind]) -> Iterator[Mapping[str, Any]]:
        """The rows of some columns; a time is of the type that the file has."""
        arrow = load_library("pyarrow", f"reading {self.path}")
        first = 0
        batches = self.file.iter_batches(ROWS, columns=list(kinds), use_threads=False)
        while True:
            try:
                batch = next(batches, None)
                if batch is not None:
                    batch.validate(full=True)
            except (arrow.ArrowException, OSError, UnicodeError, MemoryError) as error:
                raise UserError(self.describe_damage(error)) from None
            if batch is None:
                return
            yield {name: self.convert(batch.column(name), name, kind, first) for name, kind in kinds.items()}
            first += batch.num_rows

    def convert(self, cells: Any, name: str, kind: Kind, first: int) -> Any:
        """The cells of a column as numbers, texts or times."""
        arrow = load_library("pyarrow", f"reading {self.path}")
        if arrow.types.is_dictionary(cells.type):
            cells = cells.dictionary_decode()
        self.require_type(cells, name, kind, first)
        if kind == "time":
            return cells.cast(arrow.float64()) if arrow.types.is_decimal(cells.type) else cells
        return cells.cast(arrow.float64() if kind == "number" else arrow.string(), safe=False)

    def require_type(self, cells: Any, name: str, kind: Kind, first: int) -> None:
        """Raise an error if a column has a type that cannot be read so.

        Raises:
            UserError: says which type, and gives a cell.
        """
        types = load_library("pyarrow", f"reading {self.path}").types
        numbers = (types.is_null, types.is_boolean, types.is_integer, types.is_floating, types.is_decimal)
        if any(check(cells.type) for check in (*numbers, *(() if kind == "number" else text_or_date(types)))):
            return
        example = next((str(cell) for cell in cells.to_pylist() if cell is not None), "")
        raise UserError(
            f"{self.path} {self.place(first)}, column {name!r} is of type {cells.type} ({shorten(example)}) and cannot "
            f"be read as {kind}s: convert it, or leave it out with --ignore"
        )

    def may_be_times(self, column: str) -> bool:
        """Whether a column has dates, numbers or texts."""
        arrow = load_library("pyarrow", f"reading {self.path}")
        kind = self.file.schema_arrow.field(column).type
        checks = (arrow.types.is_integer, arrow.types.is_floating, *text_or_date(arrow.types))
        return any(check(kind) for check in checks)

    def place(self, row: int) -> str:
        """The number of a row, from 1."""
        return f"row {row + 1}"


def text_or_date(types: Any) -> tuple[Any, ...]:
    """The checks for types of texts and dates."""
    return types.is_string, types.is_large_string, types.is_timestamp, types.is_date
