"""Ctrl-C as a request, and so with what ends a process otherwise."""

from __future__ import annotations

import signal
from types import FrameType


class Interrupt:
    """While it is entered, SIGINT, SIGTERM and SIGHUP are noted instead of obeyed; the second one is obeyed.

    SIGHUP comes when the terminal is closed; under `nohup` it stays ignored.
    """

    number = 0  # of the signal that came

    def __enter__(self) -> Interrupt:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self.before = {number: signal.signal(number, self.note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal, and obey the next of its kind."""
        self.number = number
        signal.signal(number, self.before[signal.Signals(number)])
