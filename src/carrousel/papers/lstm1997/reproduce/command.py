"""`carrousel reproduce`: its arguments, and what it tells."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from carrousel.errors import UserError
from carrousel.interrupt import Interrupt
from carrousel.papers.lstm1997.experiments import ALL
from carrousel.papers.lstm1997.reproduce import document, plots
from carrousel.papers.lstm1997.reproduce.report import JSON, report, table, told
from carrousel.papers.lstm1997.reproduce.verdicts import HEADING, RULES
from carrousel.papers.lstm1997.reproduce.work import Kept, run_all
from carrousel.papers.lstm1997.row import Experiment, Row
from carrousel.papers.lstm1997.trials import Outcome
from carrousel.results import say, screen, write

KEPT = "trials.jsonl"
MOST = 10_000  # trials of a row
WIDTH = 120  # where no terminal tells one


def reproduce(
    experiments: Annotated[
        list[str] | None, typer.Argument(metavar="[EXPERIMENT]...", help="Names, as --list tells them.")
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Tell the experiments and their rows; with names, theirs.")
    ] = False,
    row: Annotated[
        list[str] | None,
        typer.Option(help="A row by the paper's name: 1-3, 2a, 2c-4, 3a-2, 4-1, 5-1, 6a; 2c, 3: all of it."),
    ] = None,
    reading: Annotated[
        str | None, typer.Option(help="literal, all, or another reading's name (default: all; with --row: literal).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All rows, those that take minutes too.")] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Of each row (default: the paper's number).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all random streams.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the rows as JSON; - is stdout.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown.")] = None,
    plot: Annotated[
        bool | None,
        typer.Option("--plot/--no-plot", help="Draw each row into --out (default: the first that succeeded)."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures and for trials that have ended.")] = Path(
        "runs/reproduce"
    ),
) -> int:
    """Run the experiments of the 1997 LSTM paper again, and tell our figures beside the paper's.

    `carrousel reproduce adding` takes half a minute. Ctrl-C keeps the trials that have ended; the same command goes on
    from them.
    """
    if listed or not (experiments or row or everything):
        of_reading = "all" if reading is None else reading
        tell_list(choose(experiments or [], row or [], of_reading, everything=True), json_file)
        return 0
    chosen = choose(experiments or [], row or [], reading, everything)
    for path, option in ((json_file, "--json"), (markdown, "--markdown")):
        check_writable(path, option)  # now, not after minutes
    if json_file is not None and json_file == markdown:
        raise UserError(f"--json and --markdown are both to go to {json_file}: name another file for one of them")
    kept = Kept(out / KEPT, seed)
    counts = {each.key: trials or each.paper.trials for _, each in chosen}
    began = time.monotonic()
    with Interrupt() as interrupt:
        seconds = shown(chosen, counts, kept, lambda: bool(interrupt.number))
    if interrupt.number:
        say(f"stopped; {out / KEPT} keeps the trials that have ended: the same command goes on")
        return 128 + interrupt.number
    rows = [report(of, each, kept.of(each, counts[each.key]), seconds[each.key]) for of, each in chosen]
    write(json_file, json.dumps([{name: facts[name] for name in JSON} for facts in rows], indent=1) + "\n", "--json")
    write(markdown, document.markdown(rows, seed), "--markdown")
    if "-" not in (str(json_file), str(markdown)):
        tell(chosen, rows, time.monotonic() - began)
    solved = [of_row for of_row, facts in zip(chosen, rows) if facts["solved"]]
    for of, each in chosen if plot else (solved or chosen)[:1] if plot is None else []:
        path = out / plots.file_name(each)
        plots.draw(of, each, kept.of(each, counts[each.key]), seed, path)
        say(str(path))
    print(end="", flush=True)  # the trials stay where their figures could not be told
    kept.forget(counts)
    return 0


def choose(
    names: Sequence[str], numbers: Sequence[str], reading: str | None, everything: bool
) -> list[tuple[Experiment, Row]]:
    """The rows that are asked for, in the paper's order.

    Raises:
        UserError: a name that is none.
    """
    for name in names:
        if name not in ALL:
            raise UserError(f"there is no experiment {name!r}; there are {', '.join(ALL)}{meant(name)}")
    asked = [experiment for name, experiment in ALL.items() if name in names or not names]
    rows = [(experiment, row) for experiment in asked for row in (*experiment.rows, *experiment.variants)]
    for number in numbers:
        if not any(is_called(row, number) for _, row in rows):
            known = ", ".join(dict.fromkeys(row.number for _, row in rows))
            raise UserError(f"--row {number} is not among {known}")
    if numbers:
        rows = [(e, row) for e, row in rows if any(is_called(row, number) for number in numbers)]
    elif not everything:
        rows = [(e, row) for e, row in rows if not row.long]
    wanted = ("literal" if numbers else "all") if reading is None else reading
    found = [(e, row) for e, row in rows if wanted in ("all", row.reading)]
    if not found:
        known = ["all", *dict.fromkeys(row.reading for _, row in rows)]  # quoted: there are commas in them
        raise UserError(f"--reading {wanted!r} is none of these rows'; there are {', '.join(map(repr, known))}")
    return found


def meant(name: str) -> str:
    """What may have been meant by a name that is none."""
    if any(is_called(row, name) for experiment in ALL.values() for row in experiment.rows):
        return f"; {name} is a row: --row {name}"
    typed = name.lower().replace("_", "-")
    near = [known for known in ALL if typed in known] or get_close_matches(typed, ALL, n=1)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def is_called(row: Row, number: str) -> bool:
    """Whether a number is a row's, or that of a group it is in: 2c, 3a, 3, 4."""
    number = number.lower()
    return row.number.startswith(number) and not row.number[len(number) :][:1].isdigit()


