"""mLSTM as a layer: a matrix memory without recurrent weights, trained chunk by chunk, streamed step by step.

Letters: T time, B batch, I input, H hidden units, L layers, D directions, N heads, d = H/N.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.types import Device
from typing_extensions import Unpack

from carrousel.fused import refuse_onnx, refuse_trace
from carrousel.layers.arguments import show_arguments
from carrousel.layers.initialization import fill_uniform
from carrousel.layers.mlstm.chunks import run_chunkwise
from carrousel.layers.mlstm.memory import (
    CELL,
    Memory,
    check_matrix_options,
    fill_as_the_authors,
    set_head_gates,
    split_rows,
    step,
)
from carrousel.layers.mlstm.sequence import Dense, Direction, Pairs, Sizes
from carrousel.layers.options import LayerOptions
from carrousel.layers.recurrent import Recurrent
from carrousel.layers.stack import gather_inside
from carrousel.layers.streaming.checks import describe
from carrousel.layers.streaming.state import Kind
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights


class MatrixKind(Kind):
    """The kind of an MLSTM, whose states have other shapes; its `cell` names the heads."""

    __slots__ = ()

    @property
    def heads(self) -> int:
        """N."""
        return int(self.cell.split()[1])

    def shapes(self, batch: int) -> list[tuple[int, ...]]:
        """C [L, B, N, d, d], n [L, B, N, d], m [L, B, N]."""
        return shapes_of_states((self.num_layers, batch), self.heads, self.hidden_size)

    def output(self, states: Sequence[Tensor]) -> Tensor:
        """A tensor like what a step returns [B, H]."""
        return states[0].new_empty(states[0].shape[1], self.hidden_size)


def shapes_of_states(first: tuple[int, ...], N: int, H: int) -> list[tuple[int, ...]]:
    """C, n and m of N heads, behind some other places."""
    return [(*first, N, H // N, H // N), (*first, N, H // N), (*first, N)]


@show_arguments
class MLSTM(Recurrent[tuple[Tensor, Tensor, Tensor]]):
    """mLSTM of xLSTM: each head has a matrix memory, into which keys write values and from which queries read.

    There are no recurrent weights: all steps of a chunk are computed at once. The results are those of step by step, to
    rounding, with lengths, offsets and resets too.

    The weights are weight_ih_l{k} [4*H + 2*N, I] and bias_ih_l{k} [4*H + 2*N], in blocks q k v o of H and i f of N:
    queries, keys, values, output gates, and the input and forget gate of each head; for k > 0 the input has D*H
    features. There is no weight_hh and no bias_hh. hx is the tuple (C [L*D, B, N, d, d], n [L*D, B, N, d], m [L*D, B,
    N]) with d = H/N: the memory, keys by values, the sum of the keys, and the logarithm of the scale of both. Zeros are
    the empty memory.

    With `return_states` the fields are h, C, n and m, with `return_gates` o, i and f; all are shaped as the output but
    for the last dimension: H of h and o, N, d, d of C, N, d of n, N of m, i and f. i and f are the gates that act: C' =
    f C + i k v^T. C has d times as many elements as the output, which a plain call never computes: 1.5 GB at T 365, B
    64, H 256 and four heads, four times that with gradients, six times in the backward pass. `return_gates` costs
    little.

    Args:
        num_heads: N, each with a matrix [H/N, H/N]; N divides H. Default 1.
        chunk_size: number of steps that are computed at once; affects speed and memory only. Default 64.
        initialise: "torch", or "xlstm" as the authors do: weights from N(0, 2/(5 I)), those of i and f zeros; the bias
            of i from N(0, 0.1), that of f from 3 to 6 over the heads, other biases zeros. Default "xlstm".
        learn_initial: whether the states at the start of a sequence are parameters: initial_C [L*D, 1, N, d, d],
            initial_n [L*D, 1, N, d], initial_m [L*D, 1, N]. They start as zeros, from which only C is learned at first:
            n and m have no effect until the denominator exceeds its lower bound. Default False.
        memory: what is saved for the backward pass. "full": everything. "low": the memory before each chunk; the
            backward pass computes the chunk again. That saves nothing for sequences within one chunk and one layer,
            under torch.compile, and in transforms of torch.func. Default "full".

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of range.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.MLSTM(28, 256, num_heads=4)
        >>> y, (C, n, m) = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, C.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 4, 64, 64]))

    Source: Beck et al. (2024), equations 19 to 27, and their code for the initial values;
    `carrousel.layers.mlstm.memory`.
    """

    _pointwise = False
    _packable = False  # there is no kernel: streams run by forward
    _usual: ClassVar[dict[str, Any]] = {"cell": CELL, "initialise": "xlstm", "num_heads": 1, "chunk_size": 64}
    _form = staticmethod(run_chunkwise)  # how a plain call computes a sequence

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
        chunk_size: int = 64,
        device: Device = None,
        dtype: torch.dtype | None = None,
        **ours: Unpack[LayerOptions],
    ) -> None:
        for name, value in (("num_heads", num_heads), ("chunk_size", chunk_size)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number above zero")
        if isinstance(hidden_size, int) and hidden_size % num_heads:
            raise ValueError(f"num_heads={num_heads} must divide hidden_size={hidden_size}")
        ours.setdefault("initialise", "xlstm")
        check_matrix_options(ours)
        self.num_heads: int = num_heads
        self.chunk_size: int = chunk_size
        options = (num_layers, bias, batch_first, dropout, bidirectional)
        super().__init__(CELL, input_size, hidden_size, *options, device=device, dtype=dtype, **ours)

    def reset_parameters(self) -> None:
        """Fill every parameter as `initialise`, `forget_bias` and `longest_lag` say; initial states are zeros."""
        with torch.no_grad():
            if self.initialise == "torch":
                fill_uniform(self._named_weights(), self.hidden_size)
            for weights in (self._weights(names) for directions in self._fields for names in directions):
                if self.initialise == "xlstm":
                    fill_as_the_authors(weights, self.num_heads)
                set_head_gates(weights, self.num_heads, self.forget_bias, self.longest_lag)
            for initial in self._initial() or ():
                nn.init.zeros_(initial)

    def extra_repr(self) -> str:
        """As `Recurrent`, with heads and chunks where they are unusual."""
        text = super().extra_repr().replace(", initialise='xlstm'", "")
        text += f", initialise={self.initialise!r}" if self.initialise != "xlstm" else ""
        for name, usual in (("num_heads", 1), ("chunk_size", 64)):
            text += f", {name}={getattr(self, name)}" if getattr(self, name) != usual else ""
        return text

    def _kind(self) -> Kind:
        sizes = (self.input_size, self.hidden_size, self.num_layers, 0)
        return MatrixKind(type(self).__name__, f"mlstm {self.num_heads} heads", CELL.states, *sizes)

    def _shapes(self, width: int) -> dict[str, tuple[int, ...]]:
        rows = 4 * self.hidden_size + 2 * self.num_heads
        return {"weight_ih": (rows, width)} | ({"bias_ih": (rows,)} if self.bias else {})

    def _sizes_of_states(self, places: int) -> list[tuple[int, ...]]:
        return shapes_of_states((places,), self.num_heads, self.hidden_size)

    # ---- what input and states are expected to be

    def _check_state_dims(self, hx: Any, dims: int) -> None:
        batch = ("B",) if dims == 3 else ()
        shapes = [(size[0], *batch, *size[1:]) for size in self._state_sizes]
        form = ", ".join(f"{name} [{', '.join(map(str, shape))}]" for name, shape in zip(CELL.states, shapes))
        if not isinstance(hx, (tuple, list)) or not all(isinstance(state, Tensor) for state in hx):
            got = describe(hx) if not isinstance(hx, (tuple, list)) else f"({', '.join(map(describe, hx))})"
            raise TypeError(f"MLSTM: hx is {got}, expected a tuple of three tensors: {form}")
        if len(hx) != len(shapes):
            raise RuntimeError(f"MLSTM: hx has {len(hx)} states, expected three: {form}")
        for name, state, shape in zip(CELL.states, hx, shapes):
            if state.dim() != len(shape):
                raise RuntimeError(
                    f"MLSTM: {name} of hx is {describe(state)}, expected {len(shape)} dimensions: {form}"
                )

    def _check_states(self, x: Tensor, hx: Any, B: int) -> None:
        for name, state, (places, *rest) in zip(CELL.states, hx, self._state_sizes):
            self.check_hidden_size(state, (places, B, *rest), f"MLSTM: expected {name} of hx size {{}}, got {{}}")

    # ---- who computes

    def _by_stack(  # type: ignore[override]
        self,
        cell: Any,
        x: Tensor,
        hx: tuple[Tensor, ...] | None,
        weights: list[list[Weights]],
        rows: Rows,
        options: Options,
        restored: tuple[Tensor, ...] | None,
        dropout: float,
        masks: None,
    ) -> tuple[Tensor, tuple[Tensor, ...], Any]:
        """`run_stack` of mLSTM; hx and restored are C [L*D, B, N, d, d], n [L*D, B, N, d], m [L*D, B, N]."""
        refuse_onnx(cell)
        refuse_trace(cell)
        sizes = Sizes(self.num_heads, self.chunk_size, self._form)
        way: Any = Pairs(sizes, rows, options, x) if rows.is_ragged or rows.is_flat else Dense(sizes, rows, options)
        starts = split_places(self._in_full(x, hx, rows))
        initial = None if restored is None else split_places(self._in_full(x, restored, rows))
        names = ("C", "n", "m") * options.states + ("o", "i", "f") * options.gates
        x, finals, inside = way.enter(x), [], []
        for depth, directions in enumerate(weights):
            x = torch.dropout(x, dropout, True) if dropout and depth else x
            ys = []
            for reverse, of_one in zip((False, True), directions):
                place = len(finals)
                y, final, per_step = way.run(
                    x, Direction(of_one, starts[place], initial[place] if initial else None, reverse)
                )
                ys.append(y)
                finals.append(final)
                per_step = ({"h": y} if options.states else {}) | {name: per_step[name] for name in names}
                inside.append({name: way.leave(tensor) for name, tensor in per_step.items()})
            x = ys[0] if len(ys) == 1 else torch.cat(ys, -1)
        states = tuple(torch.stack(tensors) for tensors in zip(*finals))
        return way.leave(x), states, gather_inside(inside) if options.asks_inside else None

    _by_autocast = _by_stack  # type: ignore[assignment]

    def _run_stream(self, x: Tensor, states: Any, y: Tensor) -> None:
        time = 1 if self.batch_first else 0
        if x.shape[time] > 1:
            return super()._run_stream(x, states, y)
        h = x.select(time, 0)  # [B, I]
        for (names,), memory in zip(self._fields, split_places(states)):
            weights = self._weights(names)
            inputs, o = split_rows(linear(h, weights.W, weights.b_x), self.num_heads)
            h, new = step(inputs, memory)
            h = o * h.flatten(1)
            for old, tensor in zip(memory, new):
                old.copy_(tensor)
        y.select(time, 0).copy_(h)


def split_places(states: tuple[Tensor, ...]) -> list[Memory]:
    """C, n, m [L*D, ...] as L*D memories."""
    return [Memory(*tensors) for tensors in zip(*(state.unbind(0) for state in states))]
