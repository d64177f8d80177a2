"""What the commands of `carrousel bench` show: a bar while they measure, then a table, Markdown or JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track
from rich.table import Table

from carrousel.bench.table import Result
from carrousel.results import screen, write

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Result)


def measured(items: Iterable[Item], measure: Callable[[Item], Iterable[Row]]) -> list[Row]:
    """The rows of all items, with a bar meanwhile."""
    return [row for item in progress(items, "measuring") for row in measure(item)]


def progress(items: Any, words: str, total: int | None = None) -> Any:
    """The items, with a bar on stderr while it is a terminal."""
    console = Console(stderr=True)
    return track(items, words, total=total, console=console, transient=True, disable=not console.is_terminal)


def tell(
    rows: Sequence[Row],
    table: Callable[[Sequence[Row]], Table],
    json_file: Path | None,
    markdown: Callable[[Sequence[Row]], str] | None = None,
) -> None:
    """Print the rows, and write them as JSON.

    Args:
        rows: the results.
        table: makes the table that is printed unless the JSON goes to stdout.
        json_file: where the JSON goes; - is stdout. None: nowhere.
        markdown: makes the Markdown that is printed in place of the table. None: it is not asked for.

    Raises:
        UserError: the file cannot be written.
    """
    if markdown:
        print(markdown(rows))
    elif str(json_file) != "-":
        screen(160).print(table(rows))
    write(json_file, json.dumps([row.json() for row in rows], indent=1) + "\n", "--json")
