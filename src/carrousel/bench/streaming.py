"""Streaming: microseconds of a step at batch 1, called from Python, beside the cell and the layer of torch.nn.

One thread, no gradients; every rival has the same weights and carries its state from call to call.

Letters: T steps of a call, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from carrousel.bench.clock import medians
from carrousel.bench.measurement import Measurement
from carrousel.fused.kernels import instruction_set
from carrousel.layers import LSTM

OURS = "carrousel"
INTO = "carrousel, out="
ROUNDED = {f"carrousel, {weights}": weights for weights in ("bfloat16", "int8")}
TITLE = "streams at batch 1, T steps a call: ratio = the rival's time / ours; rounded weights: float32 / rounded"

Call = Callable[[], Any]
Rivals = Callable[[LSTM, Tensor], dict[str, Call]]  # more of them: from our layer and x [T, 1, I], by who runs it


class Size(NamedTuple):
    """What is measured, and the microseconds that a step may take with AVX-512; None: no target."""

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


def measure(size: Size, seconds: float, repeat: int, others: Rivals | None = None) -> Iterator[Measurement]:
    """Measure a size on one thread; all rivals take turns. torch is left with one thread.

    Args:
        size: one of SIZES.
        seconds, repeat: as for `clock.medians`.
        others: rivals besides torch.nn.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with torch.inference_mode():
        rivals = new_rivals(size, others)
        times = [1000 * ms / size.T for ms in medians(list(rivals.values()), seconds, repeat)]
    target = size.target if instruction_set() == "avx512" else None
    for who, time in zip(rivals, times):
        where = ("streaming", "a step", str(size), 1, who, time, "us")
        if who in (OURS, INTO):
            yield Measurement(*where, target=target, bound="value at most")
        elif who in ROUNDED:  # with out=, too: ratio to the same in float32
            yield Measurement(*where, ratio=times[1] / time)
        else:
            yield Measurement(*where, ratio=time / times[0])


def new_rivals(size: Size, others: Rivals | None = None) -> dict[str, Call]:
    """Functions that run T steps and return y [T, H], by who runs them."""
    layer = LSTM(size.I, size.H)
    layer.load_state_dict(nn.LSTM(size.I, size.H).state_dict())
    x = torch.randn(size.T, 1, size.I)
    rivals = dict(ours(layer, x))
    if size.T == 1:
        rivals["torch.nn.LSTMCell"] = in_cell(layer, x)
    rivals["torch.nn.LSTM"] = in_layer(layer, x)
    return rivals | (others(layer, x) if others else {})


def ours(layer: LSTM, x: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """A step, or a block; with the result in new memory, or always in the same; and on rounded weights."""
    fresh, T = layer.start(), len(x)
    if T > 1:
        yield OURS, lambda: layer.block(x, fresh)[:, 0]
    else:
        row = x[0]
        yield OURS, lambda: layer.step(row, fresh)
    yield INTO, in_place(layer, x, None)
    for who, weights in ROUNDED.items():
        yield who, in_place(layer, x, weights)


def in_place(layer: LSTM, x: Tensor, weights: str | None) -> Callable[[], Tensor]:
    """A step, or a block, into the same memory."""
    state, out = layer.start(weights=weights), torch.empty(len(x), 1, layer.hidden_size)
    if len(x) > 1:
        return lambda: layer.block(x, state, out=out)[:, 0]
    row, place = x[0], out[0]
    return lambda: layer.step(row, state, out=place)


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
