"""`python -m bench`, from the root of the repository: everything that is measured, beside all rivals."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from bench import (
    autocast,
    cells,
    custom_cell,
    lstm1997,
    memory,
    mlstm,
    options,
    output_layer,
    ragged,
    start_up,
    translate,
)
from bench import streaming as with_onnx
from bench.scaling import measure as scaling
from bench.scaling import page as scaling_page
from bench.tasks import measure as tasks
from bench.tasks import page as tasks_page
from carrousel import results
from carrousel.bench import streaming
from carrousel.bench.arguments import (
    Json,
    Markdown,
    Repeat,
    Seconds,
    Shapes,
    TenShapes,
    Threads,
    parse_shapes,
    parse_threads,
    split,
)
from carrousel.bench.measurement import Measurement
from carrousel.bench.output import measure_all, report
from carrousel.bench.shapes import Shape
from carrousel.cli.help import write_epilog
from carrousel.cli.program import exit_with, run

PROGRAM = "python -m bench"
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    help="Speed and memory beside all rivals, always measured together. `carrousel bench` has layers and text too; "
    "`python -m bench.clients` measures client libraries.",
    epilog=write_epilog(
        ("cells --kind gru,slstm --shapes d2l", "compares two kinds of layers with our plain LSTM"),
        ("memory --json memory.json", "measures peak memory, and writes a file"),
        program=PROGRAM,
    ),
)

KINDS = f"Kinds of layers, separated by commas. Default: {', '.join(cells.KINDS)}."
Kinds = Annotated[str, typer.Option(help=KINDS)]
Out = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Where scaling.md is written, and images/ with its pictures.")
]


def measure_shapes(
    shapes: str, measure: Callable[..., Iterable[Measurement]], threads: str, seconds: float, repeat: int
) -> list[Measurement]:
    """Measure shapes, each with each number of threads."""
    counts = parse_threads(threads)
    return measure_all(parse_shapes(shapes), lambda shape: measure(shape, counts, seconds, repeat))


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
    """Compare every kind of layer with our plain LSTM, and at small shapes with torch operations."""
    kinds, counts = cells.choose(split(kind)), parse_threads(threads)
    plan: list[tuple[str, Shape]] = [(kind, shape) for kind in kinds for shape in parse_shapes(shapes)]
    found = measure_all(plan, lambda planned: cells.measure(*planned, counts, seconds, repeat))
    report(cells.TITLE, found, json_file, markdown)


@app.command("options")
def bench_options(
    shapes: Shapes = options.SHAPE,
    threads: Threads = "",
    seconds: Seconds = 10,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Compare calls with resets, lengths, states and gates with the plain call and with torch.nn."""
    report(options.TITLE, measure_shapes(shapes, options.measure, threads, seconds, repeat), json_file, markdown)


