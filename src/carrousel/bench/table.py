"""The results for people: a table in the terminal, or Markdown for the README."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

import torch
from rich.table import Table

from carrousel.bench.layers import OF_LSTM, Row


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


def times(row: Row) -> str:
    """Two cells of Markdown: both times, and the ratio."""
    return f"{milliseconds(row.ours_ms)} / {milliseconds(row.torch_ms)} | **{row.ratio:.1f}**"
