"""The output of every benchmark: a bar while it measures, then a table, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from carrousel.bench.measurement import Measurement, draw_table, write_markdown
from carrousel.results import screen, write

Item = TypeVar("Item")


def measure_all(items: Iterable[Item], measure: Callable[[Item], Iterable[Measurement]]) -> list[Measurement]:
    """The measurements of all items, with a bar meanwhile."""
    return [each for item in show_progress(items, "measuring") for each in measure(item)]


def show_progress(items: Any, words: str, total: int | None = None) -> Any:
    """The items, with a bar on stderr if that is a terminal."""
    console = Console(stderr=True)
    return track(items, words, total=total, console=console, transient=True, disable=not console.is_terminal)


def report(title: str, measurements: Sequence[Measurement], json_file: Path | None, markdown: bool = False) -> None:
    """Print measurements, and write them as JSON.

    Args:
        title: above the table; says what a ratio is.
        measurements: what is printed.
        json_file: where the JSON goes; - is stdout, and nothing else is printed. None: nowhere.
        markdown: print Markdown instead of a table.

    Raises:
        UserError: the file cannot be written.
    """
    if markdown:
        print(write_markdown(title, measurements))
    elif str(json_file) != "-":
        screen(160).print(draw_table(title, measurements))
    write(json_file, json.dumps([each.to_json() for each in measurements], indent=1) + "\n", "--json")
