"""A table in a CSV file: plain or gzip, read in blocks by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from carrousel.data.libraries import load_library
from carrousel.data.tables.csv_dialect import Dialect, find_dialect
from carrousel.data.tables.csv_errors import explain, find_line
from carrousel.data.tables.table import Kind, Table
from carrousel.errors import UserError

BLOCK = 1 << 20  # bytes that are read at a time; a row must fit into it
MISSING = ["", "-", ".", "?", "NA", "N/A", "n/a", "na", "NaN", "nan", "NAN", "-nan", "-NaN", "null", "NULL", "Null"]
MISSING += ["None", "none", "#N/A", "#NA", "<NA>", "NaT"]  # in a column of numbers, without quotes or with


class CsvTable(Table):
    """A table in a CSV file, the first line of which names the columns.

    Args:
        path: the file.
        delimiter: what separates cells; None: find it.
        encoding: Python's name of its encoding.
        decimal: the decimal point.

    Raises:
        UserError: it is not such a file, or pyarrow is not installed.
    """

    def __init__(self, path: Path, delimiter: str | None, encoding: str, decimal: str) -> None:
        self.dialect: Dialect = find_dialect(path, delimiter, encoding, decimal)
        self.path = path
        self.columns: tuple[str, ...] = self.dialect.columns
        load_library("pyarrow.csv", f"reading {path}")

    def blocks(self, kinds: Mapping[str, Kind]) -> Iterator[Mapping[str, Any]]:
        """The rows of some columns; a time is a string."""
        arrow = load_library("pyarrow", f"reading {self.path}")
        try:
            for batch in self.open_stream(kinds):
                yield dict(zip(batch.schema.names, batch.columns))
        except (arrow.ArrowException, OSError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise UserError(f"{self.path} cannot be read: {error.strerror}") from None
            raise UserError(explain(self.dialect, kinds, MISSING, str(error))) from None

    def open_stream(self, kinds: Mapping[str, Kind]) -> Any:
        """pyarrow's reader of these columns: one thread, so that nothing is read ahead and rows are numbered."""
        arrow = load_library("pyarrow", f"reading {self.path}")
        csv = load_library("pyarrow.csv", f"reading {self.path}")
        file = arrow.OSFile(str(self.path))
        stream = arrow.CompressedInputStream(file, "gzip") if self.dialect.is_gzip else file
        types = {name: arrow.float64() if kind == "number" else arrow.string() for name, kind in kinds.items()}
        return csv.open_csv(
            stream,
            read_options=csv.ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                encoding=self.dialect.encoding,
                column_names=list(self.columns),
                skip_rows=self.dialect.before,
                skip_rows_after_names=1,  # the header, which may have a line end inside quotes
            ),
            parse_options=csv.ParseOptions(delimiter=self.dialect.delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=types,
                include_columns=list(kinds),
                null_values=MISSING,
                strings_can_be_null=False,
                decimal_point=self.dialect.decimal,
            ),
        )

    def may_be_times(self, column: str) -> bool:
        """Always: all cells are texts."""
        return True

    def place(self, row: int) -> str:
        """The line of a row, which differs from its number where a cell has several lines or a line is empty."""
        return f"line {find_line(self.dialect, row)}"
