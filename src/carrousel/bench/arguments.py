"""What the commands of `carrousel bench` are told: shapes, numbers of threads, for how long, and where results go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from carrousel.bench.shapes import GRID, PAPERS, Shape, named
from carrousel.errors import UserError

Shapes = Annotated[str, typer.Option(help="Shapes, with commas between.")]
TenShapes = Annotated[str, typer.Option(help="Shapes, with commas between. Default: the ten shapes.")]
Threads = Annotated[str, typer.Option(help="Numbers of threads, with commas between. Default: 1 and all.")]
Seconds = Annotated[float, typer.Option(min=0, help="How long each measurement takes, about.")]
Repeat = Annotated[int, typer.Option(min=1, help="At least so many turns of each side.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the README's table.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON; - is stdout.")]

MOST_THREADS = 1024  # OpenMP ends a process that cannot have so many as it asks for


def split(names: str) -> list[str]:
    """The parts between commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def chosen_shapes(names: str, grid: bool = False, everything: bool = False) -> list[Shape]:
    """What --shapes, --grid and --all ask for; the ten shapes when none of them is there.

    Raises:
        UserError: a name is no shape.
    """
    if names:
        return [named(name) for name in split(names)]
    return [*PAPERS, *GRID] if everything else list(GRID if grid else PAPERS)


def chosen_threads(counts: str) -> list[int]:
    """What --threads asks for, increasing; by default one and all.

    Raises:
        UserError: it asks for something else than whole numbers from 1 to MOST_THREADS.
    """
    try:
        chosen = sorted({int(count) for count in split(counts)} if counts else {1, torch.get_num_threads()})
    except ValueError:
        chosen = [0]
    if not 1 <= chosen[0] <= chosen[-1] <= MOST_THREADS:
        raise UserError(
            f"--threads {counts} must be whole numbers from 1 to {MOST_THREADS}, with commas between, such as 1,2"
        )
    return chosen
