"""`carrousel predict`: what a trained model makes of new data, as a table."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Annotated

import typer

from carrousel import ctrl_c
from carrousel.cli.help import write_epilog

EPILOG = write_epilog(
    ("predict runs/vowels new.ts", "prints the class of each sequence, and the probability of each class"),
    ("predict runs/french english.txt --out french.csv", "translates each line of a text, and writes a file"),
)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or one of its checkpoints.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Data as in training, labels not needed; - is stdin.")],
    out: Annotated[Path | None, typer.Option(help="File for the table; default: stdout.")] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of the file.")] = "utf-8",
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; auto: a GPU if there is one.")] = "auto",
    beam: Annotated[int | None, typer.Option(help="Translation: hypotheses of beam search; 1: greedy search.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the rows as JSON instead of CSV.")] = False,
) -> int:
    """Predict new data with a trained model: a row for each sequence, word or line, as CSV with a header."""
    with ctrl_c.importing():
        from carrousel import checkpoint
        from carrousel.tasks import ALL
        from carrousel.training.device import find_device
        from carrousel.training.trained import load

    trained = load(model, ALL).with_beam(beam)
    rows = list(trained.task.predict(trained, file, encoding, find_device(device)))
    content = json.dumps(rows) + "\n" if as_json else to_csv(rows)
    if out is None:
        print(end=content)
    else:
        checkpoint.replace(out, [content.encode(errors="surrogateescape")], "free some space, or name another --out")
    return 0


def to_csv(rows: list[dict[str, object]]) -> str:
    """Rows with the same columns as CSV, with a header."""
    content = io.StringIO()
    writer = csv.DictWriter(content, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()
