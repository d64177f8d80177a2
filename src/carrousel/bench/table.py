"""The results for people: a table in the terminal, or Markdown for the README."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table

from carrousel.bench import autocast, cells, lstm1997, memory, mlstm, options, streaming
from carrousel.bench.layers import OF_LSTM, Row
from carrousel.kernel import instruction_set


def machine() -> str:
    """What was measured on, in a line."""
    return f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__}"


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def layers_table(rows: Sequence[Row]) -> Table:
    """Every measurement, and beside it what it should reach."""
    table = Table(title="ours beside torch.nn: ratio = torch / ours, higher is better", caption=machine())
    for name in ("cell", "shape", "mode"):
        table.add_column(name)
    for name in ("threads", "ours ms", "torch ms", "ratio", "target", "of our LSTM's time"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(row.cell, row.shape, row.mode, str(row.threads)),
            milliseconds(row.ours_ms),
            milliseconds(row.torch_ms) + (" (scan)" if row.against == "scan" else ""),
            f"{row.ratio:.2f}",
            "" if row.target is None else verdict(row.ratio >= row.target, f"at least {row.target:g}"),
            "" if row.of_lstm is None else verdict(row.of_lstm <= OF_LSTM, f"{row.of_lstm:.2f}, at most {OF_LSTM:g}"),
        )
    return table


def options_table(rows: Sequence[options.Row]) -> Table:
    """What each option takes of the plain call's time, and what it should take at most."""
    title = "forward+backward with an option: ratio = its time / (fill x the plain call's), lower is better"
    table = Table(title=title, caption=machine())
    for name in ("shape", "option"):
        table.add_column(name)
    for name in ("threads", "fill", "ours ms", "torch ms", "ratio", "target"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(row.shape, row.option, str(row.threads), "" if row.fill is None else f"{row.fill:.0%}"),
            milliseconds(row.ours_ms),
            "" if row.torch_ms is None else milliseconds(row.torch_ms),
            f"{row.ratio:.2f}",
            "" if row.target is None else verdict(row.ratio <= row.target, f"at most {row.target:g}"),
        )
    return table


def cells_table(rows: Sequence[cells.Row]) -> Table:
    """What each kind of layer takes of our plain LSTM's time, and what it should take at most."""
    title = "forward+backward: ratio = its time / our plain LSTM's, lower is better"
    table = Table(title=title, caption=machine())
    for name in ("kind", "shape"):
        table.add_column(name)
    for name in ("threads", "ms", "plain LSTM ms", "ratio", "target", "in torch operations, ms"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            *(row.kind, row.shape, str(row.threads), milliseconds(row.ours_ms), milliseconds(row.lstm_ms)),
            f"{row.ratio:.2f}",
            verdict(row.ratio <= row.target, f"at most {row.target:g}"),
            "" if row.torch_ms is None else milliseconds(row.torch_ms),
        )
    return table


def cells_markdown(rows: Sequence[cells.Row]) -> str:
    """A line for each kind, a column for each shape: the ratio with each number of threads."""
    shapes, counts = list(dict.fromkeys(row.shape for row in rows)), sorted({row.threads for row in rows})
    threads = " / ".join(map(str, counts))
    lines = [f"| kind, {threads} threads | {' | '.join(shapes)} |", "|---|" + "--:|" * len(shapes)]
    for kind in dict.fromkeys(row.kind for row in rows):
        found = {(row.shape, row.threads): f"{row.ratio:.2f}" for row in rows if row.kind == kind}
        ratios = [" / ".join(found[shape, count] for count in counts) for shape in shapes]
        lines.append(f"| {kind} | {' | '.join(ratios)} |")
    return "\n".join([*lines, "", f"{machine()}."])


def autocast_table(rows: Sequence[autocast.Row]) -> Table:
    """Every measurement, and how many times sooner than in float32 and than torch ours is done under autocast."""
    table = Table(title="the LSTM under autocast to bfloat16, ms: higher ratios are better", caption=machine())
    for name in ("shape", "mode"):
        table.add_column(name)
    for name in ("threads", "ours", "ours in float32", "torch.nn's", "float32 / ours", "torch.nn's / ours"):
        table.add_column(name, justify="right")
    for row in rows:
        times = [milliseconds(time) for time in (row.ours_ms, row.float32_ms, row.torch_ms)]
        table.add_row(row.shape, row.mode, str(row.threads), *times, f"{row.gain:.2f}", f"{row.ratio:.2f}")
    return table


