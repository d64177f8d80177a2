"""The report as Markdown: docs/reproduction.md is `carrousel reproduce --all --markdown docs/reproduction.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.readings import LITERAL
from carrousel.papers.lstm1997.reproduce.report import ours, ratio, theirs
from carrousel.papers.lstm1997.reproduce.verdicts import HEADING, RULES
from carrousel.papers.lstm1997.row import Experiment

OPENING = """# The 1997 paper, run again

Hochreiter & Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8):1735-1780, 1997: the LSTM rows of its
tables, ours / the paper's. Written by `carrousel reproduce --all --markdown docs/reproduction.md`.
`carrousel reproduce --list` lists the experiments, `carrousel reproduce --list adding` the rows and readings of one;
`carrousel reproduce --row 4-1 --reading linear-output` runs one row in one reading.

No setting was tuned in the literal readings. Data, network, learning rate, criterion, test and number of trials are the
paper's; where the paper is silent, the text below each table says what was done. Where the literal reading fails, other
readings were searched for; each is described below its table. A trial that has not succeeded after five times the
paper's mean number of sequences has failed, unless the reading names another number. Every row is listed, the literal
readings first.
"""


def markdown(rows: Sequence[dict[str, Any]], seed: int) -> str:
    """All tables.

    Args:
        rows: as `report` gives them.
        seed: they were run with.
    """
    parts = [OPENING, HEADING + "\n", *(f"* {rule}" for rule in RULES), ""]
    for name, experiment in ALL.items():
        of = [row for row in rows if row["experiment"] == name]
        if of:
            parts += section(experiment, of)
    reproduced = sum(row["verdict"].startswith("reproduced") for row in rows if row["reading"] == LITERAL)
    literal = sum(row["reading"] == LITERAL for row in rows)
    parts += [f"Literal readings reproduced: {reproduced} of {literal}. Seed {seed}."]
    parts += ["s: seconds from a row's first trial to its last, beside rows of the same network and all else that ran."]
    return "\n".join(parts) + "\n"


def section(experiment: Experiment, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of one experiment, where the paper is silent, and what the readings are."""
    readings = {row["reading"]: row["description"] for row in rows}
    lines = [
        f"## {experiment.title}\n",
        "| row | setting | reading | success | sequences until success | wrong of 2560 | ratio | verdict | s |",
        "|---|---|---|--:|--:|--:|--:|---|--:|",
        *(f"| {' | '.join(cells(row))} |" for row in rows),
        "",
        *(line for row in rows for line in more(row)),
        "Where the paper is silent:\n",
        *(f"* {line}" for line in experiment.silent),
        "",
        "Readings:\n",
        *(f"* `{name}`: {description}" for name, description in readings.items()),
        "",
    ]
    return [*lines, f"{experiment.explained}\n"] if experiment.explained else lines


def cells(row: dict[str, Any]) -> list[str]:
    """A row of the table."""
    both = (f"{our} / {their}" if their else "" for our, their in zip(ours(row), theirs(row["paper"])))
    named = (row["row"], row["setting"], row["reading"])
    return [*named, *both, ratio(row), row["verdict"], f"{row['seconds']:.1f}"]


def more(row: dict[str, Any]) -> list[str]:
    """Figures that few rows have: the first stage, the errors on the test set, the range."""
    paper, facts = row["paper"], []
    if row["mean_first_stage"] is not None and paper["mean_first_stage"] is not None:
        facts.append(f"ST1 after {row['mean_first_stage']:,.0f} (paper {paper['mean_first_stage']:,})")
    if row["mean_absolute_error"] is not None:
        theirs = f" (paper {paper['error']:g})" if paper["error"] is not None else ""
        facts.append(f"on the test set mean absolute error {row['mean_absolute_error']:.4f}{theirs}")
        facts.append(f"mean squared error {row['mean_squared_error']:.5f}")
    if row["range_sequences"] is not None and paper["range_sequences"] is not None:
        ours, theirs = row["range_sequences"], paper["range_sequences"]
        facts.append(f"range {ours[0]:,} to {ours[1]:,} (paper {theirs[0]:,} to {theirs[1]:,})")
    reading = "" if row["reading"] == LITERAL else f", {row['reading']}"
    return [f"Row {row['row']}{reading}: {'; '.join(facts)}.\n"] if facts else []
