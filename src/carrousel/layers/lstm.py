"""LSTM in the place of torch.nn.LSTM, and what the layers over other LSTMs share.

Letters: H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.regularization import regularization

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carrousel.layers.options import LayerOptions


class LongShortTermMemory(Recurrent[tuple[Tensor, Tensor]]):
    """What other LSTMs share: two states, and torch.nn.LSTM's arguments. They differ in their cell."""

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
        device: Any = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__(self.CELL, input_size, hidden_size, *options, **ours)


class LSTM(Recurrent[tuple[Tensor, Tensor]]):
    """Long short-term memory in the place of torch.nn.LSTM: its arguments, parameters, numbers and errors.

    hx is (h [L*D, B, P], c [L*D, B, H]); the blocks of the weights are i f g o. Other arguments, shapes and what is
    raised: `Recurrent`. Equations and paper: `carrousel.cells.lstm`.

    The random masks below act in training, each layer and direction with its own, drawn for each row of the batch and
    each unit; a seed is drawn at each call from torch's default generator, or given to the call. The numbers depend on
    nothing else, and the backward pass draws them again. In evaluation dropouts do nothing, and zoneout takes its mean.

    Args:
        recurrent_dropout: the probability that a unit's candidate g is zeroed, anew at each step; the others are
            divided by 1 - p (Semeniuta et al., 2016). Default 0.
        variational_dropout: the probability that a feature of the layer's input, and a unit of the h that is fed back,
            is zeroed, at all steps of a sequence alike (Gal and Ghahramani, 2016); a number, or one for x and one for
            h. Default 0.
        zoneout: the probability that a unit keeps its old state, anew at each step (Krueger et al., 2017); a number, or
            one for c and one for h. With proj_size, of c only. Default 0.
        drop_connect: the probability that a weight of weight_hh is zeroed, in a whole call (DropConnect; Merity et al.,
            2017). Default 0.
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
        device: Any = None,
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
        self.regularization = regularization(
            self.cell, self.proj_size, recurrent_dropout, variational_dropout, zoneout, drop_connect
        )
