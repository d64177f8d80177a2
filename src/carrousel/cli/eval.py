"""`carrousel eval`: how well a trained model predicts a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from carrousel import ctrl_c
from carrousel.cli.help import write_epilog

EPILOG = write_epilog(
    ("eval runs/book other.txt", "prints the model's loss on another text"),
    ("eval runs/book - --json < other.txt", "reads the text from stdin, and prints the numbers as JSON"),
)


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or one of its checkpoints.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="Text, plain or gzip; - is stdin.")],
    encoding: Annotated[str, typer.Option(help="Encoding of the file.")] = "utf-8",
    device: Annotated[str, typer.Option(help="cpu, cuda, ...; auto: a GPU if there is one.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:
    """Measure how well a trained model predicts a file.

    Of a text, every character but the first is predicted once, from all before it or from at least 256. A character
    that the model never saw has no probability: it is an error that says where the character is.
    """
    with ctrl_c.importing():
        from carrousel.tasks import ALL
        from carrousel.training.device import find_device
        from carrousel.training.trained import load

    trained, where = load(model, ALL), find_device(device)
    task = trained.task
    numbers = task.numbers(task.measure(trained.model.to(where), task.read(trained, file, encoding, where)))
    print(json.dumps(numbers) if as_json else f"{task.describe(numbers)}  ({numbers[task.unit]:,} {task.unit})")
    return 0
