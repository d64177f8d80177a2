"""What can be run: one line an experiment; the rows and readings of one experiment; both as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.reproduce.choice import Chosen
from carrousel.papers.lstm1997.row import Experiment, Row

WIDEST = 120  # columns of a line of prose
HANGING: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "      ", "break_on_hyphens": False}


def print_experiments(chosen: Chosen, console: Console) -> None:
    """One line an experiment, in 80 columns: name, the paper's title, how many rows and readings."""
    columns = ("name", "left"), ("experiment", "left"), ("rows", "right"), ("readings", "right")
    shown = plain_table(*columns, gap=1)
    for of, rows in by_experiment(chosen):
        numbers, readings = {row.number for row in rows}, {row.reading for row in rows}
        shown.add_row(of.name, of.title.removeprefix("Experiment "), str(len(numbers)), str(len(readings)))
    console.print(shown)
    console.print("\nRows and readings of one: carrousel reproduce --list EXPERIMENT", markup=False)


def print_rows_and_readings(chosen: Chosen, console: Console) -> None:
    """For each experiment its rows, as the paper has them, and its readings, each with its description."""
    for at, (of, rows) in enumerate(by_experiment(chosen)):
        console.print(f"{chr(10) * bool(at)}{of.title} ({of.name})\n", markup=False)
        console.print(rows_table(rows))
        if any(row.long for row in rows):
            console.print("* takes minutes: runs with --all, or when named with --row", markup=False)
        console.print("\nreadings", markup=False)
        for line in reading_lines(rows):
            shown = Text(fill(line, min(console.width, WIDEST), **HANGING))
            shown.highlight_regex(r"^ +[a-z0-9-]+", "bold")  # the name
            console.print(shown)


def rows_table(rows: Sequence[Row]) -> Table:
    """Each row once: its number, setting, and the paper's number of trials and mean number of sequences."""
    columns = ("row", "left"), ("setting", "left"), ("trials", "right"), ("paper's mean sequences", "right")
    shown = plain_table(*columns)
    for row in {row.number: row for row in rows}.values():
        number = row.number + "*" * row.long
        shown.add_row(number, row.setting, str(row.paper.trials), f"{row.paper.sequences:,}")
    return shown


def reading_lines(rows: Sequence[Row]) -> list[str]:
    """A line a reading: its name, the rows it has where it does not have all, its description."""
    every = list(dict.fromkeys(row.number for row in rows))
    lines = []
    for name, description in {row.reading: row.description for row in rows}.items():
        numbers = [row.number for row in rows if row.reading == name]
        only = "" if numbers == every else f" ({', '.join(numbers)})"
        lines.append(f"{name}{only}: {description}")
    return lines


def facts(chosen: Chosen) -> list[dict[str, Any]]:
    """Each row in each reading, as JSON."""
    return [
        {
            "experiment": of.name,
            "title": of.title,
            "row": row.number,
            "setting": row.setting,
            "reading": row.reading,
            "description": row.description,
            "trials": row.paper.trials,
            "mean_sequences": row.paper.sequences,
            "long": row.long,
        }
        for of, row in chosen
    ]


def by_experiment(chosen: Chosen) -> list[tuple[Experiment, list[Row]]]:
    """The chosen rows of each experiment that has any."""
    names = dict.fromkeys(of.name for of, _ in chosen)
    return [(ALL[name], [row for of, row in chosen if of.name == name]) for name in names]


def plain_table(*columns: tuple[str, Any], gap: int = 2) -> Table:
    """An empty table without a frame, so many blanks between its columns."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), pad_edge=False, show_edge=False)
    for name, justify in columns:
        shown.add_column(name, justify=justify, no_wrap=True)
    return shown
