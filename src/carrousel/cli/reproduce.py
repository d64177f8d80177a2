"""`carrousel reproduce`: its arguments, and what it prints."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from carrousel.cli.help import write_epilog
from carrousel.errors import UserError
from carrousel.papers.harness import document, listing, plots
from carrousel.papers.harness.choice import Chosen, choose
from carrousel.papers.harness.finished_trials import FinishedTrials
from carrousel.papers.harness.paper_row import Experiment, PaperRow
from carrousel.papers.harness.readings import LITERAL
from carrousel.papers.harness.report import JSON, report, table, verdict_lines
from carrousel.papers.harness.run_all import run_all
from carrousel.papers.harness.trials import Outcome
from carrousel.papers.harness.verdicts import HEADING, RULES
from carrousel.papers.lstm1997.document_opening import OPENING
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.results import say, screen, write
from carrousel.training.interrupt import Interrupt

EPILOG = write_epilog(
    ("reproduce adding", "runs the adding problem with T = 100 in all readings, in half a minute"),
    ("reproduce --row 4-1 --reading linear-output", "runs one row in one reading"),
)
FINISHED = "trials.jsonl"
MAX_TRIALS = 10_000  # of a row
DEFAULT_TRIALS = 10  # of a row that the paper does not have
WIDTH = 120  # columns if stdout is not a terminal


def reproduce(
    experiments: Annotated[
        list[str] | None, typer.Argument(metavar="[EXPERIMENT]...", help="Names, as --list prints them.")
    ] = None,
    listed: Annotated[
        bool,
        typer.Option("--list", help="List the experiments; with EXPERIMENT, --row or --reading, rows and readings."),
    ] = False,
    row: Annotated[
        list[str] | None,
        typer.Option(help="A row by the paper's name: 1-3, 2a, 2c-4, 3a-2, 4-1, 5-1, 6a; 2c, 3: all of its rows."),
    ] = None,
    reading: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A name that --list EXPERIMENT prints, or all (default: all; with --row: literal)."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All rows, also those that take minutes.")] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, max=MAX_TRIALS, help="Trials of each row (default: the paper's number).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random streams.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the rows as JSON; - is stdout.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
    plot: Annotated[
        bool | None,
        typer.Option("--plot/--no-plot", help="Draw each row into --out (default: the first that succeeded)."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for plots and for trials that have ended.")] = Path(
        "runs/reproduce"
    ),
) -> int:
    """Run the experiments of the 1997 LSTM paper again, and print our figures beside the paper's.

    A reading is one interpretation of what the paper leaves open. After Ctrl-C, the same command continues with the
    trials that have not ended.
    """
    if listed or not (experiments or row or everything):
        of_reading = "all" if reading is None else reading
        chosen = choose(ALL, experiments or [], row or [], of_reading, everything=True)
        print_list(chosen, in_detail=bool(experiments or row or reading is not None), json_file=json_file)
        return 0
    chosen = choose(ALL, experiments or [], row or [], reading, everything)
    for path, option in ((json_file, "--json"), (markdown, "--markdown")):
        check_writable(path, option)  # now, not after minutes
    if json_file is not None and json_file == markdown:
        raise UserError(f"--json and --markdown both write {json_file}: name another file for one of them")
    finished = FinishedTrials(out / FINISHED, seed)
    counts = {each.key: trials or (each.paper.trials if each.paper else DEFAULT_TRIALS) for _, each in chosen}
    began = time.monotonic()
    with Interrupt() as interrupt:
        seconds = run_with_progress(chosen, counts, finished, lambda: bool(interrupt.number))
    if interrupt.number:
        say(f"stopped; {out / FINISHED} holds the trials that have ended: the same command continues")
        return 128 + interrupt.number
    rows = [report(of, each, finished.of(each, counts[each.key]), seconds[each.key]) for of, each in chosen]
    write(json_file, json.dumps([{name: facts[name] for name in JSON} for facts in rows], indent=1) + "\n", "--json")
    write(markdown, document.markdown(OPENING, ALL.values(), rows, seed), "--markdown")
    if "-" not in (str(json_file), str(markdown)):
        print_report(chosen, rows, time.monotonic() - began)
    solved = [of_row for of_row, facts in zip(chosen, rows) if facts["solved"]]
    for of, each in chosen if plot else (solved or chosen)[:1] if plot is None else []:
        path = out / plots.file_name(each)
        plots.draw(of, each, finished.of(each, counts[each.key]), seed, path)
        say(str(path))
    print(end="", flush=True)  # if stdout fails here, the trials stay
    finished.forget(counts)
    return 0


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


def print_report(chosen: Chosen, rows: list[dict[str, Any]], seconds: float) -> None:
    """Print a table for each experiment, where the paper is silent, and the rules of the verdicts."""
    console = screen(WIDTH)
    for of in dict.fromkeys(experiment.name for experiment, _ in chosen):
        print_experiment(ALL[of], [row for row in rows if row["experiment"] == of], console)
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
