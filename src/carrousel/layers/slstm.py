"""SLSTM, with heads: units that are fed back to the units of their own head only.

Letters: T time, B batch, I input, H hidden units, L layers, D directions, N heads.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.types import Device
from typing_extensions import Unpack

from carrousel.cells import ALL
from carrousel.layers.arguments import show_arguments
from carrousel.layers.options import LayerOptions
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.streaming.state import Kind


@show_arguments
class SLSTM(Recurrent[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """sLSTM of xLSTM: exponential input gates, a normaliser and a stabiliser; with torch.nn.LSTM's arguments.

    The weights are weight_ih_l{k} [4*H, I], weight_hh_l{k} [4*H, H/N], bias_ih_l{k} and bias_hh_l{k} [4*H], in blocks
    z i f o; for k > 0 the input has D*H features. hx is the tuple (h, c, n, m), each [L*D, B, H]: output, memory,
    normaliser, stabiliser. Zeros are the empty memory. Where n <= 0, the values of c and m have no effect and get no
    gradient: with `learn_initial`, only h is learned from zeros.

    Args:
        num_heads: N, into which the units are divided, H/N each; N divides H. A row of weight_hh_l{k} multiplies the h
            of its own head. With more than one head, each step of a stream runs the layer's forward, which is slower.
            Default 1.
        initialise: how the weights are initialised, as of `Recurrent`. Default "xlstm", as the authors do: R = 0.

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of range.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.SLSTM(28, 256, num_heads=4)
        >>> y, (h, c, n, m) = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, c.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))

    Source: Beck et al. (2024); equations and paper in `carrousel.cells.slstm`.
    """

    _usual: ClassVar[dict[str, Any]] = {"initialise": "xlstm", "num_heads": 1}

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
        num_heads: int = 1,
        device: Device = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        whole = isinstance(num_heads, int) and isinstance(hidden_size, int) and num_heads > 0
        if not whole or hidden_size % num_heads:
            raise ValueError(f"num_heads={num_heads!r} must be a whole number that divides hidden_size={hidden_size}")
        if "proj_size" in ours:
            raise ValueError(f"proj_size={ours['proj_size']} does not go with SLSTM: leave it out")
        self.num_heads: int = num_heads
        ours.setdefault("initialise", "xlstm")
        options = (num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(ALL["slstm"], input_size, hidden_size, *options, device=device, dtype=dtype, **ours)

    @property
    def _packable(self) -> bool:  # type: ignore[override]
        return self.num_heads == 1

    def _kind(self) -> Kind:
        kind = super()._kind()
        return kind if self.num_heads == 1 else kind._replace(cell=f"{kind.cell} of {self.num_heads} heads")

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        return super()._shapes(width) | {"weight_hh": (4 * self.hidden_size, self.hidden_size // self.num_heads)}

    def extra_repr(self) -> str:
        """As `Recurrent`, with num_heads if it is not 1."""
        text = super().extra_repr().replace(", initialise='xlstm'", "")
        return text + (f", num_heads={self.num_heads}" if self.num_heads > 1 else "")
