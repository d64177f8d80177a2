"""Any cell over time, as a layer with the arguments and manners of torch.nn's recurrent layers.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from carrousel.layers.checks import check_input, check_state_dims, check_states_belong
from carrousel.layers.native import belongs_to_torch, run_torch
from carrousel.layers.parameters import Parameters
from carrousel.layers.stack import run_stack

States = TypeVar("States")  # hx: a tensor [L*D, B, P], or a tuple of it and [L*D, B, H] for each further state


# Not a torch.nn.RNNBase, and LSTM no torch.nn.LSTM. torch.compile refuses to trace instances of torch.nn.LSTM, GRU and
# RNN; tools that look for torch.nn.LSTM by isinstance (quantisation, pruning) put torch's kernels in its place; RNNBase
# keeps a list of the weights beside the parameters, which has to be kept true. The price: a program that asks
# isinstance(layer, torch.nn.LSTM) must ask for carrousel.LSTM too.
class Recurrent(Parameters, Generic[States]):
    """Any cell over time, as a layer with torch.nn's contract: stacked, in one direction or both.

    Args:
        cell: the equations, such as `carrousel.cells.ALL["peephole"]` or your own.
        input_size: I, the number of features of the input.
        hidden_size: H, the number of units.
        num_layers: L, each layer fed with the outputs of the one before. Default 1.
        bias: two vectors are added to the pre-activations, one beside W x and one beside R h. Default True.
        batch_first: input and output are [B, T, .] instead of [T, B, .]; states never. Default False.
        dropout: the probability that an output between two layers is zeroed in training. Default 0.
        bidirectional: a second set of weights runs from the last step to the first; its outputs stand after those of
            the first in the last place. Default False.
        proj_size: P, the width to which h is projected before it is put out and fed back; 0 for none. Default 0.
        device: where the parameters are made. Default: torch's.
        dtype: of the parameters. Default: torch's.

    For each layer k, and with the suffix `_reverse` for its second direction, there are these parameters, in this
    order, drawn from U(-1/sqrt(H), 1/sqrt(H)): weight_ih_l{k} [len(from_x)*H, I] (D*P in place of I when k > 0),
    weight_hh_l{k} [len(from_h)*H, P]; with `bias`, bias_ih_l{k} [len(from_x)*H] and bias_hh_l{k} [len(from_h)*H]; with
    `proj_size`, weight_hr_l{k} [P, H]; for a cell with weights of its own, weight_ch_l{k} [len(weights)*H].

    Raises:
        TypeError, ValueError: an option is not of its type or out of its range.
    """

    @overload
    def forward(self, input: Tensor, hx: States | None = None) -> tuple[Tensor, States]: ...

    @overload
    def forward(self, input: PackedSequence, hx: States | None = None) -> tuple[PackedSequence, States]: ...

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Run the layers over a sequence.

        Args:
            input: [T, B, I]; [B, T, I] with `batch_first`; [T, I] without a batch; or a PackedSequence.
            hx: the states to start from: a tensor [L*D, B, P], for a cell with states h and c the tuple of it and
                [L*D, B, H]; without B where the input has none. Default zeros.

        Returns:
            The last layer's h of every step, shaped as the input with D*P in the last place; and the states after each
            row's last step, shaped as hx.

        Raises:
            ValueError: the input has neither 2 nor 3 dimensions, or not the weights' dtype.
            RuntimeError: the sizes of input or hx do not fit the layer, or there are no steps at all.
        """
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx)
        dims = input.dim()
        if dims not in (2, 3):
            raise ValueError(self._wrong_dims(dims))
        if hx is not None:
            check_state_dims(self.cell, hx, dims)
        return self._run(input, hx, None) if dims == 3 else self._forward_unbatched(input, hx)

    if TYPE_CHECKING:  # nn.Module calls forward, but does not tell type checkers what it returns

        @overload
        def __call__(self, input: Tensor, hx: States | None = None) -> tuple[Tensor, States]: ...

        @overload
        def __call__(self, input: PackedSequence, hx: States | None = None) -> tuple[PackedSequence, States]: ...

        def __call__(self, input: Any, hx: Any = None) -> Any: ...

    def _forward_unbatched(self, x: Tensor, hx: Any) -> tuple[Tensor, Any]:
        batch = 0 if self.batch_first else 1
        y, hx = self._run(x.unsqueeze(batch), None if hx is None else self._map(hx, Tensor.unsqueeze, 1), None)
        return y.squeeze(batch), self._map(hx, Tensor.squeeze, 1)

    def _forward_packed(self, packed: PackedSequence, hx: Any) -> tuple[PackedSequence, Any]:
        x, batch_sizes, order, back = packed
        y, hx = self._run(x, None if hx is None else self.permute_hidden(hx, order), batch_sizes)
        return PackedSequence(y, batch_sizes, order, back), self.permute_hidden(hx, back)

    def _run(self, x: Tensor, hx: Any, batch_sizes: Tensor | None) -> tuple[Tensor, Any]:
        """x [T, B, I], [B, T, I] with batch_first, or packed [N, I] with batch_sizes; hx with its batch, or None."""
        weights = [[self._weights(names) for names in layer] for layer in self._fields]
        states = hx if hx is None or self._many_states else (hx,)
        if batch_sizes is not None or not self._fits(x, states, weights[0][0].W):
            self._check(x, hx, weights[0][0].W, batch_sizes)
        if belongs_to_torch(self._standard, self.cell, x):
            y, states = run_torch(self, x, states or self._zeros(x, batch_sizes), weights, batch_sizes)
        else:
            dropout = self.dropout if self.training else 0.0
            batch_first = self.batch_first and batch_sizes is None
            y, states = run_stack(self.cell, x, states, weights, batch_sizes, batch_first, dropout)
        return y, states if self._many_states else states[0]

    def _fits(self, x: Tensor, states: tuple[Tensor, ...] | None, W: Tensor) -> bool:
        """Whether all is as it mostly is: the checks that can say what is wrong take as long as a small network."""
        shape, dtype = x.shape, x.dtype
        if shape[2] != self.input_size or dtype != W.dtype or x.is_cpu != W.is_cpu or not x.numel():
            return False
        if states is None:
            return True
        B = shape[0 if self.batch_first else 1]
        for state, (places, width) in zip(states, self._state_sizes):
            if state.shape != (places, B, width) or state.dtype != dtype or state.is_cpu != W.is_cpu:
                return False
        return len(states) == len(self._state_sizes)

    def _check(self, x: Tensor, hx: Any, W: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise if the arguments of _run do not fit; W is the first weight."""
        check_input(x, W, self.input_size, batch_sizes is not None, self._many_states)
        if hx is not None:
            self._check_states(x, hx, batch_sizes)
            check_states_belong(x, hx if self._many_states else (hx,))
        if batch_sizes is None and not x.shape[1 if self.batch_first else 0]:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")

    def _check_states(self, x: Tensor, hx: Any, batch_sizes: Tensor | None) -> None:
        sizes = [(places, self._batch(x, batch_sizes), width) for places, width in self._state_sizes]
        if not self._many_states:
            return self.check_hidden_size(hx, sizes[0])
        if len(hx) != len(sizes):
            number = "two" if len(sizes) == 2 else len(sizes)
            raise RuntimeError(f"{self.cell.name} expects {number} hidden states, got {len(hx)}")
        for k, (state, size) in enumerate(zip(hx, sizes)):
            self.check_hidden_size(state, size, f"Expected hidden[{k}] size {{}}, got {{}}")

    def _zeros(self, x: Tensor, batch_sizes: Tensor | None) -> tuple[Tensor, ...]:
        B = self._batch(x, batch_sizes)
        return tuple([x.new_zeros(places, B, width) for places, width in self._state_sizes])

    def _wrong_dims(self, dims: int) -> str:
        return f"{self._get_name()}: Expected input to be 2D or 3D, got {dims}D instead"

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise, as torch.nn does, if the input [T, B, I], or packed [N, I] with `batch_sizes`, does not fit."""
        first = self._weights(self._fields[0][0])
        check_input(input, first.W, self.input_size, batch_sizes is not None, self._many_states)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raise, as torch.nn does, if input and states do not fit the layer; all with their batch."""
        self.check_input(input, batch_sizes)
        self._check_states(input, hidden, batch_sizes)

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, ...], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raise RuntimeError if a state is not of the size; `msg` is given the size and what came instead."""
        if hx.shape != expected_hidden_size:
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.shape)))

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """(L*D, B, P): the size of h for this input, which has a batch or is packed."""
        places, width = self._state_sizes[0]
        return places, self._batch(input, batch_sizes), width

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """(L*D, B, H): the size of c, and of every state but h."""
        return *self.get_expected_hidden_size(input, batch_sizes)[:2], self.hidden_size

    def _batch(self, x: Tensor, batch_sizes: Tensor | None) -> int:
        return x.shape[0 if self.batch_first else 1] if batch_sizes is None else int(batch_sizes[0])

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """hx with the rows of its batch in the order of `permutation` [B]; None: as it is."""
        return hx if permutation is None else self._map(hx, Tensor.index_select, 1, permutation)

    def _map(self, hx: Any, function: Callable[..., Tensor], *arguments: Any) -> Any:
        """The function of every state of hx."""
        return tuple([function(s, *arguments) for s in hx]) if self._many_states else function(hx, *arguments)
