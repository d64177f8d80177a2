"""Any cell over time, as a layer with the arguments and manners of torch.nn's recurrent layers.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from torch import Tensor
from torch.fx import _symbolic_trace as symbolic_trace
from torch.nn.utils.rnn import PackedSequence

from carrousel.layers.arguments import show_arguments
from carrousel.layers.autocast import rounds, run_rounded
from carrousel.layers.checks import check_dense_states
from carrousel.layers.fx_graph import record_call
from carrousel.layers.per_sample import describe_refusal, has_expanded_weights, without_onednn
from carrousel.layers.regularization import draw_of_call
from carrousel.layers.sequences import (
    as_tuple,
    check_initial,
    check_padding,
    options_of,
    rows_of,
    rows_of_one,
    rows_of_packed,
)
from carrousel.layers.stack import each, run_stack
from carrousel.layers.streaming.layer import Streaming
from carrousel.layers.torch_backend import Flags, belongs_to_torch, run_torch
from carrousel.layers.torch_contract import KEYWORD_ONLY
from carrousel.scan.options import Options
from carrousel.scan.rows import BATCH_FIRST, DENSE, Rows
from carrousel.scan.weights import Weights

States = TypeVar("States")  # hx: a tensor [L*D, B, P], or a tuple of it and [L*D, B, H] for each further state


# Not a torch.nn.RNNBase, and LSTM no torch.nn.LSTM. torch.compile refuses to trace instances of torch.nn.LSTM, GRU and
# RNN; tools that look for torch.nn.LSTM by isinstance (quantisation, pruning) put torch's kernels in its place; RNNBase
# keeps a list of the weights beside the parameters, which has to be kept true. The price: a program that asks
# isinstance(layer, torch.nn.LSTM) must ask for carrousel.LSTM too.
@show_arguments
class Recurrent(Streaming, Generic[States]):
    """A layer over any cell, with the arguments and behaviour of torch.nn's recurrent layers.

    For each layer k and direction there are these parameters, in this order: weight_ih_l{k} [len(from_x)*H, I] and
    weight_hh_l{k} [len(from_h)*H, P], in the blocks of the cell's from_x and from_h; bias_ih_l{k} [len(from_x)*H] and
    bias_hh_l{k} [len(from_h)*H]; with `proj_size`, weight_hr_l{k} [P, H]; for a cell with weights of its own,
    weight_ch_l{k} [len(weights)*H], called weight_ln_l{k} if the cell normalises. For k > 0 the input has D*P features.
    A cell whose from_h is empty has no weight_hh and no bias_hh.

    hx is a tensor h [L*D, B, P] for a cell with one state, else the tuple of it and [L*D, B, H] for each other state.

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of range.

    Example:
        >>> import torch, carrousel
        >>> layer = carrousel.Recurrent(carrousel.cells.ALL["peephole"], 28, 256)
        >>> y, (h, c) = layer(torch.randn(35, 32, 28))  # [T, B, I]
        >>> y.shape, c.shape
        (torch.Size([35, 32, 256]), torch.Size([1, 32, 256]))
    """

    @overload
    def forward(
        self,
        input: Tensor,
        hx: States | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        offsets: Tensor | Sequence[int] | None = None,
        padding_value: float = 0.0,
        resets: Tensor | None = None,
        initial: States | None = None,
        seed: int | None = None,
        return_states: Literal[False] = False,
        return_gates: Literal[False] = False,
    ) -> tuple[Tensor, States]: ...

    @overload
    def forward(
        self,
        input: PackedSequence,
        hx: States | None = None,
        *,
        resets: Tensor | None = None,
        initial: States | None = None,
        seed: int | None = None,
        return_states: Literal[False] = False,
        return_gates: Literal[False] = False,
    ) -> tuple[PackedSequence, States]: ...

    @overload
    def forward(
        self,
        input: Any,
        hx: States | None = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        offsets: Tensor | Sequence[int] | None = None,
        padding_value: float = 0.0,
        resets: Tensor | None = None,
        initial: States | None = None,
        seed: int | None = None,
        return_states: bool = False,
        return_gates: bool = False,
    ) -> tuple[Any, States, Any]: ...

    def forward(
        self,
        input: Any,
        hx: Any = None,
        *,
        lengths: Any = None,
        offsets: Any = None,
        padding_value: float = 0.0,
        resets: Any = None,
        initial: Any = None,
        seed: int | None = None,
        return_states: bool = False,
        return_gates: bool = False,
    ) -> tuple[Any, ...]:
        """Run the layers over a sequence.

        Args:
            input: [T, B, I]; [B, T, I] with `batch_first`; [T, I] without a batch; [N, I] with `offsets`; or a
                PackedSequence.
            hx: the states to start from: a tensor [L*D, B, P], for a cell with states h and c the tuple of it and
                [L*D, B, H]; without B where the input has none. Default: `initial`.
            lengths: how many steps each row of the batch has [B], from 0 to T, in any order. What the input holds
                beyond them is not read. Default: T for all.
            offsets: in place of `lengths`, for sequences that lie end to end in the input: row b is
                input[offsets[b]:offsets[b+1]], offsets [B+1] run from 0 to N.
            padding_value: what the output holds beyond a row's length, any number, NaN and infinities too. Default 0.
            resets: bool, [T, B]; [B, T] with `batch_first`, [T] without a batch, [N] with `offsets`; [T, B] or [B, T]
                of the padded form for a PackedSequence. Where true, a new sequence begins with that step: the states
                before it are `initial`, and no gradient goes from it to earlier steps. The results are those of the
                sequences split there by hand, in both directions; hx starts the first part in the one, the last part
                in the other, and the states returned are those after the last part and before the first.
            initial: the states that resets restore, shaped as hx, with 1 or B in the place of B; they may be
                parameters. Default: what is learned with `learn_initial`, else zeros.
            seed: of the random masks of a layer that has any (`LSTM`, `GRU`), in training: the same masks for the same
                seed. Not of `dropout`. In evaluation no mask is drawn, and the seed changes nothing: one call serves
                both. Default: a number of torch's default generator.
            return_states: return, third, the states of every step too. Default False.
            return_gates: return, third, the gates of every step too: each row of the cell after its function, such as
                i = sigmoid(W_i x + R_i h + b_i), by the row's name. Default False.

        Returns:
            The last layer's h of every step, shaped as the input with D*P in the last place; and the states after each
            row's last step, shaped as hx: those it started from, for a row of length 0. A row has the same bits in any
            batch of two or more; alone it is added up in another order, and differs by rounding (docs/tools.md).

            With `return_states` or `return_gates`, third, a named tuple: a field for each state and then for each gate
            asked for, such as h, c, i, f, g, o of an LSTM (g is tanh, the others sigmoid), h, r, z, n of a GRU. A field
            is a tuple of L*D tensors, the k-th of the layer and direction that hx[.][k] is of, shaped as the output
            with H in the last place, h with P; of a PackedSequence each is one. Gradients go back through all of them.
            They are the layer's own memory, not copies: to change one in place before the backward pass is an error.

        Raises:
            TypeError: lengths, offsets or seed are not integers, padding_value no number, resets, return_states or
                return_gates not bool.
            ValueError: the input has neither 2 nor 3 dimensions, or not the weights' dtype; or lengths, offsets, resets
                or initial do not fit the input and the layer; or padding_value is given without lengths, or seed to a
                layer without masks.
            RuntimeError: the sizes of input or hx do not fit the layer, or there are no steps at all; or a tensor is
                sparse, nested or in oneDNN's layout.
        """
        if symbolic_trace._is_fx_tracing_flag:  # torch's own function for this takes longer than all that follows
            values = (lengths, offsets, padding_value, resets, initial, seed, return_states, return_gates)
            node: Any = record_call(Recurrent.forward, self, input, hx, **dict(zip(KEYWORD_ONLY, values)))
            if node is not None:
                return node
        if lengths is None and not (type(padding_value) is float and padding_value == 0):
            check_padding(padding_value, lengths)
        options = options_of(return_states, return_gates)
        if isinstance(input, PackedSequence):
            rows = rows_of_packed(input, self.batch_first, lengths, offsets, resets)
            return self._forward_packed(input, hx, rows, options, initial, seed)
        if self._dims_of_call(input, hx, offsets) == 2 and offsets is None:
            rows = rows_of_one(input, self.batch_first, lengths, resets)
            return self._forward_unbatched(input, hx, rows, options, initial, seed)
        if lengths is None and offsets is None and resets is None:
            rows = BATCH_FIRST if self.batch_first else DENSE
        else:
            rows = rows_of(input, self.batch_first, lengths, offsets, resets, padding_value)
        y, hx, inside = self._run(input, hx, rows, options, initial, seed)
        return (y, hx) if inside is None else (y, hx, inside)

    # Who computes a stack of layers: functions with the arguments of `run_stack`.
    _by_stack: Callable[..., tuple[Any, ...]] = staticmethod(run_stack)
    _by_autocast: Callable[..., tuple[Any, ...]] = staticmethod(run_rounded)

    if TYPE_CHECKING:  # nn.Module calls forward, but does not tell type checkers what it returns
        __call__ = forward

    def _forward_unbatched(
        self, x: Tensor, hx: Any, rows: Rows, options: Options, initial: Any, seed: Any
    ) -> tuple[Any, ...]:
        batch = 0 if self.batch_first else 1
        if hx is not None:
            check_dense_states(self.cell, "hx", hx)
        hx = None if hx is None else self._map(hx, Tensor.unsqueeze, 1)
        initial = None if initial is None else tuple([state.unsqueeze(1) for state in as_tuple(initial)])
        y, hx, inside = self._run(x.unsqueeze(batch), hx, rows, options, initial, seed)
        y, hx = y.squeeze(batch), self._map(hx, Tensor.squeeze, 1)
        return (y, hx) if inside is None else (y, hx, each(inside, lambda tensor: tensor.squeeze(batch)))

    def _forward_packed(
        self, packed: PackedSequence, hx: Any, rows: Rows, options: Options, initial: Any, seed: Any
    ) -> tuple[Any, ...]:
        x, batch_sizes, order, back = packed
        if initial is not None and order is not None:
            in_order = check_initial(self.cell, self._state_sizes, initial, rows.batch(x), x)
            initial = tuple([state if state.shape[1] == 1 else state.index_select(1, order) for state in in_order])
        if hx is not None:
            self._check_state_dims(hx, 3)
            check_dense_states(self.cell, "hx", hx)
            hx = self.permute_hidden(hx, order)
        y, hx, inside = self._run(x, hx, rows, options, initial, seed, order)
        y, hx = PackedSequence(y, batch_sizes, order, back), self.permute_hidden(hx, back)
        if inside is None:
            return y, hx
        return y, hx, each(inside, lambda tensor: PackedSequence(tensor, batch_sizes, order, back))

    def _run(
        self, x: Tensor, hx: Any, rows: Rows, options: Options, initial: Any, seed: Any, order: Tensor | None = None
    ) -> tuple[Tensor, Any, Any]:
        """x [T, B, I], [B, T, I] or [N, I], as `rows` says; hx and initial with their batch, or None.

        The rows of packed data have the caller's `order` [B].
        """
        weights = [[self._weights(names) for names in layer] for layer in self._fields]
        states = None if hx is None else tuple(hx) if self._many_states else (hx,)
        if rows.is_flat or not self._fits(x, states, weights[0][0].W):
            if has_expanded_weights(self._parameters.values()):
                return self._run_per_sample(x, hx, rows, options, initial)
            self._check_call(x, hx, weights[0][0].W, rows)
        if initial is None and self._initial_names:
            initial = self._initial()
        if initial is not None:
            initial = check_initial(self.cell, self._state_sizes, initial, rows.batch(x), x)
            states = initial if states is None else states
        draw = draw_of_call(self._get_name(), self.regularization, self.cell, self.training, seed, order)
        plain = draw is None and rows.resets is None and not rows.is_ragged and not options.asks_inside
        rounded = rounds(weights[0][0].W)
        if plain and belongs_to_torch(self._standard, self.cell, x, weights[0][0].W, rounded):
            inside = None
            y, states = self._run_torch(x, states, weights, rows)
        else:
            dropout = self.dropout if self.training else 0.0
            restored = None if rows.resets is None else initial
            cell = self.cell if draw is None else draw.cell
            options = options if self.memory == "full" else options._replace(memory=self.memory)
            run = self._by_autocast if rounded else self._by_stack
            try:
                y, states, inside = run(cell, x, states, weights, rows, options, restored, dropout, draw)
            except (RuntimeError, ValueError):
                if has_expanded_weights(self._parameters.values()):  # but for the first: it would have been seen above
                    return self._run_per_sample(x, hx, rows, options, initial)
                self._refuse_weights()
                raise
        return y, states if self._many_states else states[0], inside

    def _run_torch(
        self, x: Tensor, states: tuple[Tensor, ...] | None, weights: list[list[Weights]], rows: Rows
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        flags = (self.bias, self.num_layers, self.dropout, self.training, bool(self.bidirectional), self.batch_first)
        states = self._in_full(x, states, rows)
        return run_torch(self.cell, x, states, weights, Flags(*flags), rows.batch_sizes)

    def _run_per_sample(
        self, x: Tensor, hx: Any, rows: Rows, options: Options, initial: Any
    ) -> tuple[Tensor, Any, None]:
        """`_run` with ExpandedWeights: torch's functions know them, our kernels do not."""
        is_plain = rows.resets is None and not rows.is_ragged and not options.asks_inside and initial is None
        if not (self._is_torchs and is_plain):
            raise RuntimeError(describe_refusal(self._get_name()))
        weights = [[self._weights(names) for names in directions] for directions in self._fields]
        self._check_call(x, hx, weights[0][0].W, rows)
        states = None if hx is None else tuple(hx) if self._many_states else (hx,)
        with without_onednn():
            y, states = self._run_torch(x, states, weights, rows)
        return y, states if self._many_states else states[0], None

    def _in_full(self, x: Tensor, states: tuple[Tensor, ...] | None, rows: Rows) -> tuple[Tensor, ...]:
        """States [L*D, B, .]: zeros for None, and for each row what was given for all."""
        B = rows.batch(x)
        if states is None:
            return tuple([x.new_zeros(places, B, *width) for places, *width in self._state_sizes])
        return tuple([state.expand(-1, B, *state.shape[2:]) for state in states])
