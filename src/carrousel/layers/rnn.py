"""RNN, a faster torch.nn.RNN.

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


@show_arguments
class RNN(Recurrent[Tensor]):
    """Elman's network: torch.nn.RNN's arguments, parameters, results and error messages; faster.

    The weights are weight_ih_l{k} [H, I], weight_hh_l{k} [H, H], bias_ih_l{k} and bias_hh_l{k} [H]; for k > 0 the input
    has D*H features. hx is h [L*D, B, H].

    Args:
        nonlinearity: "tanh" or "relu". Default "tanh".
        proj_size: only 0, as for torch.nn.RNN, whose ninth argument it is.

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of range, as for torch.nn.RNN.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.RNN(28, 256, nonlinearity="relu")
        >>> y, h = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, h.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))

    Source: equations and paper in `carrousel.cells.elman`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: Literal[0] = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        check_no_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(ALL[f"rnn_{nonlinearity}"], input_size, hidden_size, *options, **ours)
        self.nonlinearity: str = nonlinearity

    def _describe_wrong_dims(self, dims: int) -> str:
        return super()._describe_wrong_dims(dims).replace("D instead", "D tensor instead")  # torch's words
