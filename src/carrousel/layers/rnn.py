"""Elman's network in the place of torch.nn.RNN.

Letters: H hidden units, L layers, D directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor

from carrousel.cells import ALL
from carrousel.layers.checks import check_no_projection
from carrousel.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carrousel.layers.options import LayerOptions


class RNN(Recurrent[Tensor]):
    """Elman's network in the place of torch.nn.RNN: its arguments, parameters, numbers and errors.

    hx is h [L*D, B, H]. The fourth argument is `nonlinearity`, "tanh" (default) or "relu"; the others, shapes and what
    is raised: `Recurrent`, but for proj_size, which is refused. Equations and paper: `carrousel.cells.elman`.

    Raises:
        ValueError: another nonlinearity, besides what `Recurrent` raises.
    """

    @overload
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
        *,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        nonlinearity: str,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: Literal[0],  # torch.nn.RNN has this place, and nothing to put there
        device: Any = None,
        dtype: torch.dtype | None = None,
        /,
        **ours: Unpack[LayerOptions],
    ) -> None: ...

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
        proj_size: int = 0,
        device: Any = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        check_no_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(ALL[f"rnn_{nonlinearity}"], input_size, hidden_size, *options, **ours)
        self.nonlinearity = nonlinearity

    def _describe_wrong_dims(self, dims: int) -> str:
        return super()._describe_wrong_dims(dims).replace("D instead", "D tensor instead")  # torch's words
