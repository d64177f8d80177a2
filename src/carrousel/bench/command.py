"""`carrousel bench`: the command line of the measurements."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from carrousel.bench import autocast, cells, layers, lstm1997, memory, mlstm, options, own, streaming, text
from carrousel.bench.shapes import GRID, PAPERS, Shape, named
from carrousel.bench.table import (
    autocast_markdown,
    autocast_table,
    cells_markdown,
    cells_table,
    layers_markdown,
    layers_table,
    lstm1997_markdown,
    lstm1997_table,
    memory_table,
    mlstm_table,
    options_table,
    own_markdown,
    streaming_markdown,
    streaming_table,
)
from carrousel.data.text import read
from carrousel.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Speed and memory beside torch.nn's, measured together in one run.")

Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results as JSON; - is stdout.")]
Seconds = Annotated[float, typer.Option(min=0, help="How long each measurement takes, about.")]
Repeat = Annotated[int, typer.Option(min=1, help="At least so many turns of each side.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print the README's table.")]


@app.command("layers")
def bench_layers(
    shapes: Annotated[
        str, typer.Option(help="Shapes, with commas between: names, or spelled out like I4-H8-B1-T100-L2.")
    ] = "",
    grid: Annotated[bool, typer.Option("--grid", help="The grid of H, B and T instead of the ten shapes.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="The ten shapes and the grid.")] = False,
    names: Annotated[
        str,
        typer.Option(
            "--cells",
            help="Cells, with commas between. Default: lstm, and peephole and lstm1997 where they have targets.",
        ),
    ] = "",
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas between. Default: 1 and all.")] = "",
    seconds: Seconds = 0.6,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Our layers beside torch.nn's: medians of alternating turns, forward and forward+backward."""
    plan = layers.plan(chosen_shapes(shapes, grid, everything), split(names))
    counts = chosen_threads(threads)
    rows: list[layers.Row] = []
    for cell, shape in progress(plan, "measuring"):
        rows.extend(layers.measure(cell, shape, counts, seconds, repeat))
    if markdown:
        print(layers_markdown(rows))
    elif str(json_file) != "-":
        console().print(layers_table(rows))
    write([row.json() for row in rows], json_file)


