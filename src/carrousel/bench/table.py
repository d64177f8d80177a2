"""What results are told in: a row of them, a table in the terminal, Markdown for the README, and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """One measurement; each module has its own fields."""

    def json(self) -> dict[str, Any]:
        """The fields that say something."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def machine() -> str:
    """What was measured on, in a line."""
    return f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}"


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def empty_table(title: str, words: Sequence[str], figures: Sequence[str], caption: str | None = None) -> Table:
    """A table for the terminal, without rows as yet.

    Args:
        title: above it.
        words, figures: names of the columns: of words first, then of figures, which stand at the right.
        caption: below it. Default: the machine.
    """
    table = Table(title=title, caption=caption or machine())
    for name in words:
        table.add_column(name)
    for name in figures:
        table.add_column(name, justify="right")
    return table


def as_markdown(
    words: Sequence[str], figures: Sequence[str], rows: Iterable[Sequence[str]], caption: str | None = None
) -> str:
    """A table in Markdown and its caption; arguments as `empty_table` takes them, and the rows."""
    lines = [f"| {' | '.join(cells)} |" for cells in ((*words, *figures), *rows)]
    lines.insert(1, "|" + "---|" * len(words) + "--:|" * len(figures))
    return "\n".join([*lines, "", f"{caption or machine()}."])


def verdict(reached: bool, words: str) -> str:
    """The words, green where it is reached and red where not."""
    return f"[green]{words}, reached[/]" if reached else f"[red]{words}, MISSED[/]"


def milliseconds(time: float | None) -> str:
    """Three digits: 0.0421, 3.07, 512; nothing of None."""
    return "" if time is None else f"{time:.3g}" if time < 1000 else f"{time:.0f}"


def plural(count: int, word: str) -> str:
    """1 thread, 2 threads."""
    return f"{count} {word}{'s' * (count > 1)}"
