"""Opens a table in a file of either format."""

from __future__ import annotations

from pathlib import Path

from carrousel.data.tables.csv_file import CsvTable
from carrousel.data.tables.parquet_file import ParquetTable
from carrousel.data.tables.table import Table
from carrousel.errors import UserError

PARQUET_MAGIC = b"PAR1"


def open_table(path: str | Path, *, delimiter: str | None = None, encoding: str = "utf-8", decimal: str = ".") -> Table:
    """Open a CSV file (plain or gzip) or a Parquet file, whichever it is by its first bytes.

    Args:
        path: the file.
        delimiter: what separates the cells of a CSV file; None: comma, semicolon or tab, found in the first lines.
        encoding: Python's name of a CSV file's encoding.
        decimal: the decimal point of a CSV file: "." or ",".

    Raises:
        UserError: the file cannot be read, or is not a table; pyarrow is not installed.
    """
    path = Path(path)
    if read_first_bytes(path) == PARQUET_MAGIC:
        return ParquetTable(path)
    return CsvTable(path, delimiter, encoding, decimal)


def read_first_bytes(path: Path) -> bytes:
    """The first four bytes of a file.

    Raises:
        UserError: it does not exist, is a directory, is empty or cannot be read.
    """
    if path.is_dir():
        raise UserError(f"{path} is a directory: name a table in it, a CSV or Parquet file")
    try:
        with path.open("rb") as file:
            first = file.read(4)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the name") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    if not first:
        raise UserError(f"{path} is empty: name a file with a table in it")
    return first
