"""Layers under torch.autocast("cpu", torch.bfloat16): matrix products of bfloat16 operands, all else in float32.

The results have the dtypes of torch's own layer; the states inside a sequence are float32. torch computes other
precisions, and weights that are not float32.

Tried and rejected: kernels that write y, and read its gradient, in bfloat16, instead of the conversion here. They saved
3 % of the time at hydrology's shape with gradients, 9 % without, for an argument through every function below.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.layers.regularization import CallMasks
from carrousel.layers.stack import run_stack
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights

# Narrower layers run in float32: rounding gains nothing (at H = 16 and 24 the times were the same).
NARROWEST = 32


def rounds(W: Tensor) -> bool:
    """Whether a layer with this weight runs in bfloat16 now."""
    if not torch.is_autocast_enabled("cpu"):
        return False
    return torch.get_autocast_dtype("cpu") == torch.bfloat16 and W.dtype == torch.float32 and W.is_cpu


def run_in_bfloat16(
    cell: Cell,
    x: Tensor,
    hx: tuple[Tensor, ...] | None,
    weights: list[list[Weights]],
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...] | None = None,
    dropout: float = 0.0,
    masks: CallMasks | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], Any]:
    """`run_stack` with bfloat16 products: its arguments, and results in the dtypes of torch's layer.

    States and gates of every step are float32, as they were computed.
    """
    first = weights[0][0]
    of_h, of_others = choose_dtypes(
        cell if masks is None else masks.plain, rows, first.P is not None, (hx[-1] if hx else x).dtype
    )
    # a normalised cell divides by the deviation of its products, which would include the rounding errors
    if not cell.normed and first.W.shape[0] >= NARROWEST * len(cell.from_x):
        options = options._replace(bfloat16=True)
    x, hx, restored = x.float(), hx and _to(hx, torch.float32), restored and _to(restored, torch.float32)
    y, (h, *others), inside = run_stack(cell, x, hx, weights, rows, options, restored, dropout, masks)
    return y.to(of_h), (h.to(of_h), *_to(others, of_others)), inside


def choose_dtypes(cell: Cell, rows: Rows, projected: bool, start: torch.dtype) -> tuple[torch.dtype, torch.dtype]:
    """The dtypes of h, and so of y, and of the other states: bfloat16, with torch's exceptions.

    Args:
        cell, rows: of the layer.
        projected: whether its h is projected.
        start: the dtype of the given states, or of the input. torch's GRU, its LSTM on packed sequences, and c of a
            projected LSTM promote to it.
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
