"""GRU in the place of torch.nn.GRU.

Letters: H hidden units, L layers, D directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor

from carrousel.cells import ALL
from carrousel.layers.checks import check_no_projection
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.regularization import regularization

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carrousel.layers.options import LayerOptions


class GRU(Recurrent[Tensor]):
    """Gated recurrent unit in the place of torch.nn.GRU: its arguments, parameters, numbers and errors.

    hx is h [L*D, B, H]; the blocks of the weights are r z n. Arguments, shapes and what is raised: `Recurrent`, but for
    proj_size, which is refused. Equations and paper: `carrousel.cells.gru`.

    Args:
        recurrent_dropout, variational_dropout, drop_connect: as `LSTM` has them; the candidate is n.
        zoneout: as `LSTM` has it; one number, of h.
    """

    @overload
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
        recurrent_dropout: float = 0.0,
        variational_dropout: float | tuple[float, float] = 0.0,
        zoneout: float = 0.0,
        drop_connect: float = 0.0,
        **ours: Unpack[LayerOptions],
    ) -> None: ...

    @overload
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: Literal[0],  # torch.nn.GRU has this place, and nothing to put there
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
        zoneout: float = 0.0,
        drop_connect: float = 0.0,
        **ours: Unpack[LayerOptions],
    ) -> None:
        check_no_projection(proj_size)
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(ALL["gru"], input_size, hidden_size, *options, **ours)
        self.regularization = regularization(
            self.cell, 0, recurrent_dropout, variational_dropout, zoneout, drop_connect
        )
