"""Where the results of a command go: a file, or stdout."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from carrousel.errors import UserError

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
