"""`carrousel bench`: is it faster here?"""

from __future__ import annotations

from typing import Annotated

import typer

from carrousel import ctrl_c
from carrousel.bench.arguments import (
    EPOCHS,
    Json,
    Markdown,
    Repeat,
    Seconds,
    TenShapes,
    Threads,
    parse_shapes,
    parse_threads,
    split,
)
from carrousel.cli.help import write_epilog

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Measure carrousel beside torch.nn on this machine: is it faster here?",
    epilog=write_epilog(
        ("bench layers --shapes d2l", "compares our LSTM with torch.nn.LSTM at one shape"),
        ("bench streaming", "compares a single step at batch 1"),
    ),
)

Grid = Annotated[bool, typer.Option("--grid", help="The grid of H, B and T instead of the ten shapes.")]
Everything = Annotated[bool, typer.Option("--all", help="The ten shapes and the grid.")]
CELLS = "Cells, separated by commas. Default: lstm, and peephole and lstm1997 where they have targets."
Cells = Annotated[str, typer.Option("--cells", help=CELLS)]
Book = Annotated[str, typer.Argument(metavar="FILE", help="The Time Machine, or another text in English; - is stdin.")]
HOW_LONG = f"Also train our LSTM for so many epochs and print its perplexity; the book: {EPOCHS}."
Epochs = Annotated[int, typer.Option(min=0, help=HOW_LONG)]


@app.command(
    "layers",
    epilog=write_epilog(
        ("bench layers --shapes d2l,hydrology --threads 1", "compares the LSTM at two shapes on one thread"),
        ("bench layers --cells gru,rnn_tanh --json -", "prints the measurements of GRU and RNN as JSON"),
    ),
)
def bench_layers(
    shapes: TenShapes = "",
    grid: Grid = False,
    everything: Everything = False,
    names: Cells = "",
    threads: Threads = "",
    seconds: Seconds = 0.6,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Compare our layers with those of torch.nn, forward and forward+backward: medians of alternating turns."""
    with ctrl_c.importing():
        from carrousel.bench import layers
        from carrousel.bench.output import measure_all, report

    plan = layers.plan(parse_shapes(shapes, grid, everything), split(names))
    counts = parse_threads(threads)
    found = measure_all(plan, lambda planned: layers.measure(*planned, counts, seconds, repeat))
    report(layers.TITLE, found, json_file, markdown)


@app.command(
    "streaming",
    epilog=write_epilog(
        ("bench streaming", "measures a step, and a block of steps, at batch 1"),
        ("bench streaming --seconds 10 --json streaming.json", "measures longer, and writes a file"),
    ),
)
def bench_streaming(
    seconds: Seconds = 3, repeat: Repeat = 5, markdown: Markdown = False, json_file: Json = None
) -> None:
    """Compare a step and a block of a stream with the cell and the layer of torch.nn, on one thread."""
    with ctrl_c.importing():
        from carrousel.bench import streaming
        from carrousel.bench.output import measure_all, report

    found = measure_all(streaming.SIZES, lambda size: streaming.measure(size, seconds, repeat))
    report(streaming.TITLE, found, json_file, markdown)


@app.command(
    "text",
    epilog=write_epilog(
        ("bench text book.txt", "measures characters a second of training"),
        ("bench text book.txt --epochs 500", "also trains to the end, and prints the perplexity"),
    ),
)
def bench_text(
    file: Book, epochs: Epochs = 0, seconds: Seconds = 20, markdown: Markdown = False, json_file: Json = None
) -> None:
    """Compare training on text with our LSTM, torch.nn.LSTM, and an LSTM in torch operations."""
    with ctrl_c.importing():
        import torch

        from carrousel.bench import text
        from carrousel.bench.output import report, show_progress
        from carrousel.data.text import read

    torch.manual_seed(0)
    book = read(file)
    found = list(text.measure_speeds(text.trainers(book), seconds))
    if epochs:
        torch.manual_seed(0)
        name, trainer = next(iter(text.trainers(book).items()))
        *_, perplexity = show_progress(text.train(trainer, epochs), "training", epochs)
        found.append(text.measure_perplexity(name, epochs, perplexity))
    report(text.TITLE, found, json_file, markdown)
