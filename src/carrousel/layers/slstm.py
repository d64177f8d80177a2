"""sLSTM as a layer, with heads: units that are fed back to the units of their own head only.

Letters: I input, H hidden units, L layers, D directions, N heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from carrousel.cells import ALL
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.streaming.state import Kind

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carrousel.layers.options import LayerOptions


class SLSTM(Recurrent[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """sLSTM of xLSTM: exponential input gates, a normaliser and a stabiliser; with torch.nn.LSTM's arguments.

    hx is (h, c, n, m), each [L*D, B, H]: output, memory, normaliser, stabiliser. Zeros are the empty memory; the values
    of c and m where n is zero or less do not count, nor does any gradient reach them: with `learn_initial`
    h alone is learned from zeros. The weights have four blocks, z i f o. Arguments, shapes and what is raised:
    `Recurrent`. Equations and paper: `carrousel.cells.slstm`.

    Args:
        num_heads: N, into which the units are divided, H/N in each. weight_hh_l{k} is then [4*H, H/N]: the row of a
            unit multiplies h of its own head's units. A stream of several heads goes through the layer's forward at
            each step, which takes longer. Default 1.
        initialise: as of all layers, but by default "xlstm", as the authors begin: without feedback.

    Raises:
        ValueError: num_heads is not a whole number that divides hidden_size; else as `Recurrent`.
    """

    _usual: ClassVar = {"initialise": "xlstm", "num_heads": 1}

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
        device: Any = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        whole = isinstance(num_heads, int) and isinstance(hidden_size, int) and num_heads > 0
        if not whole or hidden_size % num_heads:
            raise ValueError(f"num_heads={num_heads!r} must be a whole number that divides hidden_size={hidden_size}")
        if "proj_size" in ours:
            raise ValueError(f"proj_size={ours['proj_size']} does not go with SLSTM: leave it out")
        self.num_heads = num_heads
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
        """As `Recurrent`, and the heads where they are several."""
        shown = super().extra_repr().replace(", initialise='xlstm'", "")
        return shown + (f", num_heads={self.num_heads}" if self.num_heads > 1 else "")
