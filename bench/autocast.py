"""The LSTM under torch.autocast to bfloat16, beside itself in float32 and beside torch.nn's under autocast.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from carrousel.bench.clock import medians, set_threads
from carrousel.bench.layers import MODES, layer, rival
from carrousel.bench.measurement import Measurement
from carrousel.bench.shapes import Shape

TITLE = "the LSTM under autocast to bfloat16: ratio = the rival's time / ours, higher is better"


class Under(nn.Module):
    """A layer under autocast to bfloat16; the backward pass runs outside of it, as torch advises."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Any:
        """What the layer returns."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.layer(x)


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Measure a shape: each mode with each number of threads.

    Args:
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`, for each mode and number of threads.
    """
    torch.manual_seed(0)
    ours = layer("lstm", shape)
    runs = {"carrousel": Under(ours), "carrousel, float32": ours, "torch.nn": Under(rival("lstm", shape, ours))}
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in set_threads(threads):
        for mode, call in MODES.items():
            times = medians([call(run, x) for run in runs.values()], seconds, repeat)
            for k, (who, time) in enumerate(zip(runs, times)):
                ratio = time / times[0] if k else None
                yield Measurement("autocast", mode, shape.name, count, who, time, "ms", ratio)
