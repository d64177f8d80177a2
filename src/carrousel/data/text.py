"""The text of a file or of stdin: bytes, gzip, encoding; errors say where the text cannot be read."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from pathlib import Path

from carrousel import memory
from carrousel.errors import UserError

STDIN = "-"  # instead of the name of a file; a file with this name is ./-
GZIP_MAGIC = b"\x1f\x8b"
SURROGATES = re.compile("[\ud800-\udfff]")


def absolute(path: str | Path) -> str:
    """The absolute name of a file; that of stdin stays."""
    return STDIN if str(path) == STDIN else str(Path(path).absolute())


def read(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file, decompressed if it is in gzip format.

    Surrogate pairs, which JSON writes for one character (\\ud83d\\ude00) and --encoding unicode_escape decodes as
    two, are joined to one character.

    Args:
        path: the file; - is stdin.
        encoding: Python's name of its encoding.

    Raises:
        UserError: it cannot be read, is empty, has bytes that are not of this encoding, or one surrogate without the
            other; the message says where.
    """
    name = "stdin" if str(path) == STDIN else str(path)
    content = unpack(name, read_bytes(path))
    if not content:
        raise UserError(f"{name} is empty: {'pipe text into it' if name == 'stdin' else 'name a file with text in it'}")
    try:
        text = content.decode(encoding).removeprefix("\ufeff")  # a byte order mark is not a character
    except UnicodeDecodeError as error:
        raise UserError(describe_undecodable(name, error)) from None
    except LookupError:
        raise UserError(f"--encoding {encoding} is not a text encoding; try utf-8, latin-1, cp1252 or utf-16") from None
    except UnicodeError as error:
        raise UserError(f"{name} is not {encoding}: {error}; give its encoding with --encoding") from None
    return join_surrogates(text, name) if SURROGATES.search(text) else text


def read_bytes(path: str | Path) -> bytes:
    """The bytes of a file, or of stdin to its end."""
    if str(path) == STDIN:
        return read_stdin()
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a directory: name the files in it, for example {path}/*.txt")
    try:
        memory.require(2 * path.stat().st_size, str(path), "take a part of it")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the name") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def read_stdin() -> bytes:
    """Everything that is piped into this process."""
    if sys.stdin is None:
        raise UserError("stdin is closed: pipe text into it, or name a file")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise UserError(f"stdin cannot be read: {error.strerror or error}") from None


def unpack(name: str, content: bytes) -> bytes:
    """The content of a file, decompressed if it is in gzip format."""
    try:
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name} is damaged or incomplete (gzip: {error}): fetch it again") from None


def join_surrogates(text: str, name: str) -> str:
    """The text with each surrogate pair joined to one character.

    Raises:
        UserError: a surrogate stands alone. It is not a character: it could neither be saved as JSON nor be printed.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    try:
        return units.decode("utf-16-le")
    except UnicodeDecodeError as error:
        before = units[: error.start].decode("utf-16-le")
        code = int.from_bytes(units[error.start : error.start + 2], "little")
        raise UserError(
            f"{name} has U+{code:04X} at {position(before, len(before))} of the decoded text, which is half of a "
            "surrogate pair and not a character: remove it, or give another --encoding"
        ) from None


def describe_undecodable(path: str, error: UnicodeDecodeError) -> str:
    """The error message for bytes that could not be decoded: the first one and its place."""
    before = error.object[: error.start].decode(error.encoding, errors="ignore")
    place = position(before, len(before))
    other = "latin-1" if error.encoding.replace("-", "") != "latin1" else "utf-8"
    return (
        f"{path} is not {error.encoding}: byte 0x{error.object[error.start]:02x} at {place}, byte {error.start + 1} "
        f"of the file; give its encoding, for example --encoding {other}"
    )


def position(text: str, index: int) -> str:
    """The place of a character as an editor counts, from line 1, column 1."""
    return f"line {text.count(chr(10), 0, index) + 1}, column {index - text.rfind(chr(10), 0, index)}"
