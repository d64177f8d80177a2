"""Layers under torch.autocast("cpu", torch.bfloat16): products of operands rounded to bfloat16, all else in float32.

What leaves the layer has the dtype that torch's own layer gives there; the states inside a sequence are float32. What
autocast asks for in other precisions, and of weights that are not float32, is left to torch.

Tried and left: y written, and its gradient read, in bfloat16 by the kernel instead of converted here. It took 3 % of
the time away at hydrology's shape with gradients, 9 % without, and an argument through every function below.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.layers.regularization import Draw
from carrousel.layers.stack import run_stack
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights

# Narrower layers are computed in float32: they gain nothing by rounding (at H = 16 and 24 the times were the same).
NARROWEST = 32


def rounds(W: Tensor) -> bool:
    """Whether a layer with this weight is to run so now."""
    if not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and W.dtype == torch.float32 and W.is_cpu


def run_rounded(
    cell: Cell,
    x: Tensor,
    hx: tuple[Tensor, ...] | None,
    weights: list[list[Weights]],
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...] | None = None,
    dropout: float = 0.0,
    draw: Draw | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], Any]:
    """`run_stack` so: its arguments, and results that have the dtypes torch gives them.

    States and gates of every step are as they were computed, in float32.
    """
    first = weights[0][0]
    of_h, of_others = result_dtypes(
        cell if draw is None else draw.plain, rows, first.P is not None, (hx[-1] if hx else x).dtype
    )
    # a cell that is normalised divides by the deviation of its products, which rounding would be a part of
    if not cell.normed and first.W.shape[0] >= NARROWEST * len(cell.from_x):
        options = options._replace(bfloat16=True)
    x, hx, restored = x.float(), hx and _to(hx, torch.float32), restored and _to(restored, torch.float32)
    y, (h, *others), inside = run_stack(cell, x, hx, weights, rows, options, restored, dropout, draw)
    return y.to(of_h), (h.to(of_h), *_to(others, of_others)), inside


def result_dtypes(cell: Cell, rows: Rows, projected: bool, start: torch.dtype) -> tuple[torch.dtype, torch.dtype]:
    """The dtypes of h, which is y's too, and of the other states: bfloat16, but for what torch does not make so.

    Args:
        cell, rows: of the layer.
        projected: whether its h is.
        start: the dtype of the states that were given, or else of the input. torch's GRU, its LSTM on packed sequences,
            and c where h is projected, mix that in and keep it.
    """
    low, packed = torch.bfloat16, rows.batch_sizes is not None
    if (projected or packed) and cell == ALL["lstm"]:
        mixed = torch.promote_types(start, low)
        return (low if projected else mixed), mixed
    if cell == ALL["gru"]:
        mixed = torch.promote_types(start, low)
        return mixed, mixed
    return low, low


def _to(states: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
    return tuple([state.to(dtype) for state in states])
