"""mLSTM learning chunk by chunk, beside itself step by step, as it streams.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor

from carrousel.bench.clock import each_number_of_threads, medians
from carrousel.bench.layers import forward_backward
from carrousel.bench.shapes import Shape
from carrousel.bench.table import Result, empty_table, milliseconds
from carrousel.layers import MLSTM
from carrousel.layers.xlstm.mlstm.memory import Inputs, Memory, step

HEADS = 4
# Step by step every step's matrices are kept for the backward pass: gigabytes at the larger shapes.
SHAPES = "paper-T100,forecast,d2l,I32-H128-B8-T365"


@dataclass(frozen=True)
class Row(Result):
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
    """The rows of a shape: one for each number of threads.

    Args:
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as `clock.medians` takes them, for each row.
    """
    torch.manual_seed(0)
    ours, plain = (kind(shape.I, shape.H, num_layers=shape.layers, num_heads=HEADS) for kind in (MLSTM, StepByStep))
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in each_number_of_threads(threads):
        chunks, steps = medians([forward_backward(run, x) for run in (ours, plain)], seconds, repeat)
        yield Row(shape.name, count, chunks, steps, steps / chunks)


def table(rows: Sequence[Row]) -> Table:
    """Both forms' times, and how many times sooner the chunks are done."""
    title = f"mLSTM, {HEADS} heads, forward+backward, ms: higher ratios are better"
    table = empty_table(title, ("shape",), ("threads", "chunk by chunk", "step by step", "ratio"))
    for row in rows:
        times = milliseconds(row.chunks_ms), milliseconds(row.steps_ms)
        table.add_row(row.shape, str(row.threads), *times, f"{row.ratio:.1f}")
    return table
