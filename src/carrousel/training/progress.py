"""The progress of a run: a bar on stderr if that is a terminal, and a line for each validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn


class Display:
    """A context manager that shows a run, and leaves the terminal as it found it.

    Lines go to stderr, above the bar, if that is a terminal, else to stdout.

    Args:
        unit: what is counted, for example "characters".
        quiet: write nothing to stdout.
    """

    def __init__(self, unit: str, quiet: bool) -> None:
        self.unit = unit
        self.quiet: bool = quiet
        self.console: Console = Console(stderr=True, highlight=False)
        self.live: bool = self.console.is_terminal
        columns = (BarColumn(bar_width=None), TaskProgressColumn(), TextColumn("{task.description}"))
        bar: Any = {"console": self.console, "disable": not self.live, "auto_refresh": False, "transient": True}
        self.bar: Progress = Progress(*columns, **bar, expand=True)
        self.task: TaskID = self.bar.add_task("training", total=1.0)
        self.last_shown: float = 0.0

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self.terminal():
            self.bar.stop()

    @contextmanager
    def terminal(self) -> Iterator[None]:
        """Write to the terminal; if it was closed the run goes on without it."""
        try:
            yield
        except OSError:
            self.live, self.quiet = False, True

    def say(self, line: str) -> None:
        """Print a line that stays."""
        if self.live:
            with self.terminal():
                self.bar.print(line, markup=False, soft_wrap=True)
        elif not self.quiet:
            try:
                print(line, flush=True)
            except BrokenPipeError:
                self.quiet = True  # nobody reads it; the run goes on

    def tick(self, now: float, progress: float, loss: float, rate: float, left: float) -> None:
        """Move the bar, at most four times a second.

        Args:
            now: the time in seconds.
            progress: the part of the run that is over.
            loss: the training loss.
            rate: units a second.
            left: seconds until the end.
        """
        if self.live and now - self.last_shown >= 0.25:
            self.last_shown = now
            figures = f"loss {loss:.3f}  {rate:,.0f} {self.unit}/s  {clock(left)} left"
            with self.terminal():
                self.bar.update(self.task, completed=progress, description=figures)
                self.bar.refresh()

    def report_validation(self, step: int, seconds: float, train: float, valid: str) -> None:
        """Print a line for a validation.

        Args:
            step, seconds: when it was.
            train: the training loss.
            valid: the validation score in words.
        """
        self.say(f"{clock(seconds):>7}  step {step:<7,} training {train:.4f}  validation {valid}")


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours, minutes and seconds: 1:05, 2:00:10."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
