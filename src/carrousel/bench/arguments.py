"""The arguments of the benchmarks: shapes, numbers of threads, how long to measure, and where results go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carrousel.bench.shapes import GRID, PAPERS, Shape, find_shape
from carrousel.errors import UserError

EPOCHS = 500  # of the book, in `bench text`
SHAPES = "Shapes, separated by commas: names, or sizes like I4-H8-B1-T100-L2."
Shapes = Annotated[str, typer.Option(help=SHAPES)]
TenShapes = Annotated[str, typer.Option(help=f"{SHAPES} Default: the ten shapes of docs/speed.md.")]
Threads = Annotated[str, typer.Option(help="Numbers of threads, separated by commas. Default: 1 and all.")]
Seconds = Annotated[float, typer.Option(min=0, help="About how long each measurement takes.")]
Repeat = Annotated[int, typer.Option(min=1, help="Turns that each side takes at least.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print a table in Markdown.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON; - is stdout.")]

MOST_THREADS = 1024  # OpenMP ends a process that cannot have as many as it asks for


def split(names: str) -> list[str]:
    """The parts between commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def parse_shapes(names: str, grid: bool = False, everything: bool = False) -> list[Shape]:
    """The shapes of --shapes, --grid and --all; the ten shapes if none of them is given.

    Raises:
        UserError: a name is not a shape.
    """
    if names:
        return [find_shape(name) for name in split(names)]
    return [*PAPERS, *GRID] if everything else list(GRID if grid else PAPERS)


def parse_threads(counts: str) -> list[int]:
    """The numbers of --threads, increasing; by default 1 and all.

    Raises:
        UserError: they are not whole numbers from 1 to MOST_THREADS.
    """
    import torch

    try:
        parsed = sorted({int(count) for count in split(counts)} if counts else {1, torch.get_num_threads()})
    except ValueError:
        parsed = [0]
    if not 1 <= parsed[0] <= parsed[-1] <= MOST_THREADS:
        raise UserError(f"--threads {counts} is not allowed: give whole numbers from 1 to {MOST_THREADS}, such as 1,2")
    return parsed
