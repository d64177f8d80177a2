"""The layers beside torch.nn's, forward and with gradients; cells that torch has not, beside torch operations.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn

from carrousel.bench.clock import each_number_of_threads, medians
from carrousel.bench.scanned import Scanned
from carrousel.bench.shapes import GRID, Shape
from carrousel.bench.table import Result, as_markdown, empty_table, milliseconds, plural, verdict
from carrousel.cells import ALL
from carrousel.errors import UserError
from carrousel.layers import Recurrent

OTHERS = ("peephole", "lstm1997")  # measured by default beside the LSTM, where a shape has a target for them
OF_LSTM = 1.15  # they may take so many times the LSTM's time

TORCH: dict[str, Callable[..., nn.Module]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}


@dataclass(frozen=True)
class Row(Result):
    """One measurement; `ratio` is torch_ms / ours_ms, higher is better.

    Args:
        against: what `torch_ms` is the time of: "torch.nn", or "scan", the same cell in torch operations.
        target: what the ratio should reach, where something is asked of it.
        lstm_ms: for a cell that torch has not: our LSTM's time in the same run.
        of_lstm: ours_ms / lstm_ms; should be at most OF_LSTM.
    """

    cell: str
    shape: str
    mode: str
    threads: int
    ours_ms: float
    torch_ms: float
    ratio: float
    against: str = "torch.nn"
    target: float | None = None
    lstm_ms: float | None = None
    of_lstm: float | None = None


def plan(shapes: Sequence[Shape], cells: Sequence[str]) -> list[tuple[str, Shape]]:
    """Which cell is measured on which shape. No cells: the LSTM on all, the others where a shape has a target for them.

    Raises:
        UserError: a cell is unknown, or has no counterpart that could run the shape.
    """
    if not cells:
        others = [(cell, shape) for shape in shapes if shape.scan_target for cell in OTHERS]
        return [("lstm", shape) for shape in shapes] + others
    for cell in cells:
        if cell not in ALL:
            raise UserError(f"--cells {cell} is no cell: take some of {', '.join(ALL)}")
        for shape in shapes:
            if cell not in TORCH and (shape.layers > 1 or shape.bidirectional):
                raise UserError(
                    f"{cell} is measured on one layer in one direction, and {shape.name} has more: leave it out"
                )
    return [(cell, shape) for cell in cells for shape in shapes]


def measure(cell: str, shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Row]:
    """The rows of a cell and shape: each mode with each number of threads.

    Args:
        cell: its name.
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as `clock.medians` takes them, for each row.
    """
    torch.manual_seed(0)
    ours = layer(cell, shape)
    x = torch.randn(shape.T, shape.B, shape.I)
    rivals = [ours, rival(cell, shape, ours)] + ([] if cell in TORCH else [layer("lstm", shape)])
    for count in each_number_of_threads(threads):
        for mode, call in MODES.items():
            calls = [call(run, x) for run in rivals]
            yield row(cell, shape, mode, count, max(threads), medians(calls, seconds, repeat))


def layer(cell: str, shape: Shape, **options: Any) -> Recurrent:
    """Our layer for a cell and shape."""
    return Recurrent(ALL[cell], shape.I, shape.H, **shape.options, **options)


def rival(cell: str, shape: Shape, ours: Recurrent) -> nn.Module:
    """torch.nn's layer with our weights, or ours in torch operations."""
    if cell not in TORCH:
        return Scanned(ours)
    theirs = TORCH[cell](shape.I, shape.H, **shape.options)
    theirs.load_state_dict(ours.state_dict())
    return theirs


def forward(run: nn.Module, x: Tensor) -> Callable[[], object]:
    """A call without gradients."""

    def call() -> object:
        with torch.no_grad():
            return run(x)

    return call


def forward_backward(run: nn.Module, x: Tensor) -> Callable[[], object]:
    """A call with the gradients of all parameters; x, like data, has none."""
    parameters = list(run.parameters())
    with torch.no_grad():
        dy = torch.randn_like(run(x)[0])
    return lambda: torch.autograd.grad(run(x)[0], parameters, dy)


MODES = {"forward": forward, "forward+backward": forward_backward}


def row(cell: str, shape: Shape, mode: str, threads: int, most: int, times: list[float]) -> Row:
    """The row of times [ours, rival] or [ours, rival, our LSTM] in ms; `most` is the greatest number of threads."""
    ours_ms, torch_ms, *lstm = times
    asked = shape in GRID or (mode == "forward+backward" and threads == most)
    return Row(
        cell,
        shape.name,
        mode,
        threads,
        ours_ms,
        torch_ms,
        ratio=torch_ms / ours_ms,
        against="torch.nn" if cell in TORCH else "scan",
        target=(shape.target if cell in TORCH else shape.scan_target) if asked else None,
        lstm_ms=lstm[0] if lstm else None,
        of_lstm=ours_ms / lstm[0] if lstm else None,
    )


def table(rows: Sequence[Row]) -> Table:
    """Every measurement, and beside it what it should reach."""
    title = "ours beside torch.nn: ratio = torch / ours, higher is better"
    figures = ("threads", "ours ms", "torch ms", "ratio", "target", "of our LSTM's time")
    table = empty_table(title, ("cell", "shape", "mode"), figures)
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


def markdown(rows: Sequence[Row]) -> str:
    """Forward+backward, a line for each cell and shape; two times and their ratio for each number of threads."""
    kept = sorted((row for row in rows if row.mode == "forward+backward"), key=lambda row: row.threads)
    threads = dict.fromkeys(row.threads for row in kept)
    figures = [name for count in threads for name in (f"{plural(count, 'thread')}: ours / torch, ms", "ratio")]
    lines = {(row.cell, row.shape): [row.cell, row.shape] for row in kept}
    for row in kept:
        both = f"{milliseconds(row.ours_ms)} / {milliseconds(row.torch_ms)}"
        lines[row.cell, row.shape] += [both, f"**{row.ratio:.1f}**"]
    return as_markdown(("cell", "shape"), figures, lines.values())
