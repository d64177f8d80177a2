"""Ctrl-C from the first line of the command `carrousel` to its last: exit code 130, and no traceback.

The package imports this module first, and this module imports nothing that takes time. Importing torch takes a second
or more: commands do it in `with importing()`. A program that imports carrousel as a library handles Ctrl-C itself.
"""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

CODE = 128 + signal.SIGINT
SHOW_CURSOR = b"\x1b[?25h"  # a progress bar hides it


def is_command() -> bool:
    """Whether this process runs `carrousel` or `python -m carrousel`, or one of its modules by `-m`."""
    argv = getattr(sys, "argv", None) or [""]
    if argv[0] == "-m":  # while Python looks for the module; its name is not in argv yet
        module = "".join(sys.orig_argv[-len(argv) :][:1])
        return re.fullmatch(r"(-\w*m)?carrousel(\..*)?", module) is not None
    return os.path.basename(argv[0]) == "carrousel"


def leave(code: int = CODE) -> None:
    """End the process now, without what Python does at the end, which Ctrl-C could interrupt again."""
    with suppress(OSError):
        if os.isatty(2):
            os.write(2, SHOW_CURSOR)
    os._exit(code)


def leave_at_once(code: int = CODE) -> None:
    """From now on Ctrl-C ends the process with this exit code. Used while it starts, and when its work is done."""
    set_handler(lambda number, frame: leave(code))


def raise_once() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, and the next one ends the process."""
    set_handler(interrupt)
    sys.unraisablehook = leave_if_interrupted


@contextmanager
def importing() -> Iterator[None]:
    """While a command imports what it needs, Ctrl-C ends the process: libraries turn an exception there into others."""
    if not IS_COMMAND:
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    leave_at_once()
    try:
        yield
    finally:
        set_handler(before)


def interrupt(number: int, frame: FrameType | None) -> None:
    """The handler of the first Ctrl-C."""
    leave_at_once()
    raise KeyboardInterrupt


def leave_if_interrupted(unraisable: Any) -> None:
    """Handle exceptions that Python can only report: a Ctrl-C inside a destructor or a callback ends the process."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        leave()
    sys.__unraisablehook__(unraisable)


def set_handler(handler: Any) -> None:
    """Set a handler, unless the process was started with Ctrl-C ignored, as scripts of a shell do with `&`."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        with suppress(ValueError):  # not in the main thread, so that this is not the command
            signal.signal(signal.SIGINT, handler)


IS_COMMAND = is_command()  # now: `python -m` changes argv
if IS_COMMAND:
    leave_at_once()
    # The first to be registered is the last to be called. After it Python gives every signal that has a function of
    # ours back to the system, where Ctrl-C would end the process by the signal; one that is ignored stays so.
    atexit.register(set_handler, signal.SIG_IGN)
