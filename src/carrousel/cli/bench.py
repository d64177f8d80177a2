"""`carrousel bench`: is it faster here?"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
import typer

from carrousel.bench import layers, streaming, text
from carrousel.bench.arguments import (
    Json,
    Markdown,
    Repeat,
    Seconds,
    Threads,
    chosen_shapes,
    chosen_threads,
    split,
)
from carrousel.bench.output import measured, progress, tell
from carrousel.data.text import read

app = typer.Typer(no_args_is_help=True, help="Speed beside torch.nn's, measured together in one run.")

Grid = Annotated[bool, typer.Option("--grid", help="The grid of H, B and T instead of the ten shapes.")]
Everything = Annotated[bool, typer.Option("--all", help="The ten shapes and the grid.")]
SHAPES = "Shapes, with commas between: names, or spelled out like I4-H8-B1-T100-L2."
AnyShapes = Annotated[str, typer.Option(help=SHAPES)]
CELLS = "Cells, with commas between. Default: lstm, and peephole and lstm1997 where they have targets."
Cells = Annotated[str, typer.Option("--cells", help=CELLS)]
Book = Annotated[str, typer.Argument(metavar="FILE", help="The Time Machine, or another text in English; - is stdin.")]
EPOCHS = f"Also train our LSTM for so many passes and tell its perplexity; the book: {text.EPOCHS}."
Epochs = Annotated[int, typer.Option(min=0, help=EPOCHS)]


@app.command("layers")
def bench_layers(
    shapes: AnyShapes = "",
    grid: Grid = False,
    everything: Everything = False,
    names: Cells = "",
    threads: Threads = "",
    seconds: Seconds = 0.6,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Our layers beside torch.nn's: medians of alternating turns, forward and forward+backward."""
    plan = layers.plan(chosen_shapes(shapes, grid, everything), split(names))
    counts = chosen_threads(threads)
    rows = measured(plan, lambda planned: layers.measure(*planned, counts, seconds, repeat))
    tell(rows, layers.table, json_file, layers.markdown if markdown else None)


@app.command("text")
def bench_text(file: Book, epochs: Epochs = 0, seconds: Seconds = 20, json_file: Json = None) -> None:
    """Tokens a second of training in the d2l book's setting: our LSTM, torch.nn's, and one in torch operations."""
    torch.manual_seed(0)
    letters = read(file)
    rows = text.speeds(text.trainers(letters), seconds)
    if epochs:
        torch.manual_seed(0)
        trainer = next(iter(text.trainers(letters).values()))
        *_, perplexity = progress(text.train(trainer, epochs), "training", epochs)
        rows[0] = replace(rows[0], epochs=epochs, perplexity=perplexity)
    tell(rows, text.table, json_file)


@app.command("streaming")
def bench_streaming(
    seconds: Seconds = 3, repeat: Repeat = 5, markdown: Markdown = False, json_file: Json = None
) -> None:
    """A step and a block of a stream on one thread, beside torch.nn's cell and layer, and ONNX Runtime."""
    onnx = streaming.with_onnx()
    rows = measured(streaming.SIZES, lambda size: streaming.measure(size, seconds, repeat, onnx))
    tell(rows, streaming.table, json_file, streaming.markdown if markdown else None)
