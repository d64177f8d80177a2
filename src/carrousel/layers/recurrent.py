"""`Recurrent`: a layer over any cell, with the arguments and behaviour of torch.nn's recurrent layers.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from torch import Tensor
from torch.fx import _symbolic_trace as symbolic_trace
from torch.nn.utils.rnn import PackedSequence

from carrousel.layers.arguments import show_arguments
from carrousel.layers.autocast import rounds, run_in_bfloat16
from carrousel.layers.checks import check_dense_states
from carrousel.layers.fx_graph import record_call
from carrousel.layers.per_sample import describe_refusal, has_expanded_weights, without_onednn
from carrousel.layers.regularization import make_call_masks
from carrousel.layers.sequences import (
    as_tuple,
    check_initial,
    check_padding,
    make_options,
    make_rows,
    make_rows_of_one,
    make_rows_of_packed,
)
from carrousel.layers.short_call import ShortCalls, is_grad_enabled
from carrousel.layers.stack import map_inside, run_stack
from carrousel.layers.streaming.layer import Streaming
from carrousel.layers.torch_backend import Flags, run_torch, runs_in_torch
from carrousel.layers.torch_contract import KEYWORD_ONLY
from carrousel.scan.options import Options
from carrousel.scan.rows import BATCH_FIRST, DENSE, Rows
from carrousel.scan.weights import Weights

States = TypeVar("States")  # hx: a tensor [L*D, B, P], or a tuple of it and [L*D, B, H] for each further state


# Not a torch.nn.RNNBase, and LSTM is not a torch.nn.LSTM. torch.compile does not trace torch.nn.LSTM, GRU and RNN;
# tools that look for torch.nn.LSTM by isinstance (quantisation, pruning) replace it by torch's kernels; RNNBase has a
# list of the weights beside the parameters, which would have to be updated. The price: a program that checks
# isinstance(layer, torch.nn.LSTM) must check for carrousel.LSTM too.
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
            hx: the initial states: a tensor [L*D, B, P], or, for a cell with more states, the tuple of it and
                [L*D, B, H] for each other state; without B if the input has no batch. Default: `initial`.
            lengths: number of steps of each row of the batch [B], from 0 to T, in any order. The input beyond them is
                not read. Default: T for all.
            offsets: instead of `lengths`, for sequences that are concatenated in the input: row b is
                input[offsets[b]:offsets[b+1]]; offsets [B+1] run from 0 to N.
            padding_value: value of the output beyond a row's length, any number, NaN and infinities too. Default 0.
            resets: bool, [T, B]; [B, T] with `batch_first`, [T] without a batch, [N] with `offsets`; [T, B] or [B, T]
                of the padded form for a PackedSequence. Where true, a new sequence begins at that step: the states
                before it are `initial`, and no gradient flows from it to earlier steps. The results are those of the
                sequences split by hand, in both directions: hx starts the first part of the forward direction and the
                last part of the other, and the returned states are those after the last part and before the first.
            initial: the states that resets restore, shaped as hx, with 1 or B in place of B; they may be parameters.
                Default: the learned states with `learn_initial`, else zeros.
            seed: of the random masks (`LSTM`, `GRU`) in training: the same seed gives the same masks. It does not
                affect `dropout`. In evaluation it is ignored, so that the same call works in both modes. Default: a
                random number from torch's default generator.
            return_states: whether to return the states of every step, as the third result. Default False.
            return_gates: whether to return the gates of every step, as the third result: each row of the cell after its
                function, such as i = sigmoid(W_i x + R_i h + b_i), by the row's name. Default False.

        Returns:
            The last layer's h of every step, shaped as the input with D*P in the last dimension; and the states after
            the last step of each row, shaped as hx: the initial ones for a row of length 0. A row has the same bits in
            any batch of two or more; a batch of one row sums in another order and differs by rounding (docs/tools.md).

            With `return_states` or `return_gates`, also a named tuple with a field for each state and then for each
            gate, such as h, c, i, f, g, o of an LSTM (g is tanh, the others sigmoid), h, r, z, n of a GRU. A field is a
            tuple of L*D tensors, in the order of hx, shaped as the output with H in the last dimension, P for h; for a
            PackedSequence, each is one. Gradients flow through all of them. They are the layer's own memory: changing
            one in place before the backward pass is an error.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: the input does not have 2 or 3 dimensions, or the weights' dtype; lengths, offsets, resets or
                initial do not fit it; padding_value is given without lengths, or seed to a layer without masks.
            RuntimeError: the sizes of input or hx do not fit the layer; there are no steps; or a tensor is sparse,
                nested or in oneDNN's layout.

        Example:
            >>> import torch, carrousel
            >>> layer = carrousel.GRU(3, 4)
            >>> y, h, inside = layer(torch.randn(5, 2, 3), lengths=[5, 2], return_gates=True)
            >>> y.shape, inside._fields, y[2:, 1].any().item()
            (torch.Size([5, 2, 4]), ('r', 'z', 'n'), False)
        """
        if symbolic_trace._is_fx_tracing_flag:  # torch's function for this takes longer than all that follows
            values = (lengths, offsets, padding_value, resets, initial, seed, return_states, return_gates)
            node: Any = record_call(Recurrent.forward, self, input, hx, **dict(zip(KEYWORD_ONLY, values)))
            if node is not None:
                return node
        unpadded = type(padding_value) is float and padding_value == 0
        is_plain = unpadded and lengths is None and offsets is None and resets is None and initial is None
        is_plain = is_plain and seed is None and not return_states and not return_gates
        if is_plain and (found := self._short_calls.run(self._parameters, input, hx)) is not None:
            return found
        if lengths is None and not unpadded:
            check_padding(padding_value, lengths)
        options = make_options(return_states, return_gates)
        if isinstance(input, PackedSequence):
            rows = make_rows_of_packed(input, self.batch_first, lengths, offsets, resets)
            return self._forward_packed(input, hx, rows, options, initial, seed)
        if self._dims_of_call(input, hx, offsets) == 2 and offsets is None:
            rows = make_rows_of_one(input, self.batch_first, lengths, resets)
            return self._forward_unbatched(input, hx, rows, options, initial, seed)
        if lengths is None and offsets is None and resets is None:
            rows = BATCH_FIRST if self.batch_first else DENSE
        else:
            rows = make_rows(input, self.batch_first, lengths, offsets, resets, padding_value)
        y, hx, inside = self._run(input, hx, rows, options, initial, seed)
        if is_plain and self._has_short_calls and not is_grad_enabled():
            names = self._fields[0][0]
            named = {name: self._parameters.get(name) for name in self._sources(names)}
            self._short_calls.prepare(self.cell, input, named, self._weights(names), self.batch_first)
        return (y, hx) if inside is None else (y, hx, inside)

    @property
    def _has_short_calls(self) -> bool:
        is_single = self.num_layers == 1 and not self.bidirectional and self._by_stack is run_stack
        return is_single and self.regularization is None and not self._initial_names

    def _derive_names(self) -> dict[str, tuple[int, ...]]:
        self._short_calls = ShortCalls()
        return super()._derive_names()

    # The functions that run a stack of layers, with the arguments of `run_stack`.
    _by_stack: Callable[..., tuple[Any, ...]] = staticmethod(run_stack)
    _by_autocast: Callable[..., tuple[Any, ...]] = staticmethod(run_in_bfloat16)

    if TYPE_CHECKING:  # nn.Module calls forward, but type checkers do not see what it returns
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
        return (y, hx) if inside is None else (y, hx, map_inside(inside, lambda tensor: tensor.squeeze(batch)))

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
        return y, hx, map_inside(inside, lambda tensor: PackedSequence(tensor, batch_sizes, order, back))

    def _run(
        self, x: Tensor, hx: Any, rows: Rows, options: Options, initial: Any, seed: Any, order: Tensor | None = None
    ) -> tuple[Tensor, Any, Any]:
        """Run x [T, B, I], [B, T, I] or [N, I], as `rows` says; hx and initial have their batch, or are None.

        `order` [B] is the caller's order of the rows of packed data.
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
        masks = make_call_masks(self._get_name(), self.regularization, self.cell, self.training, seed, order)
        plain = masks is None and rows.resets is None and not rows.is_ragged and not options.asks_inside
        rounded = rounds(weights[0][0].W)
        if plain and runs_in_torch(self._standard, self.cell, x, weights[0][0].W, rounded):
            inside = None
            y, states = self._run_torch(x, states, weights, rows)
        else:
            dropout = self.dropout if self.training else 0.0
            restored = None if rows.resets is None else initial
            cell = self.cell if masks is None else masks.cell
            options = options if self.memory == "full" else options._replace(memory=self.memory)
            run = self._by_autocast if rounded else self._by_stack
            try:
                y, states, inside = run(cell, x, states, weights, rows, options, restored, dropout, masks)
            except (RuntimeError, ValueError):
                if has_expanded_weights(self._parameters.values()):  # the first weight is checked above
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
        """`_run` with ExpandedWeights, which torch's functions support and our kernels do not."""
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
        """The states [L*D, B, .]: zeros for None; 1 in place of B is repeated for each row."""
        B = rows.batch(x)
        if states is None:
            return tuple([x.new_zeros(places, B, *width) for places, *width in self._state_sizes])
        return tuple([state.expand(-1, B, *state.shape[2:]) for state in states])