@app.command("autocast")
def bench_autocast(
    shapes: TenShapes = "",
    threads: Threads = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Compare our LSTM under autocast to bfloat16 with itself in float32 and with torch.nn under autocast."""
    report(autocast.TITLE, measure_shapes(shapes, autocast.measure, threads, seconds, repeat), json_file, markdown)


@app.command("mlstm")
def bench_mlstm(
    shapes: Shapes = mlstm.SHAPES,
    threads: Threads = "",
    seconds: Seconds = 2,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Compare MLSTM chunk by chunk with itself step by step."""
    report(mlstm.TITLE, measure_shapes(shapes, mlstm.measure, threads, seconds, repeat), json_file, markdown)


@app.command("custom-cell")
def bench_custom_cell(
    shapes: Shapes = custom_cell.SHAPES,
    threads: Threads = "",
    seconds: Seconds = 0.6,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Compare a compiled custom cell with itself in torch operations and with our LSTM."""
    found = measure_shapes(shapes, custom_cell.measure, threads, seconds, repeat)
    report(custom_cell.TITLE, found, json_file, markdown)


@app.command("memory")
def bench_memory(
    shapes: Shapes = "hydrology",
    seconds: Seconds = 10,
    repeat: Repeat = 3,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Compare the peak memory of our plain call, memory="low" and torch.nn, and the time of memory="low"."""
    found = measure_all(parse_shapes(shapes), lambda shape: memory.measure(shape, seconds, repeat))
    report(memory.TITLE, found, json_file, markdown)


@app.command("lstm1997")
def bench_lstm1997(
    seconds: Seconds = 10, repeat: Repeat = 5, markdown: Markdown = False, json_file: Json = None
) -> None:
    """Compare a network step of the 1997 rule, single and in lanes, with torch operations and JAX on one thread."""
    jax = lstm1997.import_jax()
    found = measure_all(lstm1997.TARGETS, lambda name: lstm1997.measure(name, seconds, repeat, jax))
    report(lstm1997.TITLE, lstm1997.sort(found), json_file, markdown)


@app.command("streaming")
def bench_streaming(
    seconds: Seconds = 3, repeat: Repeat = 5, markdown: Markdown = False, json_file: Json = None
) -> None:
    """Compare a step and a block of a stream with torch.nn and ONNX Runtime on one thread."""
    onnx = with_onnx.import_onnx()
    if onnx is None:
        results.say(with_onnx.NO_ONNX)
    found = measure_all(streaming.SIZES, lambda size: streaming.measure(size, seconds, repeat, onnx))
    report(streaming.TITLE, found, json_file, markdown)


@app.command("output-layer")
def bench_output_layer(
    threads: Threads = "", seconds: Seconds = 4, repeat: Repeat = 5, markdown: Markdown = False, json_file: Json = None
) -> None:
    """Compare linear and cross entropy of many classes in one with torch's two: times, and peak memory."""
    counts = parse_threads(threads)
    found = measure_all(output_layer.SIZES, lambda size: output_layer.measure(size, counts, seconds, repeat))
    report(output_layer.TITLE, found, json_file, markdown)


@app.command("ragged")
def bench_ragged(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="As for train classify; .conllu and .conll as for train tag.")
    ],
    threads: Threads = "",
    seconds: Seconds = 20,
    repeat: Repeat = 5,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Compare training a classifier of sequences, or a tagger, with the same on torch.nn.LSTM and packed sequences."""
    counts = parse_threads(threads)
    found = measure_all([files], lambda names: ragged.measure(names, counts, seconds, repeat))
    report(ragged.TITLE, found, json_file, markdown)


@app.command("translate")
def bench_translate(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Pairs of texts, as for train translate.")],
    seconds: Seconds = 720,
    markdown: Markdown = False,
    json_file: Json = None,
) -> None:
    """Train a translator beside one of torch.nn.LSTM, so many seconds each in turns; compare steps and chrF."""
    report(translate.TITLE, measure_all([files], lambda names: translate.measure(names, seconds)), json_file, markdown)


@app.command("start-up")
def bench_start_up(repeat: Repeat = start_up.TURNS, markdown: Markdown = False, json_file: Json = None) -> None:
    """Compare how long commands and `import carrousel` take with `import torch`, each in a process of its own."""
    report(start_up.TITLE, start_up.measure(repeat), json_file, markdown)


@app.command("scaling")
def bench_scaling(seconds: Seconds = 4, repeat: Repeat = 5, out: Out = Path("docs"), json_file: Json = None) -> None:
    """Measure how time grows with T, B, H and threads, and memory with the steps; write scaling.md and its pictures."""
    scaling_page.make_images_folder(out)  # reports what is wrong with it before the minutes of measuring
    found = {}
    for name, measure in scaling.plan_measurements(scaling.PLAN, seconds, repeat).items():
        results.say(f"measuring: {scaling_page.SECTIONS[name][0]}")
        found[name] = measure()
        results.say(scaling_page.describe(name, found[name]))
    command = f"{PROGRAM} scaling --seconds {seconds:g} --repeat {repeat}"
    results.say(f"written: {scaling_page.write_page(scaling.PLAN, found, out, command)}")
    results.write(
        json_file, json.dumps({name: each.to_json() for name, each in found.items()}, indent=1) + "\n", "--json"
    )


@app.command("tasks")
def bench_tasks(
    data: Annotated[Path, typer.Argument(help="Folder of the data sets; bench/tasks/jobs.py names their files.")],
    only: Annotated[str | None, typer.Option(help="Jobs whose names begin so, with commas between.")] = None,
    out: Out = Path("docs"),
) -> None:
    """Train every task on real data, with its defaults, and write tasks.md: an hour and a half for all of them."""
    for job in tasks.choose(only):
        results.say(f"training: {job.name}")
        found = tasks.measure(job, data)
        tasks_page.add(out, job, found)
        results.say(f"{job.name}: {found['figures']}")


def main() -> None:
    """Run the command that the arguments name."""
    exit_with(lambda: run(sys.argv[1:], app, PROGRAM))


if __name__ == "__main__":
    main()
