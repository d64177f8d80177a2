"""A row's figures beside the paper's: as JSON, and as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from rich.table import Table

from carrousel.papers.lstm1997.reproduce import verdicts
from carrousel.papers.lstm1997.row import Experiment, Row
from carrousel.papers.lstm1997.trials import Outcome

JSON = (
    *("experiment", "row", "reading", "trials", "solved", "mean_sequences", "sd_sequences", "wrong_of_2560", "paper"),
    *("verdict", "seconds"),
)  # what --json writes of a row; the rest is for people


def report(experiment: Experiment, row: Row, outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """All figures of a row, by their names in JSON.

    Args:
        experiment: the row's.
        row: what was run.
        outcomes: its trials.
        seconds: what they took, on one core.
    """
    solved = [outcome for outcome in outcomes if outcome.solved]
    counts = [outcome.sequences for outcome in solved]
    tested = [outcome for outcome in solved if outcome.wrong is not None]
    return {
        "experiment": experiment.name,
        "row": row.number,
        "reading": row.reading,
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


def table(experiment: Experiment, rows: Sequence[dict[str, Any]]) -> Table:
    """The paper's table with ours beside it."""
    shown = Table(title=f"{experiment.title}: ours | paper's", title_justify="left", show_lines=True)
    columns = (
        "row",
        "setting",
        "reading",
        "success",
        "sequences until success",
        "wrong of 2560",
        "ratio",
        "verdict",
        "s",
    )
    for name in columns:
        right = name in ("success", "sequences until success", "wrong of 2560", "ratio", "s")
        shown.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        verdict = f"[{'green' if row['verdict'].startswith('reproduced') else 'red'}]{row['verdict']}[/]"
        shown.add_row(*cells(row)[:-2], verdict, f"{row['seconds']:.1f}")
    return shown


def cells(row: dict[str, Any]) -> list[str]:
    """A row in words, column by column, verdict and seconds last."""
    paper = row["paper"]
    wrong = "" if paper["wrong_of_2560"] is None else f"{number(row['wrong_of_2560'])} | {paper['wrong_of_2560']:g}"
    ratio = f"{row['mean_sequences'] / paper['mean_sequences']:.2f}" if row["mean_sequences"] else "-"
    return [
        row["row"],
        row["setting"],
        row["reading"],
        f"{row['solved']}/{row['trials']} | {paper['solved']}/{paper['trials']}",
        f"{presented(row)} | {paper['mean_sequences']:,}",
        wrong,
        ratio,
        row["verdict"],
        f"{row['seconds']:.1f}",
    ]


def presented(row: dict[str, Any]) -> str:
    """Mean and spread of the sequences until success."""
    if row["mean_sequences"] is None:
        return f"none up to {row['cap']:,}"
    spread = "" if row["sd_sequences"] is None else f" ± {row['sd_sequences']:,.0f}"
    return f"{row['mean_sequences']:,.0f}{spread}"


def number(value: float | None) -> str:
    """A mean of few digits, or a dash."""
    return "-" if value is None else f"{value:.1f}"
