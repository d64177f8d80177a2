"""A row's figures beside the paper's: as JSON, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from textwrap import fill
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from carrousel.papers.lstm1997.readings import LITERAL
from carrousel.papers.lstm1997.reproduce import verdicts
from carrousel.papers.lstm1997.row import Experiment, Row
from carrousel.papers.lstm1997.trials import Outcome

JSON = (
    *("experiment", "row", "reading", "description", "trials", "solved", "mean_sequences", "sd_sequences"),
    *("wrong_of_2560", "paper", "verdict", "seconds"),
)  # what --json writes of a row; the rest is for people
OTHER_COLUMNS = 62  # of the terminal, at most: every column but that of setting and reading


def report(experiment: Experiment, row: Row, outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """All figures of a row, by their names in JSON.

    Args:
        experiment: the row's.
        row: what was run.
        outcomes: its trials.
        seconds: from the start of the first to the end of the last, beside all else that ran.
    """
    solved = [outcome for outcome in outcomes if outcome.solved]
    counts = [outcome.sequences for outcome in solved]
    tested = [outcome for outcome in solved if outcome.wrong is not None]
    return {
        "experiment": experiment.name,
        "row": row.number,
        "reading": row.reading,
        "description": row.description,
        "setting": row.setting,
        "trials": len(outcomes),
        "solved": len(solved),
        "cap": row.cap,
        "mean_sequences": mean(counts) if counts else None,
        "sd_sequences": stdev(counts) if len(counts) > 1 else None,
        "range_sequences": [min(counts), max(counts)] if counts else None,
        "mean_first_stage": mean(o.stages[0] for o in solved) if solved and row.criterion.stages > 1 else None,
        "wrong_of_2560": mean(outcome.wrong or 0 for outcome in tested) if tested else None,
        "mean_absolute_error": mean(outcome.absolute or 0.0 for outcome in tested) if tested else None,
        "mean_squared_error": mean(outcome.squared or 0.0 for outcome in tested) if tested else None,
        "paper": figures(row),
        "verdict": verdicts.verdict(judged(row, outcomes)),
        "seconds": round(seconds, 2),
    }


def figures(row: Row) -> dict[str, Any]:
    """The paper's, as JSON."""
    paper = row.paper
    return {
        "source": paper.source,
        "trials": paper.trials,
        "solved": paper.solved,
        "mean_sequences": paper.sequences,
        "mean_first_stage": paper.first,
        "wrong_of_2560": paper.wrong,
        "error": paper.error,
        "range_sequences": paper.range and list(paper.range),
        "weights": paper.weights,
    }


def judged(row: Row, outcomes: Sequence[Outcome]) -> list[verdicts.Judgement]:
    """Each rule that the paper has a figure for."""
    paper = row.paper
    solved = [outcome for outcome in outcomes if outcome.solved]
    counts = [outcome.sequences for outcome in solved]
    found = [
        verdicts.of_success(len(solved), len(outcomes), paper.solved, paper.trials),
        verdicts.of_sequences(mean(counts) if counts else None, paper.sequences),
    ]
    if paper.wrong is not None:
        wrong = sum(outcome.wrong or 0 for outcome in solved)
        found.append(verdicts.of_test(wrong, len(solved), paper.wrong, paper.trials))
    return found if solved else found[:1]


def table(experiment: Experiment, rows: Sequence[dict[str, Any]], columns: int = 80) -> Table:
    """The paper's table with ours beside it.

    Args:
        experiment: whose rows they are.
        rows: as `report` gives them.
        columns: of the terminal, at least 80; names of readings that are too long for it are broken at a hyphen.
    """
    shown = Table(
        title=experiment.title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    shown.add_column("row", no_wrap=True)
    shown.add_column("setting,\nreading", overflow="fold")
    for name in ("", "success", "sequences\nuntil success", "wrong of\n2560", "ratio", "s"):
        shown.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in rows:
        both = zip(("ours", *ours(row)), ("paper", *theirs(row["paper"])))
        beside = ("\n".join(pair) for pair in both)
        named = f"{row['setting']}\n{fill(row['reading'], columns - OTHER_COLUMNS)}"
        shown.add_row(row["row"], named, *beside, ratio(row), f"{row['seconds']:.1f}")
    return shown


def told(rows: Sequence[dict[str, Any]]) -> Text:
    """The verdicts, a line each."""
    lines = Text()
    for row in rows:
        reading = "" if row["reading"] == LITERAL else f" {row['reading']}"
        good = row["verdict"].startswith("reproduced")
        lines.append(f"{row['row']}{reading}: ").append(f"{row['verdict']}\n", style="green" if good else "red")
    return lines


def ours(row: dict[str, Any]) -> tuple[str, str, str]:
    """Our success, sequences until success, and wrong of 2560, in words."""
    tested = row["paper"]["wrong_of_2560"] is not None
    wrong = ("-" if row["wrong_of_2560"] is None else f"{row['wrong_of_2560']:.1f}") if tested else ""
    return f"{row['solved']}/{row['trials']}", presented(row), wrong


def theirs(paper: dict[str, Any]) -> tuple[str, str, str]:
    """The same of the paper."""
    wrong = "" if paper["wrong_of_2560"] is None else f"{paper['wrong_of_2560']:g}"
    return f"{paper['solved']}/{paper['trials']}", f"{paper['mean_sequences']:,}", wrong


def ratio(row: dict[str, Any]) -> str:
    """Our sequences, the paper's being 1."""
    return f"{row['mean_sequences'] / row['paper']['mean_sequences']:.2f}" if row["mean_sequences"] else "-"


def presented(row: dict[str, Any]) -> str:
    """Mean and spread of the sequences until success; the cap where there was none."""
    if row["mean_sequences"] is None:
        return f"> {row['cap']:,}"
    spread = "" if row["sd_sequences"] is None else f" ± {row['sd_sequences']:,.0f}"
    return f"{row['mean_sequences']:,.0f}{spread}"
