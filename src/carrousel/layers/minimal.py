"""minGRU and minLSTM as layers: gates that see the input alone.

Letters: B batch, I input, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carrousel.layers.options import LayerOptions


class Minimal(Recurrent[Tensor]):
    """What the two share: one state, no recurrent weights, and torch.nn.GRU's arguments. They differ in their cell."""

    CELL: ClassVar[Cell]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(self.CELL, input_size, hidden_size, *options, device=device, dtype=dtype, **ours)


class MinGRU(Minimal):
    """Minimal GRU, whose gate depends on the input alone, with torch.nn.GRU's arguments.

    hx is h [L*D, B, H]. There are weight_ih_l{k} [2*H, I], blocks z g, and bias_ih_l{k} [2*H], no weight_hh and no
    bias_hh; h can not be projected, for it goes into the next h unit by unit. With `return_gates` the fields are z and
    g, which is the sigmoid of its row, the candidate where the row is below zero. Arguments, shapes and what is
    raised: `Recurrent`. Equations and paper: `carrousel.cells.minimal`.
    """

    CELL = ALL["mingru"]


class MinLSTM(Minimal):
    """Minimal LSTM, whose gates depend on the input alone, and of which h is the only state.

    hx is h [L*D, B, H]. There are weight_ih_l{k} [3*H, I], blocks f i g, and bias_ih_l{k} [3*H], no weight_hh and no
    bias_hh; h can not be projected, for it goes into the next h unit by unit. With `return_gates` the fields are f, the
    part of h that stays, and g, which is the sigmoid of its row, the candidate where the row is below zero. Arguments,
    shapes and what is raised: `Recurrent`. Equations and paper: `carrousel.cells.minimal`.
    """

    CELL = ALL["minlstm"]