def autocast_markdown(rows: Sequence[autocast.Row]) -> str:
    """Forward+backward, a line for each shape: three times and two ratios for each number of threads."""
    kept = [row for row in rows if row.mode == "forward+backward"]
    counts = sorted({row.threads for row in kept})
    heads = [
        f"{n} thread{'s' * (n > 1)}: ours / in float32 / torch.nn's, ms | float32 / ours | torch.nn's / ours"
        for n in counts
    ]
    lines = [f"| shape | {' | '.join(heads)} |", "|---|" + "--:|--:|--:|" * len(counts)]
    for shape in dict.fromkeys(row.shape for row in kept):
        told = []
        for row in sorted((row for row in kept if row.shape == shape), key=lambda row: row.threads):
            times = " / ".join(milliseconds(time) for time in (row.ours_ms, row.float32_ms, row.torch_ms))
            told.append(f"{times} | **{row.gain:.2f}** | **{row.ratio:.2f}**")
        lines.append(f"| {shape} | {' | '.join(told)} |")
    return "\n".join([*lines, "", f"{machine()}."])


def mlstm_table(rows: Sequence[mlstm.Row]) -> Table:
    """Both forms' times, and how many times sooner the chunks are done."""
    table = Table(
        title=f"mLSTM, {mlstm.HEADS} heads, forward+backward, ms: higher ratios are better", caption=machine()
    )
    table.add_column("shape")
    for name in ("threads", "chunk by chunk", "step by step", "ratio"):
        table.add_column(name, justify="right")
    for row in rows:
        times = [milliseconds(time) for time in (row.chunks_ms, row.steps_ms)]
        table.add_row(row.shape, str(row.threads), *times, f"{row.ratio:.1f}")
    return table


def memory_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Peaks of forward+backward, and what memory="low" takes of the plain call's memory and time."""
    table = Table(title="peak memory of forward+backward, MB; memory=low beside the plain call", caption=machine())
    table.add_column("shape")
    for name in ("ours", "torch", "torch / ours", "low", "low / ours", "target", "time, low / ours", "target"):
        table.add_column(name, justify="right")
    for row in rows:
        ratios = [(row["low_memory"], memory.MOST_MEMORY), (row["low_time"], memory.MOST_TIME)]
        judged = [(f"{ratio:.2f}", verdict(ratio <= most, f"at most {most:g}")) for ratio, most in ratios]
        megabytes = [f"{row[f'{side}_mb']:.1f}" for side in ("ours", "torch", "low")]
        table.add_row(row["shape"], *megabytes[:2], f"{row['ratio']:.2f}", megabytes[2], *judged[0], *judged[1])
    return table


def verdict(reached: bool, words: str) -> str:
    """The words, green where it is reached and red where not."""
    return f"[green]{words}, reached[/]" if reached else f"[red]{words}, MISSED[/]"


def milliseconds(time: float) -> str:
    """Three digits: 0.0421, 3.07, 512."""
    return f"{time:.3g}" if time < 1000 else f"{time:.0f}"


def layers_markdown(rows: Sequence[Row]) -> str:
    """Forward+backward, a line for each cell and shape; two times and their ratio for each number of threads."""
    kept = [row for row in rows if row.mode == "forward+backward"]
    threads = sorted({row.threads for row in kept})
    heads = [f"{count} thread{'s' * (count > 1)}: ours / torch, ms | ratio" for count in threads]
    lines = [f"| cell | shape | {' | '.join(heads)} |", "|---|---|" + "--:|--:|" * len(threads)]
    for cell, shape in dict.fromkeys((row.cell, row.shape) for row in kept):
        found = {row.threads: row for row in kept if (row.cell, row.shape) == (cell, shape)}
        lines.append(f"| {cell} | {shape} | {' | '.join(times(found[count]) for count in threads)} |")
    return "\n".join([*lines, "", f"{machine()}."])


