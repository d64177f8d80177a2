"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from carrousel.papers.harness.paper_row import Experiment
from carrousel.papers.harness.readings import LITERAL
from carrousel.papers.harness.report import ours, ratio, theirs
from carrousel.papers.harness.verdicts import HEADING, RULES

DETAILS = ("mean_first_stage", "error", "range_sequences")  # figures of the paper that few rows have


def markdown(opening: str, experiments: Iterable[Experiment], rows: Sequence[dict[str, Any]], seed: int) -> str:
    """The whole document: opening, rules, and a section for each experiment that has rows.

    Args:
        opening: its title and first paragraphs.
        experiments: in the paper's order.
        rows: as `report` returns them.
        seed: of the run.
    """
    parts = [opening, HEADING + "\n", *(f"* {rule}" for rule in RULES), ""]
    for experiment in experiments:
        own = [row for row in rows if row["experiment"] == experiment.name]
        if own:
            parts += section(experiment, own)
    literal = [row["verdict"] for row in rows if row["reading"] == LITERAL and row["paper"] is not None]
    reproduced = sum(verdict.startswith("reproduced") for verdict in literal)
    parts += [f"Literal readings reproduced: {reproduced} of {len(literal)}. Seed {seed}."]
    parts += ["s: seconds from a row's first trial to its last, including other rows that ran at the same time."]
    return "\n".join(parts) + "\n"


def section(experiment: Experiment, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of one experiment, what the paper leaves open, and the readings."""
    readings = {row["reading"]: row["description"] for row in rows}
    lines = [
        f"## {experiment.title}\n",
        "| row | setting | reading | success | sequences until success | wrong of 2560 | ratio | verdict | s |",
        "|---|---|---|--:|--:|--:|--:|---|--:|",
        *(f"| {' | '.join(cells(row))} |" for row in rows),
        "",
        *(line for row in rows for line in format_details(row)),
        "What the paper leaves open:\n",
        *(f"* {line}" for line in experiment.silent),
        "",
        "Readings:\n",
        *(f"* `{name}`: {description}" for name, description in readings.items()),
        "",
    ]
    return [*lines, f"{experiment.explained}\n"] if experiment.explained else lines


def cells(row: dict[str, Any]) -> list[str]:
    """The cells of a table row."""
    both = (f"{our} / {their}" if their else "" for our, their in zip(ours(row), theirs(row["paper"])))
    named = (row["row"], row["setting"], row["label"])
    return [*named, *both, ratio(row), row["verdict"], f"{row['seconds']:.1f}"]


def format_details(row: dict[str, Any]) -> list[str]:
    """Figures that few rows have: the first stage, the errors on the test set, the range."""
    paper: dict[str, Any] = row["paper"] or dict.fromkeys(DETAILS)
    facts: list[str] = []
    if row["mean_first_stage"] is not None and paper["mean_first_stage"] is not None:
        facts.append(f"ST1 after {row['mean_first_stage']:,.0f} (paper {paper['mean_first_stage']:,})")
    if row["mean_absolute_error"] is not None:
        theirs = f" (paper {paper['error']:g})" if paper["error"] is not None else ""
        facts.append(f"on the test set mean absolute error {row['mean_absolute_error']:.4f}{theirs}")
        facts.append(f"mean squared error {row['mean_squared_error']:.5f}")
    if row["range_sequences"] is not None and paper["range_sequences"] is not None:
        ours, theirs = row["range_sequences"], paper["range_sequences"]
        facts.append(f"range {ours[0]:,} to {ours[1]:,} (paper {theirs[0]:,} to {theirs[1]:,})")
    label = "" if row["label"] == LITERAL else f", {row['label']}"
    return [f"Row {row['row']}{label}: {'; '.join(facts)}.\n"] if facts else []
