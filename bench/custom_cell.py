"""A custom cell, compiled, beside itself in torch operations and beside our LSTM.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from carrousel.bench.clock import medians, set_threads
from carrousel.bench.layers import MODES, compare
from carrousel.bench.measurement import Measurement
from carrousel.bench.shapes import Shape
from carrousel.custom_cell import cell
from carrousel.errors import UserError
from carrousel.layers import LSTM

TITLE = "a custom cell: ratio = the rival's time / ours, higher is better"
# Shapes at which torch operations do not take minutes.
SHAPES = "paper-T100,audio,forecast,digits,d2l,hydrology"


@cell(rows="nfm", from_x="fn", from_h="fm", states="h")
def MGU(rows, states):
    """The minimal gated unit: docs/custom-cell.md."""
    n, f, m = rows
    (h,) = states
    f = torch.sigmoid(f)
    return (h + f * (torch.tanh(n + f * m) - h),)


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Measure a shape: each mode with each number of threads; arguments as for `layers.measure`.

    Raises:
        UserError: the cell could not be compiled.
    """
    torch.manual_seed(0)
    ours, plain = (MGU(shape.I, shape.H, **shape.options, compile=compile) for compile in (True, False))
    if not ours.compiled:
        raise UserError("the custom cell could not be compiled here: the warning above says why")
    plain.load_state_dict(ours.state_dict())
    lstm = LSTM(shape.I, shape.H, **shape.options)
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in set_threads(threads):
        for mode, call in MODES.items():
            times = medians([call(run, x) for run in (ours, plain, lstm)], seconds, repeat)
            yield from compare("custom-cell", "MGU", shape, mode, count, max(threads), times)
