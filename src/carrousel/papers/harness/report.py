"""A row's figures beside the paper's: as JSON, and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from textwrap import fill
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from carrousel.papers.harness import verdicts
from carrousel.papers.harness.paper_row import Experiment, Figures, PaperRow
from carrousel.papers.harness.readings import LITERAL
from carrousel.papers.harness.trials import Outcome

JSON = (
    *("experiment", "row", "method", "reading", "description", "trials", "solved", "mean_sequences", "sd_sequences"),
    *("wrong_of_2560", "paper", "verdict", "seconds"),
)  # the keys that --json writes; the others are for the table and the document
OTHER_COLUMNS = 62  # characters, at most, of all columns except that of setting and reading


def report(experiment: Experiment, row: PaperRow, outcomes: Sequence[Outcome], seconds: float) -> dict[str, Any]:
    """All figures of a row, by their keys in JSON.

    Args:
        experiment: of the row.
        row: what was run.
        outcomes: its trials.
        seconds: from the start of the first trial to the end of the last, including other rows that ran meanwhile.
    """
    solved = [outcome for outcome in outcomes if outcome.solved]
    counts = [outcome.sequences for outcome in solved]
    tested = [outcome for outcome in solved if outcome.wrong is not None]
    return {
        "experiment": experiment.name,
        "row": row.number,
        "method": row.method.name,
        "reading": row.reading,
        "description": row.description,
        "setting": row.setting,
        "key": row.key,
        "label": " ".join(row.names[1:]) or LITERAL,
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
        "paper": row.paper and list_figures(row.paper),
        "verdict": verdicts.NO_FIGURES if row.paper is None else verdicts.join(judge(row.paper, outcomes)),
        "seconds": round(seconds, 2),
    }


def list_figures(paper: Figures) -> dict[str, Any]:
    """The paper's figures, by their keys in JSON."""
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


def judge(paper: Figures, outcomes: Sequence[Outcome]) -> list[verdicts.Judgement]:
    """Apply each rule for which the paper has a figure."""
    solved = [outcome for outcome in outcomes if outcome.solved]
    counts = [outcome.sequences for outcome in solved]
    found = [
        verdicts.judge_success(len(solved), len(outcomes), paper.solved, paper.trials),
        verdicts.judge_sequences(mean(counts) if counts else None, paper.sequences),
    ]
    if paper.wrong is not None:
        wrong = sum(outcome.wrong or 0 for outcome in solved)
        found.append(verdicts.judge_test(wrong, len(solved), paper.wrong, paper.trials))
    return found if solved else found[:1]


def table(experiment: Experiment, rows: Sequence[dict[str, Any]], columns: int = 80) -> Table:
    """The paper's table, with our figures above the paper's.

    Args:
        experiment: of the rows.
        rows: as `report` returns them.
        columns: width of the terminal, at least 80; too long names of readings are broken at a hyphen.
    """
    table = Table(
        title=experiment.title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("row", no_wrap=True)
    table.add_column("setting,\nreading", overflow="fold")
    for name in ("", "success", "sequences\nuntil success", "wrong of\n2560", "ratio", "s"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in rows:
        both = zip(("ours", *ours(row)), ("paper", *theirs(row["paper"])))
        beside = ("\n".join(pair) for pair in both)
        named = f"{row['setting']}\n{fill(row['label'], columns - OTHER_COLUMNS)}"
        table.add_row(row["row"], named, *beside, ratio(row), f"{row['seconds']:.1f}")
    return table


def verdict_lines(rows: Sequence[dict[str, Any]]) -> Text:
    """One line a row: its verdict, green if reproduced, red if missed."""
    lines = Text()
    for row in rows:
        style = {"reproduced": "green", "missed": "red"}.get(row["verdict"].partition(",")[0].partition(":")[0])
        lines.append(f"{row['key']}: ").append(f"{row['verdict']}\n", style=style)
    return lines


def ours(row: dict[str, Any]) -> tuple[str, str, str]:
    """Our successes, sequences until success, and wrong of 2560, as text."""
    tested = row["paper"] is None or row["paper"]["wrong_of_2560"] is not None
    wrong = ("-" if row["wrong_of_2560"] is None else f"{row['wrong_of_2560']:.1f}") if tested else ""
    return f"{row['solved']}/{row['trials']}", until_success(row), wrong


def theirs(paper: dict[str, Any] | None) -> tuple[str, str, str]:
    """The same for the paper."""
    if paper is None:
        return "-", "-", ""
    wrong = "" if paper["wrong_of_2560"] is None else f"{paper['wrong_of_2560']:g}"
    return f"{paper['solved']}/{paper['trials']}", f"{paper['mean_sequences']:,}", wrong


def ratio(row: dict[str, Any]) -> str:
    """Our mean number of sequences, divided by the paper's."""
    if not row["mean_sequences"] or row["paper"] is None:
        return "-"
    return f"{row['mean_sequences'] / row['paper']['mean_sequences']:.2f}"


def until_success(row: dict[str, Any]) -> str:
    """Mean and standard deviation of the sequences until success; the cap if no trial succeeded."""
    if row["mean_sequences"] is None:
        return f"> {row['cap']:,}"
    spread = "" if row["sd_sequences"] is None else f" ± {row['sd_sequences']:,.0f}"
    return f"{row['mean_sequences']:,.0f}{spread}"
