"""Our layers beside those of torch.nn; cells that are not in torch.nn, beside torch operations.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from carrousel.bench.clock import medians, set_threads
from carrousel.bench.measurement import Measurement
from carrousel.bench.scanned import Scanned
from carrousel.bench.shapes import GRID, Shape
from carrousel.cells import ALL, Cell
from carrousel.errors import UserError
from carrousel.fused.kernels import peak_gflops
from carrousel.layers import Recurrent

OTHERS = ("peephole", "lstm1997")  # measured by default beside the LSTM, where a shape has a target for them
OF_LSTM = 1.15  # they may take so many times the LSTM's time
TITLE = "layers: ratio = the rival's time / ours, higher is better"

TORCH: dict[str, Callable[..., nn.Module]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn_tanh": nn.RNN,
    "rnn_relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}


def plan(shapes: Sequence[Shape], cells: Sequence[str]) -> list[tuple[str, Shape]]:
    """The pairs of cell and shape to measure. Without cells: the LSTM at all shapes, others where they have a target.

    Raises:
        UserError: a cell is unknown, or has no counterpart that could run the shape.
    """
    if not cells:
        others = [(cell, shape) for shape in shapes if shape.scan_target for cell in OTHERS]
        return [("lstm", shape) for shape in shapes] + others
    for cell in cells:
        if cell not in ALL:
            raise UserError(f"--cells {cell} is not a cell: give some of {', '.join(ALL)}")
        for shape in shapes:
            if cell not in TORCH and (shape.layers > 1 or shape.bidirectional):
                raise UserError(
                    f"{cell} is measured on one layer in one direction, and {shape.name} has more: leave it out"
                )
    return [(cell, shape) for cell in cells for shape in shapes]


def measure(cell: str, shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Measure a cell at a shape: each mode with each number of threads.

    Args:
        cell: its name.
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`, for each mode and number of threads.
    """
    torch.manual_seed(0)
    ours = layer(cell, shape)
    x = torch.randn(shape.T, shape.B, shape.I)
    rivals: list[nn.Module] = [ours, rival(cell, shape, ours)] + ([] if cell in TORCH else [layer("lstm", shape)])
    for count in set_threads(threads):
        for mode, call in MODES.items():
            times = medians([call(run, x) for run in rivals], seconds, repeat)
            yield from compare("layers", cell, shape, mode, count, max(threads), times)


def layer(cell: str, shape: Shape, **options: Any) -> Recurrent[Any]:
    """Our layer for a cell and shape."""
    return Recurrent(ALL[cell], shape.I, shape.H, **shape.options, **options)


def rival(cell: str, shape: Shape, ours: Recurrent[Any]) -> nn.Module:
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


def compare(
    benchmark: str, cell: str, shape: Shape, mode: str, threads: int, most: int, times: list[float]
) -> Iterator[Measurement]:
    """The measurements of one mode and number of threads.

    Args:
        benchmark, cell, shape, mode, threads: what was measured.
        most: the largest number of threads.
        times: of [ours, rival] or [ours, rival, our LSTM], in ms.
    """
    ours_ms, rival_ms, *lstm = times
    has_target = shape in GRID or (mode == "forward+backward" and threads == most)
    target = (shape.target if cell in TORCH else shape.scan_target) if has_target else None
    who = "torch.nn" if cell in TORCH else "torch operations"
    where = (benchmark, f"{cell}, {mode}", shape.name, threads)
    ours = Measurement(*where, "carrousel", ours_ms, "ms")
    yield with_rate(ours, operations(ALL[cell], shape, mode)) if cell in ALL else ours
    yield Measurement(*where, who, rival_ms, "ms", rival_ms / ours_ms, target)
    for lstm_ms in lstm:
        yield Measurement(*where, "carrousel.LSTM", lstm_ms, "ms", lstm_ms / ours_ms, round(1 / OF_LSTM, 2))


def operations(cell: Cell, shape: Shape, mode: str) -> float:
    """Multiplications and additions of the matrix products, which are nearly all there are.

    Backward multiplies by R once and by the outputs once; by the inputs likewise, and by W where the input has a
    gradient: in all layers but the first.
    """
    directions = 2 if shape.bidirectional else 1
    both = mode == "forward+backward"
    total = 0
    for layer in range(shape.layers):
        by_x = len(cell.from_x) * (directions * shape.H if layer else shape.I) * ((3 if layer else 2) if both else 1)
        by_h = len(cell.from_h) * shape.H * (3 if both else 1)
        total += 2 * directions * shape.T * shape.B * shape.H * (by_x + by_h)
    return total


def with_rate(measured: Measurement, operations: float) -> Measurement:
    """A measurement in ms, and what it is of the peak of its number of threads."""
    gflops = operations / (measured.value or math.inf) / 1e6
    peak = peak_gflops(measured.threads)
    return replace(measured, gflops=gflops, peak_percent=100 * gflops / peak if peak else None)
