"""Streams: microseconds of a step at batch 1, called from Python, beside torch.nn's cell and layer, and ONNX Runtime.

One thread, no gradients; every rival has the same weights and carries its state from call to call.

Letters: T steps of a call, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from carrousel.bench.clock import medians
from carrousel.bench.table import Result, as_markdown, empty_table, machine, verdict
from carrousel.fused.kernels import instruction_set
from carrousel.layers import LSTM

OURS = "carrousel"
INTO = "carrousel, out="
ONNX = "ONNX Runtime"
NO_ONNX = 'not measured: ONNX Runtime is not there (pip install "carrousel[bench]")'


class Size(NamedTuple):
    """What is measured, and the microseconds that a step may take with AVX-512; None: nothing is asked."""

    I: int
    H: int
    T: int
    target: float | None

    def __str__(self) -> str:
        return f"I{self.I}-H{self.H}-T{self.T}"


SIZES = (
    Size(1, 40, 1, 3.0),
    Size(1, 256, 1, 10.0),
    Size(32, 256, 1, None),
    Size(1, 40, 512, 0.15),
    Size(1, 256, 512, None),
)


@dataclass(frozen=True)
class Row(Result):
    """One measurement.

    Args:
        size: I, H, and the T steps of a call.
        who: who computes.
        us: microseconds of a step; None: not measured.
        ratio: us / ours; higher is better for us. Of rivals only.
        target: what our us should be at most.
        note: why it was not measured.
    """

    size: str
    who: str
    us: float | None
    ratio: float | None = None
    target: float | None = None
    note: str | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is; None: there is none, or nothing was measured."""
        return None if self.target is None or self.us is None else self.us <= self.target


def measure(size: Size, seconds: float, repeat: int, onnx: ModuleType | None) -> Iterator[Row]:
    """The rows of a size; all rivals take turns. torch is left with one thread.

    Args:
        size: one of SIZES.
        seconds, repeat: as `clock.medians` takes them.
        onnx: bench.rivals.streaming_onnx, or None where there is no ONNX Runtime.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.inference_mode():
        rivals = dict(calls(size, onnx))
        times = [1000 * ms / size.T for ms in medians(list(rivals.values()), seconds, repeat)]
    target = size.target if instruction_set() == "avx512" else None
    for who, us in zip(rivals, times):
        ours = who in (OURS, INTO)
        yield Row(str(size), who, us, None if ours else us / times[0], target if ours else None)
    if onnx is None:
        yield Row(str(size), ONNX, None, note=NO_ONNX)


def calls(size: Size, onnx: ModuleType | None) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Who computes, and a call that runs the T steps and returns y [T, H]."""
    layer = LSTM(size.I, size.H)
    layer.load_state_dict(nn.LSTM(size.I, size.H).state_dict())
    x = torch.randn(size.T, 1, size.I)
    yield from ours(layer, x)
    if size.T == 1:
        yield "torch.nn.LSTMCell", in_cell(layer, x)
    yield "torch.nn.LSTM", in_layer(layer, x)
    if onnx is not None:
        yield ONNX, onnx.run_of(layer, x.numpy())


def ours(layer: LSTM, x: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """A step, or a block; the result in new memory, or always in the same."""
    fresh, into, T = layer.start(), layer.start(), len(x)
    out = torch.empty(T, 1, layer.hidden_size)
    if T > 1:
        yield OURS, lambda: layer.block(x, fresh)[:, 0]
        yield INTO, lambda: layer.block(x, into, out=out)[:, 0]
    else:
        row, place = x[0], out[0]
        yield OURS, lambda: layer.step(row, fresh)
        yield INTO, lambda: layer.step(row, into, out=place)


def in_cell(layer: LSTM, x: Tensor) -> Callable[[], Tensor]:
    """torch.nn.LSTMCell."""
    cell = nn.LSTMCell(layer.input_size, layer.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in layer.state_dict().items()})
    row, hx = x[0], (torch.zeros(1, layer.hidden_size),) * 2

    def call() -> Tensor:
        nonlocal hx
        hx = cell(row, hx)
        return hx[0]

    return call


def in_layer(layer: LSTM, x: Tensor) -> Callable[[], Tensor]:
    """torch.nn.LSTM."""
    theirs = nn.LSTM(layer.input_size, layer.hidden_size)
    theirs.load_state_dict(layer.state_dict())
    hx = (torch.zeros(1, 1, layer.hidden_size),) * 2

    def call() -> Tensor:
        nonlocal hx
        y, hx = theirs(x, hx)
        return y[:, 0]

    return call


def with_onnx() -> ModuleType | None:
    """bench.rivals.streaming_onnx, where its packages are installed."""
    try:
        from bench.rivals import streaming_onnx
    except ImportError:
        return None
    return streaming_onnx


def table(rows: Sequence[Row]) -> Table:
    """Every measurement, and beside it what it should reach."""
    title = "streams at batch 1, one thread, T steps a call: ratio = rival / ours, higher is better"
    caption = f"{machine()}, {instruction_set()}"
    table = empty_table(title, ("size", "who"), ("us a step", "ratio", "target"), caption)
    for row in rows:
        told = "" if row.reached is None else verdict(row.reached, f"at most {row.target:g} us")
        table.add_row(row.size, row.who, *time_and_ratio(row), escape(row.note or "") or told)
    return table


def markdown(rows: Sequence[Row]) -> str:
    """A line for each measurement."""
    told = [(row, *time_and_ratio(row)) for row in rows]
    lines = [(row.size, row.who, time or row.note or "", ratio) for row, time, ratio in told]
    caption = f"{machine()}, {instruction_set()}"
    return as_markdown(("size", "who"), ("us a step", "rival / ours"), lines, caption)


def time_and_ratio(row: Row) -> tuple[str, str]:
    """Microseconds of a step, and the ratio; empty where there is none."""
    return "" if row.us is None else f"{row.us:.3g}", "" if row.ratio is None else f"{row.ratio:.1f}"
