"""The lines of a file, one after another: gzip, encoding, line ends; errors say where a line cannot be read."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from carrousel.data.text import GZIP_MAGIC, STDIN, describe_undecodable, read_stdin
from carrousel.errors import UserError


def read_lines(path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a text without their ends, decompressed if it is in gzip format; only one is in memory.

    Args:
        path: the file; - is stdin.
        encoding: Python's name of its encoding.

    Raises:
        UserError: it cannot be read, or has bytes that are not of this encoding; says where.
    """
    name = "stdin" if str(path) == STDIN else str(path)
    with open_text(path, encoding) as text, explained(path, encoding):
        for number, line in enumerate(text, start=1):
            if "\0" in line:
                raise UserError(f"{name} line {number} has a zero byte: it is not a text, or not {encoding}")
            yield line.removesuffix("\n")


def open_text(path: str | Path, encoding: str, errors: str = "strict", newline: str | None = None) -> TextIO:
    """A file as text, decompressed if it is in gzip format, without a byte order mark.

    Args:
        path: the file; - is stdin.
        encoding: Python's name of its encoding.
        errors: what to do with bytes that are not of this encoding, as for `open`.
        newline: which line ends there are, as for `open`.

    Raises:
        UserError: there is no such encoding, or the file cannot be opened.
    """
    try:
        "".encode(encoding)  # rot13, hex and others are codecs, but not of text
    except LookupError:
        raise UserError(f"--encoding {encoding} is not a text encoding; try utf-8, latin-1, cp1252 or utf-16") from None
    name = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    return io.TextIOWrapper(open_bytes(path), name, errors, newline)


def open_bytes(path: str | Path) -> BinaryIO:
    """A file, or stdin, decompressed if it is in gzip format.

    Raises:
        UserError: it cannot be opened.
    """
    if Path(path).is_dir():
        raise UserError(f"{path} is a directory: name a file in it")
    try:
        file = io.BytesIO(read_stdin()) if str(path) == STDIN else Path(path).open("rb")  # noqa: SIM115 - returned
        is_gzip = file.read(2) == GZIP_MAGIC
        file.seek(0)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the name") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    return cast(BinaryIO, gzip.GzipFile(fileobj=file) if is_gzip else file)


@contextmanager
def explained(path: str | Path, encoding: str) -> Iterator[None]:
    """Replace what goes wrong while a text is read by a UserError of one line.

    Raises:
        UserError: the file is damaged, cannot be read, or is not of this encoding.
    """
    name = "stdin" if str(path) == STDIN else str(path)
    try:
        try:
            yield
        except UnicodeError as error:
            raise UserError(find_undecodable(path, name, encoding, error)) from None  # reads the file again
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name} is damaged or incomplete (gzip: {error}): fetch it again") from None
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from None


def find_undecodable(path: str | Path, name: str, encoding: str, error: UnicodeError) -> str:
    """The error message for a text that cannot be decoded; the file is read again, to count lines."""
    if isinstance(error, UnicodeDecodeError) and str(path) != STDIN:
        before = 0
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode(encoding)
                except UnicodeDecodeError as found:
                    message = describe_undecodable(name, found)
                    return message.replace("line 1,", f"line {number},", 1).replace(
                        f"byte {found.start + 1} of", f"byte {before + found.start + 1} of"
                    )
                before += len(line)
    return f"{name} is not {encoding}: {error}; give its encoding with --encoding"
