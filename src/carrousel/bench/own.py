"""A cell of one's own beside our LSTM and beside itself in torch operations: the tutorial's minimal gated unit.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from carrousel.bench.clock import each_number_of_threads, medians
from carrousel.bench.layers import MODES, Row, row
from carrousel.bench.shapes import Shape
from carrousel.bench.table import as_markdown, milliseconds
from carrousel.errors import UserError
from carrousel.layers import LSTM
from carrousel.own import cell

# It is measured where scan does not take minutes.
SHAPES = "paper-T100,audio,forecast,digits,d2l,hydrology"


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
    ours, plain = (MGU(shape.I, shape.H, **shape.options, compile=compile) for compile in (True, False))
    if not ours.compiled:
        raise UserError("a cell of one's own could not be compiled here: the warning above says why")
    plain.load_state_dict(ours.state_dict())
    lstm = LSTM(shape.I, shape.H, **shape.options)
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in each_number_of_threads(threads):
        for mode, call in MODES.items():
            calls = [call(run, x) for run in (ours, plain, lstm)]
            yield row("MGU", shape, mode, count, max(threads), medians(calls, seconds, repeat))


def markdown(rows: Sequence[Row]) -> str:
    """Forward+backward of a cell of one's own: its time, our LSTM's, and its own in torch operations."""
    figures = ("threads", "MGU, ms", "our LSTM, ms", "of the LSTM's time", "MGU by scan, ms")
    lines = []
    for told in rows:
        if told.mode == "forward+backward":
            ours, lstm, plain = map(milliseconds, (told.ours_ms, told.lstm_ms, told.torch_ms))
            lines.append([told.shape, str(told.threads), ours, lstm, f"**{told.of_lstm:.2f}**", plain])
    return as_markdown(("shape",), figures, lines)
