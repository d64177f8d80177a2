"""What a run starts from: its folder, its text, its device."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from carrousel.data.stdlib import stdlib
from carrousel.data.text import read
from carrousel.data.vocabulary import Corpus, letters_only
from carrousel.errors import UserError
from carrousel.training.options import Options


@contextmanager
def folder(out: Path) -> Iterator[None]:
    """Make a run's folder and keep other processes from training into it; the lock ends with this process.

    Raises:
        UserError: it cannot be made, or another process trains into it.
    """
    try:
        made = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"--out {out} cannot be a folder ({error.strerror}): choose another") from None
    try:
        lock(descriptor, out)
        yield
    finally:
        os.close(descriptor)
        if made:
            with suppress(OSError):  # it stays if there is something in it
                out.rmdir()


def lock(descriptor: int, out: Path) -> None:
    """Keep other processes from training into a folder, until it is closed.

    Raises:
        UserError: another one does.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(f"--out {out} is in use by another run: wait for its end, or choose another") from None
    except OSError as error:  # a file system that has no locks
        raise UserError(f"--out {out} cannot be locked ({error.strerror}): choose another") from None


def corpus(options: Options) -> Corpus:
    """The text that the options name: read, cleaned, cut to its first characters, split."""
    clean = letters_only if options.letters else str
    text = stdlib() if options.stdlib else "".join(read(file, options.encoding) for file in options.files)
    text = clean(text)[: options.characters]
    valid = options.valid_fraction if options.valid is None else clean(read(options.valid, options.encoding))
    divided = Corpus.split(text, valid)
    if len(divided.valid) == 1:
        raise UserError(
            "1 character is left to validate on, and the first is given: raise --valid-fraction, or make it 0"
        )
    return divided


def device(name: str) -> torch.device:
    """The device with a name; `auto` is a GPU if there is one.

    Raises:
        UserError: there is no such device.
    """
    try:
        found = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.zeros(1, device=found).item()
    except (RuntimeError, AssertionError) as error:  # a torch built without CUDA asserts
        reason = str(error).splitlines()[0].partition(". ")[0]  # what comes next lists all that torch has
        raise UserError(f"--device {name} cannot be used ({reason}): try cpu") from None
    return found
