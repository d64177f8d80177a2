"""Ctrl-C as a request."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """While it is entered, SIGINT and SIGTERM are noted instead of obeyed; the second one is obeyed."""

    number = 0  # of the signal that came

    def __enter__(self) -> Interrupt:
        self.before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal, and obey the next of its kind."""
        self.number = number
        signal.signal(number, self.before[signal.Signals(number)])
