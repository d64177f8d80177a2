"""Lists: one line an experiment; the rows and readings of an experiment; both as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from carrousel.papers.harness.choice import Chosen
from carrousel.papers.harness.paper_row import Experiment, PaperRow

MAX_WIDTH = 120  # characters in a line of prose
HANGING: dict[str, Any] = {"initial_indent": "  ", "subsequent_indent": "      ", "break_on_hyphens": False}


def print_experiments(chosen: Chosen, console: Console) -> None:
    """Print one line an experiment, in 80 columns: name, the paper's title, number of rows and readings."""
    columns = ("name", "left"), ("experiment", "left"), ("rows", "right"), ("readings", "right")
    table = plain_table(*columns, gap=1)
    for of, rows in by_experiment(chosen):
        numbers, readings = {row.number for row in rows}, {row.reading for row in rows}
        table.add_row(of.name, of.title.removeprefix("Experiment "), str(len(numbers)), str(len(readings)))
    console.print(table)
    console.print("\nRows and readings of an experiment: carrousel reproduce --list EXPERIMENT", markup=False)


def print_rows_and_readings(chosen: Chosen, console: Console) -> None:
    """Print the rows of each experiment, as the paper has them, and its readings with their descriptions."""
    for at, (of, rows) in enumerate(by_experiment(chosen)):
        console.print(f"{chr(10) * bool(at)}{of.title} ({of.name})\n", markup=False)
        console.print(make_rows_table(rows))
        if any(row.long for row in rows):
            console.print("* takes minutes: runs with --all, or if named with --row", markup=False)
        console.print("\nreadings", markup=False)
        for line in describe_readings(rows):
            text = Text(fill(line, min(console.width, MAX_WIDTH), **HANGING))
            text.highlight_regex(r"^ +[a-z0-9-]+", "bold")  # the name
            console.print(text)


def make_rows_table(rows: Sequence[PaperRow]) -> Table:
    """A table with each row once: number, setting, the paper's number of trials and mean number of sequences."""
    columns = ("row", "left"), ("setting", "left"), ("trials", "right"), ("paper's mean sequences", "right")
    table = plain_table(*columns)
    first: dict[str, PaperRow] = {}
    for row in rows:
        first.setdefault(row.number, row)
    for row in first.values():
        trials, sequences = (str(row.paper.trials), f"{row.paper.sequences:,}") if row.paper else ("-", "-")
        table.add_row(row.number + "*" * row.long, row.setting, trials, sequences)
    return table


def describe_readings(rows: Sequence[PaperRow]) -> list[str]:
    """One line a reading: its name, its rows if it does not have all of them, its description."""
    every = list(dict.fromkeys(row.number for row in rows))
    lines = []
    for name, description in {row.reading: row.description for row in rows}.items():
        numbers = [row.number for row in rows if row.reading == name]
        only = "" if numbers == every else f" ({', '.join(numbers)})"
        lines.append(f"{name}{only}: {description}")
    return lines


def list_facts(chosen: Chosen) -> list[dict[str, Any]]:
    """Each row in each reading, for JSON."""
    return [
        {
            "experiment": of.name,
            "title": of.title,
            "row": row.number,
            "setting": row.setting,
            "method": row.method.name,
            "reading": row.reading,
            "description": row.description,
            "trials": row.paper and row.paper.trials,
            "mean_sequences": row.paper and row.paper.sequences,
            "long": row.long,
        }
        for of, row in chosen
    ]


def by_experiment(chosen: Chosen) -> list[tuple[Experiment, list[PaperRow]]]:
    """The experiments with their chosen rows."""
    experiments = {of.name: of for of, _ in chosen}
    return [(of, [row for other, row in chosen if other.name == name]) for name, of in experiments.items()]


def plain_table(*columns: tuple[str, Any], gap: int = 2) -> Table:
    """An empty table without a frame; `gap` spaces between its columns."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), pad_edge=False, show_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)
    return table
