"""The LSTM under torch.autocast to bfloat16, beside itself in float32 and beside torch.nn's under autocast.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from carrousel.bench.clock import medians
from carrousel.bench.layers import forward, forward_backward, layer, rival
from carrousel.bench.shapes import Shape

MODES = {"forward": forward, "forward+backward": forward_backward}


@dataclass(frozen=True)
class Row:
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

    def json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


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
    """The rows of a shape: each mode with each number of threads, which torch is left with as it was.

    Args:
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as `clock.medians` takes them, for each row.
    """
    before = torch.get_num_threads()
    torch.manual_seed(0)
    ours = layer("lstm", shape)
    rivals = (Under(ours), ours, Under(rival("lstm", shape, ours)))
    x = torch.randn(shape.T, shape.B, shape.I)
    try:
        for count in threads:
            torch.set_num_threads(count)
            for mode, call in MODES.items():
                low, single, theirs = medians([call(run, x) for run in rivals], seconds, repeat)
                yield Row(shape.name, mode, count, low, single, theirs, single / low, theirs / low)
    finally:
        torch.set_num_threads(before)
