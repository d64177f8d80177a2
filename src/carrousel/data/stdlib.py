"""The source of the Python standard library: a text that is on every machine with Python."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from carrousel.errors import UserError


def stdlib(folder: str | Path | None = None) -> str:
    """The public top-level modules of the standard library, joined in the order of their names: about 4 MB.

    Packages are left out (tests, encoding tables and icons would outweigh the code), and so are the few modules that
    are not pure ASCII, whose rare symbols would only widen the vocabulary. The text depends only
    on the version of Python.

    Args:
        folder: where the modules are. Default: those of the running Python.

    Raises:
        UserError: this Python has no source of its library.
    """
    folder = Path(folder or sysconfig.get_path("stdlib"))
    modules = [path.read_bytes() for path in sorted(folder.glob("[a-z]*.py"))]
    if not modules:
        raise UserError(f"{folder} holds no Python source: install your Python's standard library, or name text files")
    return "".join(module.decode() for module in modules if module.isascii())
