"""The LSTM under torch.autocast to bfloat16, beside itself in float32 and beside torch.nn's under autocast.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from carrousel.bench.clock import each_number_of_threads, medians
from carrousel.bench.layers import MODES, layer, rival
from carrousel.bench.shapes import Shape
from carrousel.bench.table import Result, as_markdown, empty_table, milliseconds, plural


@dataclass(frozen=True)
class Row(Result):
    """One measurement, in milliseconds, all in turns.

    Args:
        ours_ms, torch_ms: under autocast.
        float32_ms: ours without it.
        gain: float32_ms / ours_ms; higher is better.
        ratio: torch_ms / ours_ms; higher is better.
    """

    shape: str
    mode: str
    threads: int
    ours_ms: float
    float32_ms: float
    torch_ms: float
    gain: float
    ratio: float


class Under(nn.Module):
    """A layer under autocast to bfloat16; its backward pass is not, as torch advises."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        """What the layer returns."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Row]:
    """The rows of a shape: each mode with each number of threads.

    Args:
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as `clock.medians` takes them, for each row.
    """
    torch.manual_seed(0)
    ours = layer("lstm", shape)
    rivals = (Under(ours), ours, Under(rival("lstm", shape, ours)))
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in each_number_of_threads(threads):
        for mode, call in MODES.items():
            low, single, theirs = medians([call(run, x) for run in rivals], seconds, repeat)
            yield Row(shape.name, mode, count, low, single, theirs, single / low, theirs / low)


def table(rows: Sequence[Row]) -> Table:
    """Every measurement, and how many times sooner than in float32 and than torch ours is done under autocast."""
    title = "the LSTM under autocast to bfloat16, ms: higher ratios are better"
    figures = ("threads", "ours", "ours in float32", "torch.nn's", "float32 / ours", "torch.nn's / ours")
    table = empty_table(title, ("shape", "mode"), figures)
    for row in rows:
        table.add_row(row.shape, row.mode, str(row.threads), *times(row), f"{row.gain:.2f}", f"{row.ratio:.2f}")
    return table


def markdown(rows: Sequence[Row]) -> str:
    """Forward+backward, a line for each shape: three times and two ratios for each number of threads."""
    kept = sorted((row for row in rows if row.mode == "forward+backward"), key=lambda row: row.threads)
    figures, lines = [], {row.shape: [row.shape] for row in kept}
    for count in dict.fromkeys(row.threads for row in kept):
        heads = f"{plural(count, 'thread')}: ours / in float32 / torch.nn's, ms", "float32 / ours", "torch.nn's / ours"
        figures.extend(heads)
    for row in kept:
        lines[row.shape] += [" / ".join(times(row)), f"**{row.gain:.2f}**", f"**{row.ratio:.2f}**"]
    return as_markdown(("shape",), figures, lines.values())


def times(row: Row) -> list[str]:
    """Ours under autocast, ours in float32, torch.nn's under autocast."""
    return [milliseconds(time) for time in (row.ours_ms, row.float32_ms, row.torch_ms)]