@app.command("own")
def bench_own(
    shapes: Annotated[str, typer.Option(help="Shapes, with commas between.")] = ",".join(own.SHAPES),
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas between. Default: 1 and all.")] = "",
    seconds: Seconds = 0.6,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """A cell of one's own, compiled, beside our LSTM and beside itself in torch operations."""
    chosen, counts = chosen_shapes(shapes, False, False), chosen_threads(threads)
    rows: list[layers.Row] = []
    for shape in progress(chosen, "measuring"):
        rows.extend(own.measure(shape, counts, seconds, repeat))
    if markdown:
        print(own_markdown(rows))
    elif str(json_file) != "-":
        console().print(layers_table(rows))
    write([row.json() for row in rows], json_file)


@app.command("options")
def bench_options(
    shapes: Annotated[str, typer.Option(help="Shapes, with commas between.")] = options.SHAPE,
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas between. Default: 1 and all.")] = "",
    seconds: Seconds = 10,
    repeat: Repeat = 3,
    json_file: Json = None,
) -> None:
    """Calls with resets, lengths, states and gates, forward+backward, beside the plain call and torch.nn's."""
    rows: list[options.Row] = []
    for shape in progress([named(name) for name in split(shapes)], "measuring"):
        rows.extend(options.measure(shape, chosen_threads(threads), seconds, repeat))
    if str(json_file) != "-":
        console().print(options_table(rows))
    write([row.json() for row in rows], json_file)


@app.command("cells")
def bench_cells(
    kind: Annotated[
        str, typer.Option(help=f"Kinds of layers, with commas between. Default: {', '.join(cells.KINDS)}.")
    ] = "",
    shapes: Annotated[str, typer.Option(help="Shapes, with commas between. Default: the ten shapes.")] = "",
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas between. Default: 1 and all.")] = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Every kind of layer beside our plain LSTM, forward+backward, and at small shapes beside torch operations."""
    kinds, counts = cells.chosen(split(kind)), chosen_threads(threads)
    plan = [(kind, shape) for kind in kinds for shape in chosen_shapes(shapes, False, False)]
    rows = [
        row
        for kind, shape in progress(plan, "measuring")
        for row in cells.measure(kind, shape, counts, seconds, repeat)
    ]
    if markdown:
        print(cells_markdown(rows))
    elif str(json_file) != "-":
        console().print(cells_table(rows))
    write([row.json() for row in rows], json_file)


@app.command("autocast")
def bench_autocast(
    shapes: Annotated[str, typer.Option(help="Shapes, with commas between. Default: the ten shapes.")] = "",
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas between. Default: 1 and all.")] = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Our LSTM under autocast to bfloat16, beside itself in float32 and beside torch.nn.LSTM under autocast."""
    rows: list[autocast.Row] = []
    for shape in progress(chosen_shapes(shapes, False, False), "measuring"):
        rows.extend(autocast.measure(shape, chosen_threads(threads), seconds, repeat))
    if markdown:
        print(autocast_markdown(rows))
    elif str(json_file) != "-":
        console().print(autocast_table(rows))
    write([row.json() for row in rows], json_file)


@app.command("mlstm")
def bench_mlstm(
    shapes: Annotated[str, typer.Option(help="Shapes, with commas between.")] = ",".join(mlstm.SHAPES),
    threads: Annotated[str, typer.Option(help="Numbers of threads, with commas between. Default: 1 and all.")] = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    json_file: Json = None,
) -> None:
    """mLSTM chunk by chunk, as it learns, beside itself step by step."""
    rows: list[mlstm.Row] = []
    for shape in progress([named(name) for name in split(shapes)], "measuring"):
        rows.extend(mlstm.measure(shape, chosen_threads(threads), seconds, repeat))
    if str(json_file) != "-":
        console().print(mlstm_table(rows))
    write([row.json() for row in rows], json_file)


@app.command("memory")
def bench_memory(
    shapes: Annotated[str, typer.Option(help="Shapes, with commas between.")] = "hydrology",
    seconds: Seconds = 10,
    repeat: Repeat = 3,
    json_file: Json = None,
) -> None:
    """Peak memory of forward+backward, ours and torch.nn.LSTM's; and memory="low" beside our plain call."""
    chosen = progress([named(name) for name in split(shapes)], "measuring")
    rows = [memory.compare(shape, seconds=seconds, repeat=repeat) for shape in chosen]
    if str(json_file) != "-":
        console().print(memory_table(rows))
    write(rows, json_file)


@app.command("text")
def bench_text(
    file: Annotated[Path, typer.Argument(help="The Time Machine, or another text in English.")],
    epochs: Annotated[
        int,
        typer.Option(
            min=0, help=f"Also train our LSTM for so many passes and tell its perplexity; the book: {text.EPOCHS}."
        ),
    ] = 0,
    seconds: Seconds = 20,
    json_file: Json = None,
) -> None:
    """Tokens a second of training in the d2l book's setting: our LSTM, torch.nn's, and one in torch operations."""
    torch.manual_seed(0)
    letters = read(file)
    rows = text.speeds(text.trainers(letters), seconds)
    if epochs:
        torch.manual_seed(0)
        trainer = next(iter(text.trainers(letters).values()))
        *_, perplexity = progress(text.train(trainer, epochs), "training", epochs)
        rows[0].update(epochs=epochs, perplexity=perplexity)
    table = Table("model", "tokens a second", "training perplexity", title="characters, in the d2l book's setting")
    for row in rows:
        told = f"{row['perplexity']:.2f} after {epochs} epochs" if "perplexity" in row else ""
        table.add_row(row["model"], f"{row['tokens_per_second']:,.0f}", told)
    if str(json_file) != "-":
        Console().print(table)
    write(rows, json_file)


@app.command("lstm1997")
def bench_lstm1997(
    seconds: Seconds = 10,
    repeat: Repeat = 5,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """A network step of the 1997 rule on one thread: ours alone and in lanes, beside torch operations and JAX."""
    jax = lstm1997.with_jax()
    rows: list[lstm1997.Row] = []
    for experiment in progress(lstm1997.TARGETS, "measuring"):
        rows.extend(lstm1997.in_order(lstm1997.measure(experiment, seconds, repeat, jax)))
    if markdown:
        print(lstm1997_markdown(rows))
    elif str(json_file) != "-":
        console().print(lstm1997_table(rows))
    write([row.json() for row in rows], json_file)


@app.command("streaming")
def bench_streaming(
    seconds: Seconds = 3,
    repeat: Repeat = 5,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """A step and a block of a stream on one thread, beside torch.nn's cell and layer, and ONNX Runtime."""
    onnx = streaming.with_onnx()
    rows: list[streaming.Row] = []
    for size in progress(streaming.SIZES, "measuring"):
        rows.extend(streaming.measure(size, seconds, repeat, onnx))
    if markdown:
        print(streaming_markdown(rows))
    elif str(json_file) != "-":
        console().print(streaming_table(rows))
    write([row.json() for row in rows], json_file)


def chosen_shapes(names: str, grid: bool, everything: bool) -> list[Shape]:
    """What --shapes, --grid and --all ask for; the ten shapes when none of them is there."""
    if names:
        return [named(name) for name in split(names)]
    return [*PAPERS, *GRID] if everything else list(GRID if grid else PAPERS)


def chosen_threads(counts: str) -> list[int]:
    """What --threads asks for, increasing; by default one and all."""
    try:
        chosen = sorted({int(count) for count in split(counts)} if counts else {1, torch.get_num_threads()})
    except ValueError:
        chosen = [0]
    if chosen[0] < 1:
        raise UserError(f"--threads {counts} must be whole numbers from 1 on, with commas between, such as 1,2")
    return chosen


def split(names: str) -> list[str]:
    """The parts between commas."""
    return [name.strip() for name in names.split(",") if name.strip()]


def console() -> Console:
    """Where tables go; wide enough for them, also in a file."""
    return Console(width=None if sys.stdout.isatty() else 160)


def progress(items: Any, words: str, total: int | None = None) -> Any:
    """The items, with a bar on stderr while it is a terminal."""
    console = Console(stderr=True)
    return track(items, words, total=total, console=console, transient=True, disable=not console.is_terminal)


def write(results: list[dict[str, Any]], file: Path | None) -> None:
    """The results as JSON into a file, or for - to stdout.

    Raises:
        UserError: the file cannot be written.
    """
    if file is None:
        return
    content = json.dumps(results, indent=1)
    try:
        print(content) if str(file) == "-" else file.write_text(content + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--json {file} cannot be written: {error.strerror}; name another file") from None
