"""`python -m bench`: the command line of the measurements."""

from __future__ import annotations

from typing import Annotated

import typer

from bench import autocast, cells, lstm1997, memory, mlstm, options
from bench import custom_cell as own
from carrousel.bench import layers
from carrousel.bench.arguments import (
    Json,
    Markdown,
    Repeat,
    Seconds,
    Shapes,
    TenShapes,
    Threads,
    chosen_shapes,
    chosen_threads,
    split,
)
from carrousel.bench.output import measured, tell

app = typer.Typer(no_args_is_help=True, help="Speed and memory beside torch.nn's, measured together in one run.")

Kinds = Annotated[str, typer.Option(help=f"Kinds of layers, with commas between. Default: {', '.join(cells.KINDS)}.")]


@app.command("own")
def bench_own(
    shapes: Shapes = own.SHAPES,
    threads: Threads = "",
    seconds: Seconds = 0.6,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """A cell of one's own, compiled, beside our LSTM and beside itself in torch operations."""
    chosen, counts = chosen_shapes(shapes), chosen_threads(threads)
    rows = measured(chosen, lambda shape: own.measure(shape, counts, seconds, repeat))
    tell(rows, layers.table, json_file, own.markdown if markdown else None)


@app.command("options")
def bench_options(
    shapes: Shapes = options.SHAPE,
    threads: Threads = "",
    seconds: Seconds = 10,
    repeat: Repeat = 3,
    json_file: Json = None,
) -> None:
    """Calls with resets, lengths, states and gates, forward+backward, beside the plain call and torch.nn's."""
    chosen, counts = chosen_shapes(shapes), chosen_threads(threads)
    tell(measured(chosen, lambda shape: options.measure(shape, counts, seconds, repeat)), options.table, json_file)


@app.command("cells")
def bench_cells(
    kind: Kinds = "",
    shapes: TenShapes = "",
    threads: Threads = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Every kind of layer beside our plain LSTM, forward+backward, and at small shapes beside torch operations."""
    kinds, counts = cells.chosen(split(kind)), chosen_threads(threads)
    plan = [(kind, shape) for kind in kinds for shape in chosen_shapes(shapes)]
    rows = measured(plan, lambda planned: cells.measure(*planned, counts, seconds, repeat))
    tell(rows, cells.table, json_file, cells.markdown if markdown else None)


@app.command("autocast")
def bench_autocast(
    shapes: TenShapes = "",
    threads: Threads = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Our LSTM under autocast to bfloat16, beside itself in float32 and beside torch.nn.LSTM under autocast."""
    chosen, counts = chosen_shapes(shapes), chosen_threads(threads)
    rows = measured(chosen, lambda shape: autocast.measure(shape, counts, seconds, repeat))
    tell(rows, autocast.table, json_file, autocast.markdown if markdown else None)


@app.command("mlstm")
def bench_mlstm(
    shapes: Shapes = mlstm.SHAPES,
    threads: Threads = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    json_file: Json = None,
) -> None:
    """mLSTM chunk by chunk, as it learns, beside itself step by step."""
    chosen, counts = chosen_shapes(shapes), chosen_threads(threads)
    tell(measured(chosen, lambda shape: mlstm.measure(shape, counts, seconds, repeat)), mlstm.table, json_file)


@app.command("memory")
def bench_memory(
    shapes: Shapes = "hydrology",
    seconds: Seconds = 10,
    repeat: Repeat = 3,
    json_file: Json = None,
) -> None:
    """Peak memory of forward+backward, ours and torch.nn.LSTM's; and memory="low" beside our plain call."""
    rows = measured(chosen_shapes(shapes), lambda shape: [memory.compare(shape, seconds=seconds, repeat=repeat)])
    tell(rows, memory.table, json_file)


@app.command("lstm1997")
def bench_lstm1997(
    seconds: Seconds = 10, repeat: Repeat = 5, markdown: Markdown = False, json_file: Json = None
) -> None:
    """A network step of the 1997 rule on one thread: ours alone and in lanes, beside torch operations and JAX."""
    jax = lstm1997.with_jax()
    rows = measured(lstm1997.TARGETS, lambda name: lstm1997.in_order(lstm1997.measure(name, seconds, repeat, jax)))
    tell(rows, lstm1997.table, json_file, lstm1997.markdown if markdown else None)


if __name__ == "__main__":
    app()
