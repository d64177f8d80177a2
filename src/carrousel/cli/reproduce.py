"""`carrousel reproduce`: its arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carrousel import ctrl_c
from carrousel.cli.help import write_epilog

EPILOG = write_epilog(
    ("reproduce adding", "runs the adding problem with T = 100 in all readings, in half a minute"),
    ("reproduce --row 4-1 --reading linear-output", "runs one row in one reading"),
)
MAX_TRIALS = 10_000  # of a row


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
    with ctrl_c.importing():
        from carrousel.papers.harness.choice import choose
        from carrousel.papers.harness.reproduction import Wanted, print_list, run_rows
        from carrousel.papers.lstm1997.document_opening import OPENING
        from carrousel.papers.lstm1997.experiments import ALL

    names, numbers = experiments or [], row or []
    if listed or not (names or numbers or everything):
        chosen = choose(ALL, names, numbers, "all" if reading is None else reading, everything=True)
        print_list(chosen, in_detail=bool(names or numbers or reading is not None), json_file=json_file)
        return 0
    chosen = choose(ALL, names, numbers, reading, everything)
    return run_rows(ALL, chosen, Wanted(trials, seed, json_file, markdown, plot, out, OPENING))
