"""The text of a file, or of stdin: bytes, gzip, encoding; what cannot be read is refused with its place."""

from __future__ import annotations

import gzip
import re
import sys
import zlib
from pathlib import Path

from carrousel import memory
from carrousel.errors import UserError

STDIN = "-"  # in the place of a file's name; a file that is called so has to be named ./-
GZIP_MAGIC = b"\x1f\x8b"
SURROGATES = re.compile("[\ud800-\udfff]")


def absolute(path: str | Path) -> str:
    """The name of a file wherever the process is, and that of stdin."""
    return STDIN if str(path) == STDIN else str(Path(path).absolute())


def read(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file, decompressed if it is gzip's.

    What it has of surrogate pairs, which JSON has for one character (\\ud83d\\ude00) and --encoding unicode_escape
    decodes as two, is joined: a text here is made of characters.

    Args:
        path: the file; - is stdin.
        encoding: how its bytes stand for characters, by Python's name for it.

    Raises:
        UserError: it cannot be read, is empty, has bytes that are not of this encoding, or one surrogate without the
            other (says where).
    """
    name = "stdin" if str(path) == STDIN else str(path)
    content = unpacked(name, read_bytes(path))
    if not content:
        raise UserError(f"{name} is empty: {'pipe text into it' if name == 'stdin' else 'name a file with text in it'}")
    try:
        text = content.decode(encoding).removeprefix("\ufeff")  # a byte order mark is no character
    except UnicodeDecodeError as error:
        raise UserError(undecodable(name, error)) from None
    except LookupError:
        raise UserError(f"--encoding {encoding} is not a text encoding; try utf-8, latin-1, cp1252 or utf-16") from None
    except UnicodeError as error:
        raise UserError(f"{name} is not {encoding}: {error}; name its encoding with --encoding") from None
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
    """All that is piped into this process."""
    if sys.stdin is None:
        raise UserError("stdin is closed: pipe text into it, or name a file")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise UserError(f"stdin cannot be read: {error.strerror or error}") from None


def unpacked(name: str, content: bytes) -> bytes:
    """What is in a file, if it is gzip's."""
    try:
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{name} is damaged or not all there (gzip: {error}): fetch it again") from None


def join_surrogates(text: str, name: str) -> str:
    """The text with one character in the place of each surrogate pair.

    Raises:
        UserError: one surrogate stands alone, which is no character: it could be trained on, but not be saved as JSON
            or printed.
    """
    units = text.encode("utf-16-le", "surrogatepass")
    try:
        return units.decode("utf-16-le")
    except UnicodeDecodeError as error:
        before = units[: error.start].decode("utf-16-le")
        code = int.from_bytes(units[error.start : error.start + 2], "little")
        raise UserError(
            f"{name} has U+{code:04X} at {position(before, len(before))} of the decoded text, which is half of a "
            "surrogate pair and no character: remove it, or name another --encoding"
        ) from None


def undecodable(path: str, error: UnicodeDecodeError) -> str:
    """Says where the first byte stands that could not be read."""
    before = error.object[: error.start].decode(error.encoding, errors="ignore")
    place = position(before, len(before))
    other = "latin-1" if error.encoding.replace("-", "") != "latin1" else "utf-8"
    return (
        f"{path} is not {error.encoding}: byte 0x{error.object[error.start]:02x} at {place}, byte {error.start + 1} "
        f"of the file; name its encoding, for example --encoding {other}"
    )


def position(text: str, index: int) -> str:
    """Where a character stands, as an editor counts: from line 1, column 1."""
    return f"line {text.count(chr(10), 0, index) + 1}, column {index - text.rfind(chr(10), 0, index)}"
