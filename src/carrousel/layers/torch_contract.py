"""What a layer expects of input and states: the methods with which torch.nn's layers check them, and ours.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers, D directions, N (step,
row) pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from carrousel.layers.checks import check_dense_states, check_input, check_state_dims, check_states_belong, describe
from carrousel.layers.parameters import Parameters
from carrousel.scan.rows import Rows

# The arguments of forward after hx, in their order.
KEYWORD_ONLY = ["lengths", "offsets", "padding_value", "resets", "initial", "seed", "return_states", "return_gates"]


class TorchContract(Parameters):
    """A recurrent layer's checks of x [T, B, I], [B, T, I] or [N, I], and of states with their batch."""

    def _fits(self, x: Tensor, states: tuple[Tensor, ...] | None, W: Tensor) -> bool:
        """Fast path: True if input and states obviously fit. The full checks take as long as a small network."""
        try:
            shape, dtype = x.shape, x.dtype
            if shape[2] != self.input_size or dtype != W.dtype or x.is_cpu != (is_cpu := W.is_cpu) or not x.numel():
                return False
            if x.layout is not torch.strided:
                return False
            if states is None:
                return True
            B = shape[0 if self.batch_first else 1]
            for state, (places, *width) in zip(states, self._state_sizes):
                if state.shape != (places, B, *width) or state.dtype != dtype or state.is_cpu != is_cpu:
                    return False
                if state.layout is not torch.strided:
                    return False
            return len(states) == len(self._state_sizes)
        except RuntimeError:  # a nested tensor has no shape, an ExpandedWeight no is_cpu
            return False

    def _check_call(self, x: Tensor, hx: Any, W: Tensor, rows: Rows) -> None:
        """Raise if x or hx, which may be None, does not fit the layer; W is its first weight."""
        check_input(x, W, self.input_size, rows.is_flat, self._many_states)
        if hx is not None:
            check_dense_states(self.cell, "hx", hx)
            self._check_states(x, hx, rows.batch(x))
            check_states_belong(x, hx if self._many_states else (hx,))
        if not rows.is_flat and not x.shape[1 if self.batch_first else 0]:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")

    def _check_states(self, x: Tensor, hx: Any, B: int) -> None:
        sizes = [(places, B, width) for places, width in self._state_sizes]
        if not self._many_states:
            return self.check_hidden_size(hx, sizes[0])
        if len(hx) != len(sizes):
            number = "two" if len(sizes) == 2 else len(sizes)
            raise RuntimeError(f"{self.cell.name} expects {number} hidden states, got {len(hx)}")
        for k, (state, size) in enumerate(zip(hx, sizes)):
            self.check_hidden_size(state, size, f"Expected hidden[{k}] size {{}}, got {{}}")

    def _dims_of_call(self, input: Any, hx: Any, offsets: Any) -> int:
        """The dimensions of the input, 2 or 3; raise if hx does not have as many, or 3 with offsets."""
        try:
            dims: int = input.dim()
        except AttributeError:
            raise AttributeError(
                f"{self._get_name()}: input is {describe(input)}, expected a tensor: torch.as_tensor(input) may make "
                "one"
            ) from None
        if dims not in (2, 3):
            raise ValueError(self._describe_wrong_dims(dims))
        if hx is not None:
            self._check_state_dims(hx, dims if offsets is None else 3)
        return dims

    def _describe_wrong_dims(self, dims: int) -> str:
        return f"{self._get_name()}: Expected input to be 2D or 3D, got {dims}D instead"

    def _check_state_dims(self, hx: Any, dims: int) -> None:
        """Raise if hx, as the caller gave it, does not have as many dimensions as the input: 3 with a batch."""
        check_state_dims(self._get_name(), self.cell, hx, dims)

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Raise, as torch.nn does, if the input [T, B, I], or packed [N, I] with `batch_sizes`, does not fit."""
        first = self._weights(self._fields[0][0])
        check_input(input, first.W, self.input_size, batch_sizes is not None, self._many_states)

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Raise, as torch.nn does, if input or states, with their batch, do not fit the layer."""
        self.check_input(input, batch_sizes)
        self._check_states(input, hidden, self._batch(input, batch_sizes))

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, ...], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Raise RuntimeError if a state does not have the size; `msg` is formatted with the size and the actual one."""
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
        return Rows(self.batch_first, batch_sizes=batch_sizes).batch(x)

    def _slow_forward(self, *arguments: Any, **options: Any) -> Any:
        """What nn.Module calls instead of forward under torch.jit.trace.

        torch.onnx.export(dynamo=False) gives every argument by position, keyword-only arguments too, and numbers as
        tensors.
        """
        for name, value in zip(KEYWORD_ONLY, arguments[2:]):
            is_number = isinstance(value, Tensor) and name in ("padding_value", "return_states", "return_gates")
            options[name] = value.item() if is_number else value
        return super()._slow_forward(*arguments[:2], **options)  # type: ignore[misc]

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """hx with the rows of its batch in the order of `permutation` [B]; None: unchanged."""
        return hx if permutation is None else self._map(hx, Tensor.index_select, 1, permutation)

    def _map(self, hx: Any, function: Callable[..., Tensor], *arguments: Any) -> Any:
        """Apply a function to every state of hx."""
        return tuple([function(s, *arguments) for s in hx]) if self._many_states else function(hx, *arguments)
