"""LSTM, GRU and RNN in the place of torch.nn's; and cells that torch has not, with the same arguments.

Letters: H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.layers.checks import check_no_projection
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.regularization import regularization

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from carrousel.layers.options import Options


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
        **ours: Unpack[Options],
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
        **ours: Unpack[Options],
    ) -> None:
        options = (num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype)
        super().__init__(ALL["lstm"], input_size, hidden_size, *options, **ours)
        self.regularization = regularization(
            self.cell, self.proj_size, recurrent_dropout, variational_dropout, zoneout, drop_connect
        )


class PeepholeLSTM(LongShortTermMemory):
    """LSTM whose gates see the internal state, with torch.nn.LSTM's arguments and its parameters.

    hx is (h [L*D, B, P], c [L*D, B, H]); the blocks of the weights are i f g o. After each layer's weights with torch's
    names stands weight_ch_l{k} [3*H], the peepholes of i f o. Arguments, shapes and what is raised: `Recurrent`.
    Equations and paper: `carrousel.cells.peephole`.
    """

    CELL = ALL["peephole"]


class CoupledLSTM(LongShortTermMemory):
    """LSTM whose forget gate is one minus its input gate (CIFG), with torch.nn.LSTM's arguments.

    hx is (h [L*D, B, P], c [L*D, B, H]); the weights have three blocks, i g o: weight_ih_l{k} [3*H, I]. Arguments,
    shapes and what is raised: `Recurrent`. Equations and paper: `carrousel.cells.coupled`.
    """

    CELL = ALL["coupled"]


class LayerNormLSTM(LongShortTermMemory):
    """LSTM with layer normalisation, with torch.nn.LSTM's arguments but proj_size, and its parameters.

    W x, R h and the new internal state on its way out are normalised, each over all its numbers: the first two over
    the 4*H of i f g o together, as the paper has it, and not gate by gate as TensorFlow does; 1e-5 is added to the
    variance. Gains start at 1, the bias at 0.

    hx is (h [L*D, B, H], c [L*D, B, H]); the blocks of the weights are i f g o. After each layer's weights with torch's
    names stands weight_ln_l{k} [10*H]: the gains of W x [4*H] and of R h [4*H], and the gain [H] and the bias [H] of
    the normalised state. bias_ih and bias_hh are added after the normalisation. Arguments, shapes and what is raised:
    `Recurrent`, but for proj_size, which is refused. Equations and paper (Ba, Kiros & Hinton 2016):
    `carrousel.cells.layer_norm_lstm`.
    """

    CELL = ALL["layer_norm_lstm"]


class LSTM1997(LongShortTermMemory):
    """The LSTM of 1997, which never forgets, with torch.nn.LSTM's arguments.

    hx is (h [L*D, B, P], c [L*D, B, H]); the weights have three blocks, i g o: weight_ih_l{k} [3*H, I]. Arguments,
    shapes and what is raised: `Recurrent`. Equations and paper: `carrousel.cells.lstm1997`.
    """

    CELL = ALL["lstm1997"]


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
        **ours: Unpack[Options],
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
        **ours: Unpack[Options],
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
        **ours: Unpack[Options],
    ) -> None:
        check_no_projection(proj_size)
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(ALL["gru"], input_size, hidden_size, *options, **ours)
        self.regularization = regularization(
            self.cell, 0, recurrent_dropout, variational_dropout, zoneout, drop_connect
        )


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
        **ours: Unpack[Options],
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
        **ours: Unpack[Options],
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
        **ours: Unpack[Options],
    ) -> None:
        check_no_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        options = (num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype)
        super().__init__(ALL[f"rnn_{nonlinearity}"], input_size, hidden_size, *options, **ours)
        self.nonlinearity = nonlinearity

    def _wrong_dims(self, dims: int) -> str:
        return super()._wrong_dims(dims).replace("D instead", "D tensor instead")  # torch's words
