"""GRU, a faster torch.nn.GRU.

Letters: T time, B batch, I input, H hidden units, L layers, D directions.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.types import Device
from typing_extensions import Unpack

from carrousel.cells import ALL
from carrousel.layers.arguments import show_arguments
from carrousel.layers.checks import check_no_projection
from carrousel.layers.options import LayerOptions
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.regularization import Regularization, check_rates


@show_arguments
class GRU(Recurrent[Tensor]):
    """Gated recurrent unit: torch.nn.GRU's arguments, parameters, results and error messages; faster.

    The weights are weight_ih_l{k} [3*H, I], weight_hh_l{k} [3*H, H], bias_ih_l{k} and bias_hh_l{k} [3*H], in blocks r z
    n; for k > 0 the input has D*H features. hx is h [L*D, B, H]. The dropouts, zoneout and drop_connect are random
    masks for training, as of `LSTM`.

    Args:
        proj_size: only 0, as for torch.nn.GRU, whose eighth argument it is.
        recurrent_dropout: probability that the candidate n of a unit is zeroed, new at each step. Default 0.
        variational_dropout: probability that a feature of the layer's input, or a unit of the h that is fed back, is
            zeroed at all steps of a sequence. One number, or two, for x and h. Default 0.
        zoneout: probability that a unit keeps its old h, new at each step. Default 0.
        drop_connect: probability that a weight of weight_hh is zeroed, for a whole call. Default 0.

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of range, as for torch.nn.GRU.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.GRU(28, 256, bidirectional=True, batch_first=True)
        >>> y, h = layer(torch.randn(32, 35, 28))  # [B, T, I]
        >>> y.shape, h.shape
        (torch.Size([32, 35, 512]), torch.Size([2, 32, 256]))

    Source: equations and paper in `carrousel.cells.gru`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: Literal[0] = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        recurrent_dropout: float = 0.0,
        variational_dropout: float | tuple[float, float] = 0.0,
        zoneout: float = 0.0,
        drop_connect: float = 0.0,
        **ours: Unpack[LayerOptions],
    ) -> None:
        check_no_projection(proj_size)
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(ALL["gru"], input_size, hidden_size, *options, **ours)
        self.regularization: Regularization | None = check_rates(
            self.cell, 0, recurrent_dropout, variational_dropout, zoneout, drop_connect
        )
