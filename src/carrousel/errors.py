"""Exceptions and warnings of carrousel."""

from __future__ import annotations


class UserError(Exception):
    """One line that says what happened, the value, and what to do. The command line prints it and exits with 2."""


class NoKernelWarning(RuntimeWarning):
    """A cell could not be compiled (compile=True) and runs in torch operations; the message says why."""


def add_note(error: BaseException, note: str) -> None:
    """Add a line below an exception's message; before Python 3.11 this does nothing."""
    if add := getattr(error, "add_note", None):
        add(note)
