"""The one exception for what the person at the keyboard can mend."""

from __future__ import annotations


class UserError(Exception):
    """One line that says what happened, the value, and what to do. The command line prints it and exits with 2."""
