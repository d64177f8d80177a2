"""Where the results of a command go: a file, or stdout."""

from __future__ import annotations

from pathlib import Path

from carrousel.errors import UserError


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
    try:
        print(end=text) if str(path) == "-" else path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{option} {path} cannot be written: {error.strerror}; name another file") from None
