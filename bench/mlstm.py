"""MLSTM chunk by chunk, as it trains, beside itself step by step, as it streams.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from carrousel.bench.clock import medians, set_threads
from carrousel.bench.layers import forward_backward
from carrousel.bench.measurement import Measurement
from carrousel.bench.shapes import Shape
from carrousel.layers import MLSTM
from carrousel.layers.mlstm.memory import Inputs, Memory, step

TITLE = "MLSTM, 4 heads: ratio = step by step / chunk by chunk, higher is better"
HEADS = 4
# Step by step the matrices of every step are saved for backward: gigabytes at larger shapes.
SHAPES = "paper-T100,forecast,d2l,I32-H128-B8-T365"


def by_steps(inputs: Inputs, memory: Memory, chunk_size: int) -> tuple[Tensor, Memory]:
    """`run_chunkwise`, a step after the other."""
    hs = []
    for t in range(inputs.q.shape[2]):
        h, memory = step(Inputs(*(rows[:, :, t] for rows in inputs)), memory)
        hs.append(h)
    return torch.stack(hs, 2), memory


class StepByStep(MLSTM):
    """The layer, its memory taken from step to step."""

    _form = staticmethod(by_steps)


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Measure a shape, forward+backward, with each number of threads.

    Args:
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`, for each number of threads.
    """
    torch.manual_seed(0)
    ours, plain = (kind(shape.I, shape.H, num_layers=shape.layers, num_heads=HEADS) for kind in (MLSTM, StepByStep))
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in set_threads(threads):
        where = ("mlstm", "forward+backward", shape.name, count)
        chunks, steps = medians([forward_backward(run, x) for run in (ours, plain)], seconds, repeat)
        yield Measurement(*where, "chunk by chunk", chunks, "ms")
        yield Measurement(*where, "step by step", steps, "ms", steps / chunks)
