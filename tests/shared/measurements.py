"""What the tests of `carrousel bench` share. None of them looks at a time."""

from __future__ import annotations

import io
import json

from rich.console import Console

from carrousel.cli import run

TINY = "I3-H4-B2-T5"


def bench(capsys, *arguments):
    """What a measurement prints, of one turn and no second."""
    assert run(["bench", *arguments, "--seconds", "0", "--repeat", "1"]) == 0
    return capsys.readouterr().out


def rows_of(capsys, *arguments):
    """The rows of a measurement."""
    return json.loads(bench(capsys, *arguments, "--json", "-"))


def printed(table):
    """A table as text."""
    paper = Console(file=io.StringIO(), width=160)
    paper.print(table)
    return paper.file.getvalue()
