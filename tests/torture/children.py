"""Functions in forked processes, which may crash, hang or ask for all memory: the parent goes on.

The parent has imported everything and has no thread that computes, so that a child starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from carrousel import memory

RAISED = 70  # the exit code of a child whose function raised an exception
M_ARENA_MAX = -8  # glibc's name of an option


class Child:
    """A function in a process of its own; what it writes to stderr goes to a file, to stdout nowhere.

    Args:
        function: returns the exit code.
        errors: the file for stderr.
        bytes_more: of memory, at most, that the process may take beyond what it has at its start.
    """

    def __init__(self, function: Callable[[], int], errors: Path, bytes_more: int | None = None) -> None:
        self.errors = errors
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            run_and_exit(function, errors, bytes_more)
        self.ended = os.pidfd_open(self.pid)

    def wait(self, seconds: float) -> int | None:
        """The exit code, or the negative signal that ended it; None: it runs still, after so many seconds."""
        if not select.select([self.ended], [], [], max(0.0, seconds))[0]:
            return None
        os.close(self.ended)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> int:
        """Send SIGKILL, and return the exit code."""
        os.kill(self.pid, signal.SIGKILL)  # a child that has ended is there until `wait`
        code = self.wait(60)
        assert code is not None
        return code

    def finish(self, seconds: float) -> tuple[int | None, str]:
        """The exit code and what was written to stderr; None: it was killed because it hung."""
        code = self.wait(seconds)
        if code is None:
            self.kill()
        return code, self.errors.read_text(errors="replace")


def run_and_exit(function: Callable[[], int], errors: Path, bytes_more: int | None) -> None:
    """In the child: run the function and end the process, without what Python does at the end."""
    code = RAISED
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(errors, os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_RDWR), 2)
        faulthandler.enable()
        if bytes_more is not None:
            limit_memory(bytes_more)
        code = function()
    except BaseException:  # noqa: BLE001 - whatever it is, the parent sees it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def limit_memory(bytes_more: int) -> None:
    """From now on this process gets so many bytes more; then memory allocation fails."""
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)  # each thread of pyarrow would reserve 64 MB
    used = memory.kilobytes("/proc/self/status")["VmSize"]
    resource.setrlimit(resource.RLIMIT_AS, (used + bytes_more, resource.RLIM_INFINITY))


def run_alone(function: Callable[[], int], errors: Path, seconds: float = 300) -> None:
    """Run a function that must succeed in a child.

    Raises:
        RuntimeError: it did not; with what it wrote.
    """
    code, text = Child(function, errors).finish(seconds)
    if code != 0:
        raise RuntimeError(f"a run that should succeed ended with {code}: {text}")
