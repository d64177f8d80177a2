"""`carrousel eval`: how well a trained model does on a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from carrousel import ctrl_c
from carrousel.cli.help import write_epilog

EPILOG = write_epilog(
    ("eval runs/book other.txt", "prints the model's loss on another text"),
    ("eval runs/vowels test.ts --json", "prints the accuracy of a classifier beside its baselines, as JSON"),
)


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or one of its checkpoints.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Data as in training; - is stdin.")],
    encoding: Annotated[str, typer.Option(help="Encoding of the file.")] = "utf-8",
    rows: Annotated[
        str | None, typer.Option(help="Forecasts: only those of these rows of each series, START:END.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; auto: a GPU if there is one.")] = "auto",
    beam: Annotated[int | None, typer.Option(help="Translation: hypotheses of beam search; 1: greedy search.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:
    """Measure how well a trained model does on a file, beside the baselines of its task.

    Of a text, every character or word but the first is predicted once, from all before it or from at least 256. A
    character that the model never saw has no probability: it is an error that says where the character is; words that
    it never saw count as `<unk>`, and are counted. Sequences whose label, and words whose tag, the model never saw
    count as errors, and are counted. A translation is compared with all those that the file has of the same source. Of
    series, every window is measured, or with --rows those whose steps to predict lie in these rows.
    """
    with ctrl_c.importing():
        from carrousel.tasks import ALL
        from carrousel.training.device import find_device
        from carrousel.training.trained import load

    trained, where = load(model, ALL).with_beam(beam), find_device(device)
    task = trained.task
    data = task.read(trained, file, encoding, where)
    if rows is not None:
        data = task.select_rows(data, rows)
    score = task.measure(trained.model.to(where), data)
    numbers = task.numbers(score)
    if as_json:
        print(json.dumps({**numbers, "notes": score.notes} if score.notes else numbers))
        return 0
    print("\n".join([*score.notes, f"{task.describe(numbers)}  ({numbers[task.unit]:,} {task.unit})"]))
    return 0
