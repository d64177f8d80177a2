"""Compiled libraries on disk, by what they were made of: a name that is there holds what it always will.

Several processes may ask for the same library at once: one makes it, the others wait for its lock. A file appears in
one go, by renaming, and beside it its checksum: what was cut short or damaged is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where there are no kernels
    fcntl = None


def place() -> Path:
    """The folder of compiled libraries: in $CARROUSEL_CACHE, $XDG_CACHE_HOME/carrousel, or ~/.cache/carrousel.

    Raises:
        OSError: there is no such home.
    """
    named, home = os.environ.get("CARROUSEL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    given = Path(named or home or "~/.cache")
    try:
        found = given if home and not named else given.expanduser()
    except RuntimeError as error:
        raise OSError(
            f"the cache {given} is not to be found ({error}) CARROUSEL_CACHE names another folder."
        ) from error
    return found / "kernels" if named else found / "carrousel" / "kernels"


def stored(name: str, make: Callable[[Path], None]) -> Path:
    """The file of this name in the cache, made by `make(path)` where it is not there, or not whole.

    Where the cache can not be written, the file is made in a temporary folder that goes with the process; a warning
    says so.

    Raises:
        OSError: there can neither be written.
        Exception: whatever `make` raises; nothing is stored then.
    """
    folder = place()
    if is_whole(folder / name):
        return folder / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        warnings.warn(
            f"the cache {folder} can not be written ({error.strerror or error}): what is compiled now serves this "
            "process alone. CARROUSEL_CACHE names another folder.",
            RuntimeWarning,
            stacklevel=6,  # the line that makes the layer
        )
        folder = Path(_temporary().name)
    with _lock(folder / f"{name}.lock") as alone:
        if not is_whole(folder / name):  # while this process waited, another may have made it
            for left in folder.glob(f"{name}.making-*") if alone else ():  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            _make(folder, name, make)
    return folder / name


def is_whole(file: Path) -> bool:
    """Whether the file is there with the content that was stored."""
    try:
        return _checksum(file) == _checksum_file(file).read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _make(folder: Path, name: str, make: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(prefix=f"{name}.making-", dir=folder) as work:
        made = Path(work) / name
        make(made)
        _checksum_file(made).write_text(_checksum(made), encoding="ascii")
        os.replace(made, folder / name)
        os.replace(_checksum_file(made), _checksum_file(folder / name))


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _checksum_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")


@contextlib.contextmanager
def _lock(file: Path) -> Iterator[bool]:
    """Held by one process at a time: True. Where a file system knows no locks, several may do the same work: False."""
    with open(file, "ab") as held:
        alone = False
        if fcntl:
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX)
                alone = True
        yield alone


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    """This process's own folder, which goes when it ends."""
    return tempfile.TemporaryDirectory(prefix="carrousel-")
