"""The folder of a run, which one process at a time trains into."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from carrousel.errors import UserError


@contextmanager
def lock_folder(out: Path) -> Iterator[None]:
    """Make a run's folder if needed, and keep other processes from training into it; the lock ends with this process.

    Raises:
        UserError: it cannot be made, or another process trains into it.
    """
    try:
        is_new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"--out {out} cannot be a folder ({error.strerror}): choose another") from None
    try:
        lock(descriptor, out)
        yield
    finally:
        os.close(descriptor)
        if is_new:
            with suppress(OSError):  # it is not empty, and stays
                out.rmdir()


def lock(descriptor: int, out: Path) -> None:
    """Lock an open folder until it is closed.

    Raises:
        UserError: another process has locked it, or the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"--out {out} is in use by another run: wait for its end, or choose another") from None
    except OSError as error:
        raise UserError(f"--out {out} cannot be locked ({error.strerror}): choose another") from None
