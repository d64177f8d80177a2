"""What carrousel raises and warns of that has a name of its own."""

from __future__ import annotations


class UserError(Exception):
    """One line that says what happened, the value, and what to do. The command line prints it and exits with 2."""


class NoKernelWarning(RuntimeWarning):
    """A cell was to be compiled (compile=True) and runs in torch operations instead; it says why."""
