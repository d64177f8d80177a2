"""LSTM, a faster torch.nn.LSTM; and the constructor that layers over other LSTM cells share.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
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
from carrousel.layers.regularization import Regularization, check_rates


@show_arguments
class LongShortTermMemory(Recurrent[tuple[Tensor, Tensor]]):
    """Base class of the LSTMs that differ in their cell only: the states h and c, and torch.nn.LSTM's arguments."""

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
        proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__(self.CELL, input_size, hidden_size, *options, **ours)


@show_arguments
class LSTM(Recurrent[tuple[Tensor, Tensor]]):
    """Long short-term memory: torch.nn.LSTM's arguments, parameters, results and error messages; faster.

    The weights are weight_ih_l{k} [4*H, I], weight_hh_l{k} [4*H, P], bias_ih_l{k} and bias_hh_l{k} [4*H], in blocks
    i f g o; for k > 0 the input has D*P features. hx is the tuple (h [L*D, B, P], c [L*D, B, H]).

    recurrent_dropout, variational_dropout, zoneout and drop_connect are random masks for training. Each layer and
    direction has its own, sampled for each row of the batch and each unit. Each call takes a new seed from torch's
    default generator, or the one it is given; the masks depend on nothing else, and the backward pass computes them
    again. In evaluation the dropouts do nothing, and zoneout uses its mean.

    Args:
        recurrent_dropout: probability that the candidate g of a unit is zeroed, new at each step; the others are
            divided by 1 - p (Semeniuta et al., 2016). Default 0.
        variational_dropout: probability that a feature of the layer's input, or a unit of the h that is fed back, is
            zeroed at all steps of a sequence (Gal and Ghahramani, 2016). One number, or two, for x and h. Default 0.
        zoneout: probability that a unit keeps its old state, new at each step (Krueger et al., 2017). One number, or
            two, for c and h. With proj_size, for c only. Default 0.
        drop_connect: probability that a weight of weight_hh is zeroed, for a whole call (Merity et al., 2017).
            Default 0.

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of range, as for torch.nn.LSTM.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.LSTM(28, 256, num_layers=2)
        >>> y, (h, c) = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, c.shape
        (torch.Size([35, 32, 256]), torch.Size([2, 32, 256]))

    Source: equations and paper in `carrousel.cells.lstm`.
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
        proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        recurrent_dropout: float = 0.0,
        variational_dropout: float | tuple[float, float] = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        drop_connect: float = 0.0,
        **ours: Unpack[LayerOptions],
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__(ALL["lstm"], input_size, hidden_size, *options, **ours)
        self.regularization: Regularization | None = check_rates(
            self.cell, self.proj_size, recurrent_dropout, variational_dropout, zoneout, drop_connect
        )
