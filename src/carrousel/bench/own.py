"""A cell of one's own beside our LSTM and beside itself in torch operations: the tutorial's minimal gated unit.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from carrousel.bench.clock import medians
from carrousel.bench.layers import MODES, Row, forward, forward_backward, row
from carrousel.bench.shapes import Shape
from carrousel.errors import UserError
from carrousel.layers import LSTM
from carrousel.own import cell

# It is measured where scan does not take minutes.
SHAPES = ("paper-T100", "audio", "forecast", "digits", "d2l", "hydrology")


@cell(rows="nfm", from_x="fn", from_h="fm", states="h")
def MGU(rows, states):
    """The minimal gated unit: docs/own-cell.md."""
    n, f, m = rows
    (h,) = states
    f = torch.sigmoid(f)
    return (h + f * (torch.tanh(n + f * m) - h),)


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Row]:
    """The rows of a shape: each mode with each number of threads; arguments as `layers.measure` takes them.

    Raises:
        UserError: the cell could not be compiled here.
    """
    torch.manual_seed(0)
    options = {"num_layers": shape.layers, "bidirectional": shape.bidirectional}
    ours, plain = (MGU(shape.I, shape.H, **options, compile=compile) for compile in (True, False))
    if not ours.compiled:
        raise UserError("a cell of one's own could not be compiled here: the warning above says why")
    plain.load_state_dict(ours.state_dict())
    lstm = LSTM(shape.I, shape.H, **options)
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in threads:
        torch.set_num_threads(count)
        for mode in MODES:
            calls = [(forward if mode == "forward" else forward_backward)(run, x) for run in (ours, plain, lstm)]
            yield row("MGU", shape, mode, count, max(threads), medians(calls, seconds, repeat))
