"""`carrousel sample`: text from a trained model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from carrousel import ctrl_c
from carrousel.cli.help import write_epilog

EPILOG = write_epilog(
    ('sample runs/book --prompt "It was" --length 300', "continues a text"),
    ("sample runs/book --temperature 0 --json", "prints the most likely text, with its settings, as JSON"),
)


def sample(
    model: Annotated[Path, typer.Argument(help="Folder of a run, or one of its checkpoints.")],
    prompt: Annotated[str, typer.Option(help="Text to continue.")] = "",
    temperature: Annotated[
        float, typer.Option(help="Below 1: more likely text; 0: the most likely; above 1: less likely.")
    ] = 0.8,
    length: Annotated[int, typer.Option(help="Characters to write; words, if the model is one of words.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same text.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the text and its settings as JSON.")] = False,
) -> int:
    """Write text with a trained language model, character by character or word by word."""
    with ctrl_c.importing():
        from carrousel.tasks import ALL
        from carrousel.training.trained import load

    trained = load(model, ALL)
    pieces = trained.task.generate(trained, prompt, length, temperature, seed)
    if as_json:
        settings = {"prompt": prompt, "temperature": temperature, "length": length, "seed": seed}
        print(json.dumps({**settings, "text": "".join(pieces)}))
        return 0
    print(end=prompt)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
    return 0
