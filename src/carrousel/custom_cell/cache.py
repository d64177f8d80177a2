"""Compiled libraries on disk, named after a digest of their sources: the content of a name never changes.

If several processes need the same library at once, one makes it and the others wait for its lock. A file appears
complete, by renaming, with its checksum beside it; one that is incomplete or damaged is made again.
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


def find_folder() -> Path:
    """The folder of compiled libraries: in $CARROUSEL_CACHE, $XDG_CACHE_HOME/carrousel, or ~/.cache/carrousel.

    Raises:
        OSError: the home folder is not known.
    """
    named, home = os.environ.get("CARROUSEL_CACHE"), os.environ.get("XDG_CACHE_HOME")
    path = Path(named or home or "~/.cache")
    try:
        found = path if home and not named else path.expanduser()
    except RuntimeError as error:
        raise OSError(
            f"the cache folder {path} was not found ({error}); set CARROUSEL_CACHE to another folder"
        ) from error
    return found / "kernels" if named else found / "carrousel" / "kernels"


def load_or_make(name: str, make: Callable[[Path], None]) -> Path:
    """The file of this name in the cache; `make(path)` makes it if it does not exist or is not complete.

    If the cache is not writable, the file is made in a temporary folder that the process removes at its end, with a
    warning.

    Raises:
        OSError: neither folder is writable.
        Exception: whatever `make` raises; then nothing is saved.
    """
    folder = find_folder()
    if is_whole(folder / name):
        return folder / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        warnings.warn(
            f"the cache folder {folder} is not writable ({error.strerror or error}): kernels are compiled in each "
            "process; set CARROUSEL_CACHE to another folder",
            RuntimeWarning,
            stacklevel=6,  # the line that makes the layer
        )
        folder = Path(_temporary().name)
    with _lock(folder / f"{name}.lock") as is_locked:
        if not is_whole(folder / name):  # another process may have made it in the meantime
            for left in folder.glob(f"{name}.making-*") if is_locked else ():  # from a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            _make(folder, name, make)
    return folder / name


def is_whole(file: Path) -> bool:
    """Whether the file exists with the content that was saved."""
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
    """Lock a file: True while one process holds it; False on file systems without locks."""
    with open(file, "ab") as held:
        is_locked = False
        if fcntl:
            with contextlib.suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX)
                is_locked = True
        yield is_locked


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    """A folder of this process, removed at its end."""
    return tempfile.TemporaryDirectory(prefix="carrousel-")