def shown(chosen, counts, kept: Kept, halted) -> dict[str, float]:
    """Run the rows, with a bar on stderr while it is a terminal; the seconds of each."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        rows = [row for _, row in chosen]
        task = bar.add_task("trials", total=sum(counts.values()))
        bar.advance(task, sum(len(kept.of(row, counts[row.key])) for row in rows))

        def progress(row: Row, outcome: Outcome) -> None:
            came = f"solved at {outcome.sequences:,}" if outcome.solved else f"failed at {outcome.sequences:,}"
            bar.update(task, advance=1, description=f"{row.key}, trial {outcome.trial}: {came}")

        return run_all(rows, counts, kept, progress, halted)


def tell(chosen: Sequence[tuple[Experiment, Row]], rows: list[dict[str, Any]], seconds: float) -> None:
    """A table for each experiment, what the paper does not tell, and the rules of the verdicts."""
    console = screen(WIDTH)
    for of in dict.fromkeys(experiment.name for experiment, _ in chosen):
        tell_of(ALL[of], [row for row in rows if row["experiment"] == of], console)
    console.print(HEADING, *(f"- {rule}" for rule in RULES), sep="\n", markup=False)
    console.print(f"{seconds:.1f} s", markup=False)


def tell_of(of: Experiment, rows: list[dict[str, Any]], console: Console) -> None:
    """An experiment's table, its verdicts, and what the paper does not tell."""
    console.print(table(of, rows))
    console.print(told(rows))
    lines = [f"- {line}" for line in of.silent]
    console.print("where the paper is silent:", *lines, sep="\n", markup=False)
    if of.explained and any(row["reading"] != "literal" for row in rows):
        console.print(f"readings: {of.explained}", markup=False)
    console.print()


def tell_list(chosen: Sequence[tuple[Experiment, Row]], json_file: Path | None) -> None:
    """What could be run: a table for people, or each row and reading as JSON."""
    if str(json_file) != "-":
        screen(WIDTH).print(listing(chosen))
    facts = [
        {"experiment": of.name, "row": row.number, "reading": row.reading, "trials": row.paper.trials, "long": row.long}
        for of, row in chosen
    ]
    write(json_file, json.dumps(facts, indent=1) + "\n", "--json")


def listing(chosen: Sequence[tuple[Experiment, Row]]) -> Table:
    """Experiments, their rows, and how else they have been read."""
    shown = Table(title="carrousel reproduce EXPERIMENT", title_justify="left")
    for name in ("name", "experiment", "rows (* takes minutes: --row or --all)", "other readings"):
        shown.add_column(name, overflow="fold")
    for name in dict.fromkeys(of.name for of, _ in chosen):
        rows = [row for of, row in chosen if of.name == name]
        numbers = dict.fromkeys(row.number + "*" * row.long for row in rows)
        readings = dict.fromkeys(row.reading for row in rows if row.reading != "literal")
        shown.add_row(name, ALL[name].title, ", ".join(numbers), "; ".join(readings))
    return shown


def check_writable(path: Path | None, option: str) -> None:
    """Whether a file can be written, as far as that can be told without writing it.

    Raises:
        UserError: it cannot.
    """
    if path is None or str(path) == "-":
        return
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"{option} {path} is {'a folder' if path.is_dir() else 'in no folder'}: name another file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UserError(f"{option} {path} must not be written: name another file")
