"""Where the output of a command goes: results to a file or to stdout, everything else to stderr."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

from rich.console import Console

from carrousel.errors import UserError

ESCAPED = "carrousel.escaped"  # the error handler of stdout and stderr for characters that they cannot encode
NARROWEST = 80  # columns that tables are made for; in fewer, rich would cut figures


def screen(width: int) -> Console:
    """Stdout for people, as wide as the terminal, or of so many columns without one."""
    if sys.stdout is not None and sys.stdout.isatty():
        width = max(Console().width, NARROWEST)
    return Console(width=width, highlight=False)


def write(path: Path | None, text: str, option: str) -> None:
    """Write the results.

    Args:
        path: the file; - is stdout. None: nothing is written.
        text: the results, with the end of the last line.
        option: of the command, for the error message.

    Raises:
        UserError: the file cannot be written.
    """
    if path is None:
        return
    if str(path) == "-":
        print(end=text)  # the command line reports if that fails
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{option} {path} cannot be written: {error.strerror}; name another file") from None


def say(line: str) -> None:
    """Print a line on stderr. If that is closed or full, the command goes on: its exit code says enough."""
    try:
        if sys.stderr is not None:  # else print would take stdout
            print(line, file=sys.stderr, flush=True)
    except OSError:
        give_up(2)


def give_up(descriptor: int) -> None:
    """Drop what stdout (1) or stderr (2) still buffers; Python would try again when it ends, and print an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def escape_what_cannot_be_encoded() -> None:
    """Let stdout and stderr print \\u.... for a character that is not in their encoding, instead of raising an error.

    The name of a file that is not in the encoding is printed byte by byte, as it is on disk.
    """
    codecs.register_error(ESCAPED, escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape", "backslashreplace"):
            stream.reconfigure(errors=ESCAPED)


def escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """An error handler for codecs: what to print for the first character, and where to continue."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    is_byte = "\udc80" <= character <= "\udcff"  # that Python could not decode in a name
    return bytes([ord(character) - 0xDC00]) if is_byte else ascii(character)[1:-1], error.start + 1
