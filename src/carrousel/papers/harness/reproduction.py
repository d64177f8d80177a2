"""A run of rows from the command line: bar, reports and plots; and lists of what can be run."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from carrousel.errors import UserError
from carrousel.papers.harness import document, listing, plots
from carrousel.papers.harness.choice import Chosen, Experiments
from carrousel.papers.harness.finished_trials import FinishedTrials
from carrousel.papers.harness.paper_row import Experiment, PaperRow
from carrousel.papers.harness.readings import LITERAL
from carrousel.papers.harness.report import JSON, report, table, verdict_lines
from carrousel.papers.harness.run_all import run_all
from carrousel.papers.harness.trials import Outcome
from carrousel.papers.harness.verdicts import HEADING, RULES
from carrousel.results import say, screen, write
from carrousel.training.interrupt import Interrupt

FINISHED = "trials.jsonl"
DEFAULT_TRIALS = 10  # of a row that the paper does not have
WIDTH = 120  # columns if stdout is not a terminal


@dataclass(frozen=True)
class Wanted:
    """What a run was asked for.

    Args:
        trials: of each row; None: the paper's number.
        seed: of all random streams.
        json_file, markdown: files for the results; None: none.
        plot: each row, or none; None: the first that succeeded.
        out: the folder for plots and for trials that have ended.
        opening: title and first paragraphs of the report.
    """

    trials: int | None
    seed: int
    json_file: Path | None
    markdown: Path | None
    plot: bool | None
    out: Path
    opening: str

    def check(self) -> None:
        """Check that the results can probably be written: now, not after minutes.

        Raises:
            UserError: they cannot.
        """
        check_writable(self.json_file, "--json")
        check_writable(self.markdown, "--markdown")
        if self.json_file is not None and self.json_file == self.markdown:
            raise UserError(f"--json and --markdown both write {self.json_file}: name another file for one of them")


def run_rows(experiments: Experiments, chosen: Chosen, wanted: Wanted) -> int:
    """Run rows, write and print their results, and return the exit code.

    Args:
        experiments: all of them, in the paper's order.
        chosen: the rows.
        wanted: what else was asked for.

    Raises:
        UserError: a file cannot be written.
    """
    wanted.check()
    finished = FinishedTrials(wanted.out / FINISHED, wanted.seed)
    counts = {each.key: wanted.trials or (each.paper.trials if each.paper else DEFAULT_TRIALS) for _, each in chosen}
    began = time.monotonic()
    with Interrupt() as interrupt:
        seconds = run_with_progress(chosen, counts, finished, lambda: bool(interrupt.number))
    if interrupt.number:
        say(f"stopped; {wanted.out / FINISHED} holds the trials that have ended: the same command continues")
        return 128 + interrupt.number
    rows = [report(of, each, finished.of(each, counts[each.key]), seconds[each.key]) for of, each in chosen]
    write_files(experiments, rows, wanted)
    if "-" not in (str(wanted.json_file), str(wanted.markdown)):
        print_report(experiments, chosen, rows, time.monotonic() - began)
    for of, each in rows_to_draw(chosen, rows, wanted.plot):
        path = wanted.out / plots.file_name(each)
        plots.draw(of, each, finished.of(each, counts[each.key]), wanted.seed, path)
        say(str(path))
    print(end="", flush=True)  # if stdout fails here, the trials stay
    finished.forget(counts)
    return 0


def write_files(experiments: Experiments, rows: list[dict[str, Any]], wanted: Wanted) -> None:
    """Write the rows as JSON and as Markdown, where that is wanted."""
    facts = [{name: row[name] for name in JSON} for row in rows]
    write(wanted.json_file, json.dumps(facts, indent=1) + "\n", "--json")
    write(wanted.markdown, document.markdown(wanted.opening, experiments.values(), rows, wanted.seed), "--markdown")


def rows_to_draw(chosen: Chosen, rows: Sequence[dict[str, Any]], plot: bool | None) -> Chosen:
    """All rows, none, or the first that succeeded (if none did, the first)."""
    if plot is not None:
        return chosen if plot else []
    solved = [of_row for of_row, facts in zip(chosen, rows) if facts["solved"]]
    return (solved or chosen)[:1]


def run_with_progress(
    chosen: Chosen, counts: dict[str, int], finished: FinishedTrials, halted: Callable[[], bool]
) -> dict[str, float]:
    """Run the rows, with a bar on stderr if it is a terminal; return the seconds of each."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        rows = [row for _, row in chosen]
        task = bar.add_task("trials", total=sum(counts.values()))
        bar.advance(task, sum(len(finished.of(row, counts[row.key])) for row in rows))

        def show_outcome(row: PaperRow, outcome: Outcome) -> None:
            end = f"solved at {outcome.sequences:,}" if outcome.solved else f"failed at {outcome.sequences:,}"
            bar.update(task, advance=1, description=f"{row.key}, trial {outcome.trial}: {end}")

        return run_all(rows, counts, finished, show_outcome, halted)


def print_report(experiments: Experiments, chosen: Chosen, rows: list[dict[str, Any]], seconds: float) -> None:
    """Print a table for each experiment, where the paper is silent, and the rules of the verdicts."""
    console = screen(WIDTH)
    for of in dict.fromkeys(experiment.name for experiment, _ in chosen):
        print_experiment(experiments[of], [row for row in rows if row["experiment"] == of], console)
    console.print(HEADING, *(f"- {rule}" for rule in RULES), sep="\n", markup=False)
    console.print(f"{seconds:.1f} s", markup=False)


def print_experiment(of: Experiment, rows: list[dict[str, Any]], console: Console) -> None:
    """Print an experiment's table, its verdicts, where the paper is silent, and what the readings are."""
    console.print(table(of, rows, console.width))
    console.print(verdict_lines(rows))
    lines = [f"- {line}" for line in of.silent]
    console.print("where the paper is silent:", *lines, sep="\n", markup=False)
    others = {row["reading"]: row["description"] for row in rows if row["reading"] != LITERAL}
    if others:
        lines = [f"- {name}: {description}" for name, description in others.items()]
        console.print("readings:", *lines, of.explained, sep="\n", markup=False)
    console.print()


def print_list(chosen: Chosen, in_detail: bool, json_file: Path | None) -> None:
    """Print what can be run, for people or as JSON.

    Args:
        chosen: the rows.
        in_detail: with rows and readings, not one line an experiment.
        json_file: as of --json.

    Raises:
        UserError: the file cannot be written.
    """
    if str(json_file) != "-":
        show = listing.print_rows_and_readings if in_detail else listing.print_experiments
        show(chosen, screen(WIDTH))
    write(json_file, json.dumps(listing.list_facts(chosen), indent=1) + "\n", "--json")


def check_writable(path: Path | None, option: str) -> None:
    """Check that a file can probably be written, without writing it.

    Raises:
        UserError: it cannot be written.
    """
    if path is None or str(path) == "-":
        return
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(
            f"{option} {path} is {'a folder' if path.is_dir() else 'in no existing folder'}: name another file"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"{option} {path} cannot be written: permission denied. Name another file")
