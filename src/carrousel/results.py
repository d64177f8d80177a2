"""Where what a command has to say goes: results to a file or to stdout, all else to stderr."""

from __future__ import annotations

import codecs
import io
import os
import sys
from pathlib import Path

from rich.console import Console

from carrousel.errors import UserError

ESCAPED = "carrousel.escaped"  # how streams treat characters that they cannot encode
NARROWEST = 80  # columns, which tables are made for: a terminal with fewer breaks lines, where rich would cut figures


def screen(width: int) -> Console:
    """Stdout for people, as wide as the terminal; where there is none, so many columns wide."""
    if sys.stdout is not None and sys.stdout.isatty():
        width = max(Console().width, NARROWEST)
    return Console(width=width, highlight=False)


def write(path: Path | None, text: str, option: str) -> None:
    """Write the results.

    Args:
        path: the file; - is stdout. None: nothing is written.
        text: what they are, to the end of the last line.
        option: the command's, that asked for it.

    Raises:
        UserError: the file cannot be written.
    """
    if path is None:
        return
    if str(path) == "-":
        print(end=text)  # the command line tells if that fails, as of all that goes there
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{option} {path} cannot be written: {error.strerror}; name another file") from None


def say(line: str) -> None:
    """Tell a person something on stderr. Where nobody can read it, the command goes on: its exit code says enough."""
    try:
        if sys.stderr is not None:  # else print would take stdout
            print(line, file=sys.stderr, flush=True)
    except OSError:
        give_up(2)


def give_up(descriptor: int) -> None:
    """What stdout (1) or stderr (2) still holds goes nowhere: else Python tries again when it ends, and complains."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def escape_what_cannot_be_encoded() -> None:
    """Have stdout and stderr print \\u.... for each character that their encoding has not, where they would raise.

    A name of a file that is not of the encoding is printed byte by byte as it is on disk.
    """
    codecs.register_error(ESCAPED, escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape", "backslashreplace"):
            stream.reconfigure(errors=ESCAPED)


def escape(error: UnicodeError) -> tuple[str | bytes, int]:
    """The handler of such an error, as codecs call it: what to print for the first character, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    is_byte = "\udc80" <= character <= "\udcff"  # that Python could not decode in a name
    return bytes([ord(character) - 0xDC00]) if is_byte else ascii(character)[1:-1], error.start + 1
