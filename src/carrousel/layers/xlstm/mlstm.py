"""mLSTM as a layer: a matrix memory without recurrent weights, trained chunk by chunk, streamed step by step.

Letters: T time, B batch, I input, H hidden units, L layers, N heads, d = H/N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid

from carrousel.layers.checks import check_options
from carrousel.layers.streaming.checks import check_block, check_no_grad, check_state, told
from carrousel.layers.streaming.state import Kind, State, Streams
from carrousel.layers.xlstm.matrix_memory import Inputs, Memory, chunkwise, step
from carrousel.scan.layout import Layout, check_layout, whole_numbers

States = tuple[Tensor, Tensor, Tensor]


class MatrixKind(Kind):
    """The kind of an MLSTM, whose states have other shapes; its `cell` names the heads."""

    __slots__ = ()

    @property
    def heads(self) -> int:
        """N."""
        return int(self.cell.split()[1])

    def shapes(self, batch: int) -> list[tuple[int, ...]]:  # type: ignore[override]
        """C [L, B, N, d, d], n [L, B, N, d], m [L, B, N]."""
        L, N, d = self.num_layers, self.heads, self.hidden_size // self.heads
        return [(L, batch, N, d, d), (L, batch, N, d), (L, batch, N)]


class MLSTM(nn.Module):
    """mLSTM of xLSTM: every head has a matrix, into which keys write values and from which queries read.

    It has no weights from step to step: all steps of a chunk are computed at once, and the numbers are those of step by
    step, to rounding.

    Args:
        input_size: I.
        hidden_size: H, divided among the heads.
        num_layers: L, each fed with the outputs of the one before. Default 1.
        bias: a vector is added to W x. Default True.
        batch_first: input and output are [B, T, .]; states never. Default False.
        dropout: the probability that an output between two layers is zeroed in training. Default 0.
        num_heads: N, each with a matrix [H/N, H/N]. Default 1.
        chunk_size: how many steps are computed at once. Only speed and memory depend on it. Default 64.
        device, dtype: of the parameters. Default: torch's.

    For each layer k there are weight_ih_l{k} [4*H + 2*N, I] (H in place of I when k > 0) and, with `bias`, bias_ih_l{k}
    [4*H + 2*N], in blocks q k v o of H and i f of N: queries, keys, values, output gates, and each head's input and
    forget gate. As xLSTM's authors do, weights begin as N(0, 2/(5 I)), those of i and f as zeros, the bias of i as
    N(0, 0.1), that of f from 3 to 6 over the heads, the others as zeros.

    Raises:
        TypeError, ValueError: an option is not of its type or out of its range.

    Source: Beck et al. 2024, equations 19 to 27, and their code for initial values. Papers and forms:
    `carrousel.layers.xlstm.matrix_memory`.
    """

    regularization = None  # as of layers that have it: what checks a stream asks
    _form = staticmethod(chunkwise)  # in what form a sequence is computed

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        *,
        num_heads: int = 1,
        chunk_size: int = 64,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_options(input_size, hidden_size, num_layers, bias, batch_first, dropout, 0)
        for name, value in (("num_heads", num_heads), ("chunk_size", chunk_size)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number above zero")
        if hidden_size % num_heads:
            raise ValueError(f"num_heads={num_heads} must divide hidden_size={hidden_size}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.num_heads, self.chunk_size = num_heads, chunk_size
        self._streams = Streams()
        for layer in range(num_layers):
            rows, width = 4 * hidden_size + 2 * num_heads, hidden_size if layer else input_size
            weight = torch.empty(rows, width, device=device, dtype=dtype)
            self.register_parameter(f"weight_ih_l{layer}", nn.Parameter(weight))
            self.register_parameter(f"bias_ih_l{layer}", nn.Parameter(weight.new_empty(rows)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter as at first."""
        H, N = self.hidden_size, self.num_heads
        with torch.no_grad():
            for weight, bias in map(self._weights_of, range(self.num_layers)):
                nn.init.normal_(weight[: 4 * H], std=math.sqrt(2 / (5 * weight.shape[1])))
                nn.init.zeros_(weight[4 * H :])
                if bias is not None:
                    nn.init.zeros_(bias[: 4 * H])
                    nn.init.normal_(bias[4 * H : 4 * H + N], std=0.1)
                    bias[4 * H + N :].copy_(torch.linspace(3, 6, N))

    def extra_repr(self) -> str:
        """What stands between the brackets of repr: sizes, and options that are unusual."""
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "num_heads": 1, "chunk_size": 64}
        options = [f"{name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join([f"{self.input_size}", f"{self.hidden_size}", *options])

    def forward(
        self, input: Tensor, hx: States | None = None, *, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, States]:
        """Run the layers over a sequence.

        Args:
            input: [T, B, I]; [B, T, I] with `batch_first`; [T, I] without a batch.
            hx: the memories to start from: C [L, B, N, d, d], n [L, B, N, d], m [L, B, N]; without B where the input
                has none. Default zeros, the empty memory.
            lengths: how many steps each row of the batch has [B], from 0 to T. Beyond them the output is zero.

        Returns:
            The last layer's h of every step, shaped as the input with H in the last place; and the memories after each
            row's last step, as hx.

        Raises:
            TypeError, ValueError: input, hx or lengths do not fit the layer.
        """
        if not isinstance(input, Tensor) or input.dim() not in (2, 3):
            got = list(input.shape) if isinstance(input, Tensor) else f"a {type(input).__name__}"
            raise ValueError(
                f"MLSTM: input is {got}, expected a tensor of 2 or 3 dimensions; lengths= in place of packing"
            )
        if input.dim() == 2:
            if lengths is not None:
                raise ValueError("lengths is given with an input without a batch, which has the length T: leave it out")
            states = hx if hx is None else tuple(state.unsqueeze(1) for state in hx)
            y, last = self.forward(input.unsqueeze(0 if self.batch_first else 1), states)  # type: ignore[arg-type]
            return y.squeeze(0 if self.batch_first else 1), tuple(state.squeeze(1) for state in last)  # type: ignore
        there = self._there(input, lengths)
        x = input if self.batch_first else input.transpose(0, 1)
        y, last = self._run(x, self._memories(x, hx), there)
        return y if self.batch_first else y.transpose(0, 1), last

    if TYPE_CHECKING:  # nn.Module calls forward, but does not tell type checkers what it returns
        __call__ = forward

    # ---- streams

    def start(self, batch: int = 1, hx: States | None = None) -> State:
        """A state for streams that begin here: `batch` with the empty memory, or those of hx, as `forward` has it.

        Raises:
            TypeError, ValueError: batch is no number of sequences, or hx does not fit the layer.
            RuntimeError: hx requires a gradient, and streams have none.
        """
        if not isinstance(batch, int) or isinstance(batch, bool) or batch < 0:
            raise TypeError(f"MLSTM.start: batch={batch!r} must be an int, the number of sequences")
        if hx is not None:
            check_three(hx)
        B = batch if hx is None else hx[0].shape[1]
        memories = self._memories(self._weights_of(0)[0].new_empty(B, 1, self.input_size), hx)
        if torch.is_grad_enabled():
            check_no_grad("MLSTM.start", [("hx", tensor) for tensor in memories])
        return State(self._kind(), self._streams.identity, memories)

    def step(self, input: Tensor, state: State) -> Tensor:
        """One step [B, I] of every sequence, and its h [B, H]; the state moves on.

        Raises:
            TypeError, ValueError, RuntimeError: as of other layers' `step`.
        """
        if not isinstance(input, Tensor) or input.dim() != 2:
            raise ValueError(f"MLSTM.step: input is {told(input)}, expected [B, {self.input_size}]")
        time = 1 if self.batch_first else 0
        return self.block(input.unsqueeze(time), state).squeeze(time)

    def block(self, input: Tensor, state: State) -> Tensor:
        """A block of steps [T, B, I], [B, T, I] with `batch_first`, and their h; the state moves on.

        Raises:
            TypeError, ValueError, RuntimeError: as of other layers' `block`.
        """
        check_state(self, state, "block")  # type: ignore[arg-type]
        check_block(self, input, state)  # type: ignore[arg-type]
        x = input if self.batch_first else input.transpose(0, 1)
        if not x.shape[1]:
            return input.new_empty(*input.shape[:2], self.hidden_size)
        with torch.no_grad():
            y, last = self._run(x, state._tensors, None)
            for old, new in zip(state._tensors, last):
                old.copy_(new)
        return y if self.batch_first else y.transpose(0, 1)

    # ---- what they are made of

    def _kind(self) -> Kind:
        sizes = (self.input_size, self.hidden_size, self.num_layers, 0)
        return MatrixKind("MLSTM", f"mlstm {self.num_heads} heads", ("C", "n", "m"), *sizes)

    def _beginning(self) -> None:
        """Streams begin with zeros: `State.load` asks."""

    def _weights_of(self, layer: int) -> tuple[Tensor, Tensor | None]:
        return getattr(self, f"weight_ih_l{layer}"), getattr(self, f"bias_ih_l{layer}")

    def _run(self, x: Tensor, memories: Any, there: Tensor | None) -> tuple[Tensor, States]:
        """x [B, T, I] -> y [B, T, H]; memories [L, ...]; there [B, T], or None where every row has every step."""
        lasts = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = torch.dropout(x, self.dropout, self.training)
            x, last = self._run_layer(x, Memory(*(tensor[layer] for tensor in memories)), there, layer)
            lasts.append(last)
        C, n, m = (torch.stack(tensors) for tensors in zip(*lasts))
        return x, (C, n, m)

    def _run_layer(self, x: Tensor, memory: Memory, there: Tensor | None, layer: int) -> tuple[Tensor, Memory]:
        """`_run` of one layer."""
        H, N = self.hidden_size, self.num_heads
        *wide, i, f = linear(x, *self._weights_of(layer)).split([H, H, H, H, N, N], -1)
        q, k, v, o = (rows.unflatten(-1, (N, -1)).transpose(1, 2) for rows in wide)  # [B, N, T, d]
        i, log_f = i.transpose(1, 2), logsigmoid(f).transpose(1, 2)
        if there is not None:
            i, log_f = i.masked_fill(~there[:, None], -math.inf), log_f.masked_fill(~there[:, None], 0.0)
        inputs = Inputs(q, k / math.sqrt(H // N), v, i, log_f)
        if x.shape[1] == 1 and there is None:
            h, memory = step(Inputs(*(rows[:, :, 0] for rows in inputs)), memory)
            h = h.unsqueeze(2)
        else:
            h, memory = self._form(inputs, memory, self.chunk_size)
        y = (torch.sigmoid(o) * h).transpose(1, 2).flatten(2)
        return y if there is None else y.masked_fill(~there[..., None], 0.0), memory

    def _there(self, x: Tensor, lengths: Any) -> Tensor | None:
        """Which steps there are [B, T], once x and the lengths are known to fit."""
        weight = self._weights_of(0)[0]
        if x.shape[2] != self.input_size or not x.shape[1 if self.batch_first else 0]:
            order = "B, T" if self.batch_first else "T, B"
            raise ValueError(
                f"MLSTM: input is {list(x.shape)}, expected [{order}, {self.input_size}] with T of 1 or more"
            )
        if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(f"MLSTM: input is {x.dtype}, and the layer {weight.dtype}: convert one with .to()")
        if lengths is None:
            return None
        numbers = whole_numbers("lengths", lengths)
        if not torch.compiler.is_compiling():  # where numbers are not known yet
            check_layout(x, Layout(lengths=numbers, batch_first=self.batch_first))
        T = x.shape[1 if self.batch_first else 0]
        return (torch.arange(T) < numbers[:, None]).to(x.device)

    def _memories(self, x: Tensor, hx: Any) -> States:
        """hx for x [B, T, I], or the empty memories.

        Raises:
            TypeError, ValueError: hx does not fit.
        """
        kind = self._kind()
        shapes = kind.shapes(x.shape[0])
        if hx is None:
            C, n, m = (x.new_zeros(shape) for shape in shapes)
            return C, n, m
        check_three(hx)
        for name, tensor, shape in zip(kind.states, hx, shapes):
            if tensor.shape != shape or tensor.dtype != x.dtype:
                got = f"{list(tensor.shape)} in {tensor.dtype}"
                raise ValueError(f"MLSTM: {name} of hx is {got}, expected {list(shape)} in {x.dtype}")
        return hx


def check_three(hx: Any) -> None:
    """Raise TypeError unless hx is a tuple of three tensors that have a batch."""
    whole = isinstance(hx, tuple) and len(hx) == 3 and all(isinstance(tensor, Tensor) for tensor in hx)
    if not whole or min(tensor.dim() for tensor in hx) < 3:
        form = "C [L, B, N, d, d], n [L, B, N, d], m [L, B, N]"
        raise TypeError(f"MLSTM: hx is {told(hx)}, expected a tuple of three tensors ({form})")
