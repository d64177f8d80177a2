"""What carrousel raises and warns of that has a name of its own."""

from __future__ import annotations


class UserError(Exception):
    """One line that says what happened, the value, and what to do. The command line prints it and exits with 2."""


class NoKernelWarning(RuntimeWarning):
    """A cell was to be compiled (compile=True) and runs in torch operations instead; it says why."""


def add_note(error: BaseException, note: str) -> None:
    """Say more below an exception that stays what it is; before Python 3.11 there is no place for it."""
    if add := getattr(error, "add_note", None):
        add(note)
