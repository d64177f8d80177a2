"""What a person sees while a run goes on: a bar on stderr if that is a terminal, and a line for each validation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from carrousel.tasks.evaluate import Score


class Display:
    """Shows a run. As a context manager it leaves the terminal as it found it.

    The lines go to stderr, above the bar, if that is a terminal, else to stdout; with `quiet` only to a terminal.

    Args:
        quiet: nothing on stdout, which belongs to a program.
    """

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False)
        self.live = self.console.is_terminal
        columns = (BarColumn(bar_width=None), TaskProgressColumn(), TextColumn("{task.description}"))
        bar: Any = {"console": self.console, "disable": not self.live, "auto_refresh": False, "transient": True}
        self.bar = Progress(*columns, **bar, expand=True)
        self.task = self.bar.add_task("training", total=1.0)
        self.shown = 0.0

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self.terminal():
            self.bar.stop()

    @contextmanager
    def terminal(self) -> Iterator[None]:
        """Write to the terminal; when it is closed the run goes on without it."""
        try:
            yield
        except OSError:
            self.live, self.quiet = False, True

    def say(self, line: str) -> None:
        """One line that stays."""
        if self.live:
            with self.terminal():
                self.bar.print(line, markup=False, soft_wrap=True)
        elif not self.quiet:
            try:
                print(line, flush=True)
            except BrokenPipeError:
                self.quiet = True  # the reader has gone; the run goes on

    def tick(self, now: float, progress: float, loss: float, rate: float, left: float) -> None:
        """Move the bar, at most four times a second.

        Args:
            now: the time in seconds.
            progress: the part of the run that is over.
            loss: the training loss, in nats a character.
            rate: characters a second.
            left: seconds until the end.
        """
        if self.live and now - self.shown >= 0.25:
            self.shown = now
            figures = f"loss {loss:.3f}  {rate:,.0f} characters/s  {clock(left)} left"
            with self.terminal():
                self.bar.update(self.task, completed=progress, description=figures)
                self.bar.refresh()

    def validation(self, step: int, seconds: float, train: float, valid: Score) -> None:
        """A line for a validation."""
        self.say(
            f"{clock(seconds):>8}  step {step:<8,} training {train:.4f}   validation {valid.nats_per_char:.4f} nats  "
            f"{valid.bits_per_char:.4f} bits  perplexity {valid.perplexity:.3f}"
        )


def clock(seconds: float) -> str:
    """A time as people write it."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
