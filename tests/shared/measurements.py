"""What the tests of the benchmarks share. None of them looks at a time."""

from __future__ import annotations

import io
import json

from rich.console import Console

from bench import __main__ as every_benchmark
from carrousel.bench.measurement import draw_table
from carrousel.cli import run

TINY = "I3-H4-B2-T5"


def bench(capsys, name, *arguments, program=None):
    """What a benchmark prints, of one turn and no second; of `carrousel bench` if that has it."""
    words = [name, *arguments, "--seconds", "0", "--repeat", "1"]
    if (program or ("user" if name in ("layers", "text", "streaming") else "all")) == "user":
        assert run(["bench", *words]) == 0
    else:
        assert run(words, every_benchmark.app, every_benchmark.PROGRAM) == 0
    return capsys.readouterr().out


def rows_of(capsys, *arguments, **options):
    """The measurements of a benchmark, as JSON has them."""
    return json.loads(bench(capsys, *arguments, "--json", "-", **options))


def print_table(measurements):
    """A table as text."""
    paper = Console(file=io.StringIO(), width=160)
    paper.print(draw_table("title", measurements))
    return paper.file.getvalue()