def own_markdown(rows: Sequence[Row]) -> str:
    """Forward+backward of a cell of one's own: its time, our LSTM's, and its own in torch operations."""
    heads = ("shape", "threads", "MGU, ms", "our LSTM, ms", "of the LSTM's time", "MGU by scan, ms")
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1)]
    for row in rows:
        if row.mode == "forward+backward" and row.lstm_ms and row.of_lstm:
            milli = [milliseconds(time) for time in (row.ours_ms, row.lstm_ms, row.torch_ms)]
            told = [row.shape, str(row.threads), *milli[:2], f"**{row.of_lstm:.2f}**", milli[2]]
            lines.append(f"| {' | '.join(told)} |")
    return "\n".join([*lines, "", f"{machine()}."])


def times(row: Row) -> str:
    """Two cells of Markdown: both times, and the ratio."""
    return f"{milliseconds(row.ours_ms)} / {milliseconds(row.torch_ms)} | **{row.ratio:.1f}**"


def lstm1997_table(rows: Sequence[lstm1997.Row]) -> Table:
    """Every measurement, and beside it what it should reach."""
    table = Table(
        title="the 1997 rule, one thread: ratio = rival / ours, higher is better", caption=with_instructions()
    )
    for name in ("experiment", "networks", "who"):
        table.add_column(name)
    for name in ("ns a network step", "ratio", "target"):
        table.add_column(name, justify="right")
    for row in rows:
        sense = "at most {:g} ns" if row.ratio is None else "at least {:g} times"
        told = "" if row.reached is None else verdict(row.reached, sense.format(row.target))
        table.add_row(row.experiment, networks(row), row.who, *figures(row), escape(row.note or "") or told)
    return table


def lstm1997_markdown(rows: Sequence[lstm1997.Row]) -> str:
    """A line for each measurement."""
    lines = ["| experiment | networks | who | ns a network step | rival / ours |", "|---|---|---|--:|--:|"]
    for row in rows:
        time, ratio = figures(row)
        lines.append(f"| {row.experiment} | {networks(row)} | {row.who} | {time or row.note} | {ratio} |")
    return "\n".join([*lines, "", f"{with_instructions()}."])


def networks(row: lstm1997.Row) -> str:
    """How many there are, and whether their data counts."""
    return f"{row.trials}{' with their data' * row.data}"


def figures(row: lstm1997.Row) -> tuple[str, str]:
    """Nanoseconds, and the ratio; empty where there is none."""
    return (
        "" if row.ns is None else f"{row.ns:.3g}" if row.ns < 1000 else f"{row.ns:,.0f}",
        "" if row.ratio is None else f"{row.ratio:,.1f}" if row.ratio < 100 else f"{row.ratio:,.0f}",
    )


def with_instructions() -> str:
    """What was measured on, JAX where it is installed, and our instruction set."""
    jax = f"JAX {version('jax')}, " if find_spec("jax") else ""
    return f"{machine()}, {jax}{instruction_set()}"


def streaming_table(rows: Sequence[streaming.Row]) -> Table:
    """Every measurement, and beside it what it should reach."""
    title = "streams at batch 1, one thread, T steps a call: ratio = rival / ours, higher is better"
    table = Table(title=title, caption=f"{machine()}, {instruction_set()}")
    for name in ("size", "who"):
        table.add_column(name)
    for name in ("us a step", "ratio", "target"):
        table.add_column(name, justify="right")
    for row in rows:
        told = "" if row.reached is None else verdict(row.reached, f"at most {row.target:g} us")
        table.add_row(row.size, row.who, *microseconds(row), escape(row.note or "") or told)
    return table


def streaming_markdown(rows: Sequence[streaming.Row]) -> str:
    """A line for each measurement."""
    lines = ["| size | who | us a step | rival / ours |", "|---|---|--:|--:|"]
    for row in rows:
        time, ratio = microseconds(row)
        lines.append(f"| {row.size} | {row.who} | {time or row.note} | {ratio} |")
    return "\n".join([*lines, "", f"{machine()}, {instruction_set()}."])


def microseconds(row: streaming.Row) -> tuple[str, str]:
    """A step's time, and the ratio; empty where there is none."""
    return "" if row.us is None else f"{row.us:.3g}", "" if row.ratio is None else f"{row.ratio:.1f}"
