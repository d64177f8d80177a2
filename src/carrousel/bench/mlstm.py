"""mLSTM learning chunk by chunk, beside itself step by step, as it streams.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from carrousel.bench.clock import medians
from carrousel.bench.layers import forward_backward
from carrousel.bench.shapes import Shape
from carrousel.layers import MLSTM
from carrousel.layers.matrix_memory import Inputs, Memory, step

HEADS = 4
# Step by step every step's matrices are kept for the backward pass: gigabytes at the larger shapes.
SHAPES = ("paper-T100", "forecast", "d2l", "I32-H128-B8-T365")


@dataclass(frozen=True)
class Row:
    """Forward+backward.

    Args:
        chunks_ms, steps_ms: chunk by chunk, and step by step.
        ratio: steps_ms / chunks_ms; higher is better.
    """

    shape: str
    threads: int
    chunks_ms: float
    steps_ms: float
    ratio: float

    def json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def by_steps(inputs: Inputs, memory: Memory, chunk_size: int) -> tuple[Tensor, Memory]:
    """`chunkwise`, a step after the other."""
    hs = []
    for t in range(inputs.q.shape[2]):
        h, memory = step(Inputs(*(rows[:, :, t] for rows in inputs)), memory)
        hs.append(h)
    return torch.stack(hs, 2), memory


class StepByStep(MLSTM):
    """The layer, its memory taken from step to step."""

    _form = staticmethod(by_steps)


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Row]:
    """The rows of a shape: one for each number of threads, which torch is left with as it was.

    Args:
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as `clock.medians` takes them, for each row.
    """
    before = torch.get_num_threads()
    torch.manual_seed(0)
    ours, plain = (kind(shape.I, shape.H, num_layers=shape.layers, num_heads=HEADS) for kind in (MLSTM, StepByStep))
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(shape.T, shape.B, shape.I)
    try:
        for count in threads:
            torch.set_num_threads(count)
            chunks, steps = medians([forward_backward(run, x) for run in (ours, plain)], seconds, repeat)
            yield Row(shape.name, count, chunks, steps, steps / chunks)
    finally:
        torch.set_num_threads(before)
