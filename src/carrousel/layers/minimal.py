"""MinGRU and MinLSTM: gates that see the input only.

Letters: T time, B batch, I input, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.types import Device
from typing_extensions import Unpack

from carrousel.cells import ALL, Cell
from carrousel.layers.arguments import show_arguments
from carrousel.layers.options import LayerOptions
from carrousel.layers.recurrent import Recurrent


@show_arguments
class Minimal(Recurrent[Tensor]):
    """Base class of the two, which differ in their cell: one state, no recurrent weights, torch.nn.GRU's arguments."""

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
        device: Device = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(self.CELL, input_size, hidden_size, *options, device=device, dtype=dtype, **ours)


@show_arguments
class MinGRU(Minimal):
    """Minimal GRU, whose gate depends on the input only, with torch.nn.GRU's arguments.

    The weights are weight_ih_l{k} [2*H, I] and bias_ih_l{k} [2*H], in blocks z g; for k > 0 the input has D*H
    features. There is no weight_hh and no bias_hh, and no projection, because h enters the next h unit by unit. hx is h
    [L*D, B, H]. With `return_gates` the fields are z and g; g is the sigmoid of its row, but the
    candidate where the row is negative.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.MinGRU(28, 256)
        >>> y, h = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, h.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))

    Source: equations and paper in `carrousel.cells.minimal`.
    """

    CELL = ALL["mingru"]


@show_arguments
class MinLSTM(Minimal):
    """Minimal LSTM, whose gates depend on the input only and whose only state is h, with torch.nn.GRU's arguments.

    The weights are weight_ih_l{k} [3*H, I] and bias_ih_l{k} [3*H], in blocks f i g; for k > 0 the input has D*H
    features. There is no weight_hh and no bias_hh, and no projection, because h enters the next h unit by unit. hx is h
    [L*D, B, H]. With `return_gates` the fields are f, the part of h that stays, and g; g is the sigmoid of its row, but
    the candidate where the row is negative.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.MinLSTM(28, 256)
        >>> y, h = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, h.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))

    Source: equations and paper in `carrousel.cells.minimal`.
    """

    CELL = ALL["minlstm"]
