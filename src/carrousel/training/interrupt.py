"""Signals that end a process, noted so that the run can save first."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Interrupt:
    """A context manager that notes the first SIGINT, SIGTERM or SIGHUP in `number`; a second one ends the process.

    SIGHUP is sent when the terminal is closed; under `nohup` it stays ignored.
    """

    number: int = 0  # of the signal; 0: none was received

    def __enter__(self) -> Interrupt:
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self.before: dict[signal.Signals, Any] = {number: signal.signal(number, self.note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def note(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, and let the next one of its kind end the process."""
        self.number = number
        signal.signal(number, self.before[signal.Signals(number)])
