"""Streams: a layer runs over a sequence that arrives step by step, or block by block, and keeps its state.

`State` is updated in place, and only y is returned: there is nothing to carry. The weights are packed once for all
streams of a layer, and again after they have changed.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from carrousel.fused import has_kernel, resolve
from carrousel.layers.streaming.checks import (
    accept_out,
    check_block,
    check_hx,
    check_not_rounded,
    check_out,
    check_plain,
    check_state,
    check_storage,
    describe,
)
from carrousel.layers.streaming.packed_weights import STORAGES, PackedWeights, choose_evaluation_cell, is_packable
from carrousel.layers.streaming.state import Kind, State, Streams, get_kind
from carrousel.layers.torch_contract import TorchContract

# Looked up once: a step of a small network takes as long as thirty look-ups.
is_compiling: Callable[[], bool] = torch.compiler.is_compiling
is_grad_enabled: Callable[[], bool] = torch.is_grad_enabled
get_num_threads: Callable[[], int] = torch.get_num_threads
empty_like: Callable[..., Tensor] = torch.empty_like
tracing_state: Callable[[], Any] = torch._C._get_tracing_state  # type: ignore[attr-defined]
are_transforms_active: Callable[[], bool] = torch._C._are_functorch_transforms_active  # type: ignore[attr-defined]


class Streaming(TorchContract):
    """start, step and block of a recurrent layer in one direction."""

    _streams: Streams
    _packable = True  # whether the kernels can read the parameters: they cannot read heads

    def _derive_names(self) -> dict[str, tuple[int, ...]]:
        self.__dict__.setdefault("_streams", Streams())
        return super()._derive_names()

    def _kind(self) -> Kind:
        sizes = (self.input_size, self.hidden_size, self.num_layers, self.proj_size)
        return Kind(type(self).__name__, self.mode.lower(), self.cell.states, *sizes)

    def start(self, batch: int | None = None, hx: Any = None, weights: str | None = None) -> State:
        """Make a state for streams that begin here.

        A step of a few rows takes as long as the weights take to arrive from memory. Rounded they are half or a quarter
        of it: at H = 256 a step is then 1.5 and 2.5 times as fast (`carrousel bench streaming`).

        Args:
            batch: B, the number of sequences. Default: that of hx, or 1.
            hx: the initial states, which are copied: a tensor [L, B, P], or, for a cell with more states, the tuple of
                it and [L, B, H] for each other state. Default: the learned states with `learn_initial`, else zeros.
            weights: "bfloat16": the weights of x, h and a projection are rounded to 8 bits of precision. "int8": each
                row of a matrix to integers up to 127 times a scale, its largest weight / 127; x and h to 16 bits. The
                layer's own weights stay as they are. Default: they are not rounded.

        Returns:
            The state, for `step` and `block`.

        Raises:
            ValueError: the layer is bidirectional, hx does not fit it, or no kernel reads such weights: the layer is
                not float32 on the CPU, or its cell has no kernel or normalises.
            TypeError: batch is not an int, or hx is not a tensor or a tuple of tensors.
            RuntimeError: hx requires a gradient, which streams do not compute.

        Example:
            >>> import torch, carrousel
            >>> layer = carrousel.LSTM(3, 4)
            >>> state = layer.start(batch=2)
            >>> with torch.no_grad():
            ...     y = layer.step(torch.randn(2, 3), state)
            >>> y.shape
            torch.Size([2, 4])
        """
        if self.bidirectional:
            raise ValueError(
                f"{self._get_name()}.start: a bidirectional layer needs the end of a sequence for its first output, "
                "and a stream has no end: make the layer with bidirectional=False"
            )
        if batch is not None and (not isinstance(batch, int) or isinstance(batch, bool)):
            raise TypeError(f"{self._get_name()}.start: batch={batch!r} must be an int, the number of sequences")
        if batch is not None and batch < 0:
            raise ValueError(f"{self._get_name()}.start: batch={batch} must not be negative")
        kind = get_kind(self)
        weight = self._weights(self._fields[0][0]).W
        if weights is not None:
            check_storage(self, weights, weight, STORAGES)
        beginning = self._beginning()
        shapes = kind.shapes(1 if batch is None else batch)
        if hx is not None:
            states = check_hx(self, batch, hx, weight)
        elif beginning is not None:
            states = [b.expand(s) for b, s in zip(beginning, shapes)]
        else:
            states = [torch.zeros(shape, dtype=weight.dtype, device=weight.device) for shape in shapes]
        return State(kind, self._streams.identity, states, beginning, weights)

    def _beginning(self) -> list[Tensor] | None:
        """A copy of the learned initial states [L, 1, .], or None."""
        initial = self._initial()
        return None if initial is None else [t.detach().clone() for t in initial]

    def step(self, input: Any, state: State, *, out: Any = None) -> Any:
        """Run one step of every sequence and update the state in place.

        Args:
            input: [B, I], or [I] if the state has one row; a tensor, or a NumPy array, which returns a NumPy array.
            state: from `start`.
            out: output buffer [B, P], contiguous; with it nothing is allocated. Default: a new tensor.

        Returns:
            The last layer's h [B, P]. With a kernel, a sequence of steps returns the same bits as `layer(x, hx)` on all
            of them with as many rows; without one, the same numbers to rounding.

        Raises:
            TypeError, ValueError: the state is not of this layer, or state, input and out do not fit one another.
            RuntimeError: the input or a weight requires a gradient, outside of torch.no_grad, or the layer has dropout
                and is in training mode; streams have neither.
        """
        if is_compiling():
            return _step(self, input, state, out)
        packed = self._streams.packed.get(state._weights) if type(state) is State else None
        # Fast path: the usual conditions, cheapest first. Where one fails, _step makes the full checks.
        if (
            packed is not None
            and state._packed is packed
            and type(input) is Tensor
            and input.dtype is packed.dtype
            and not is_grad_enabled()
            and input.is_cpu
            and input.is_contiguous()
            and input.shape == state._x_shape
            and not (self.training and (self.dropout or self.regularization))
            and not tracing_state()
            and not input.is_neg()
            and forward_ad._current_level < 0
            and not are_transforms_active()
        ):
            if out is None:
                y = empty_like(state._y)
            elif out is state._out and out.data_ptr() == state._out_place:
                y = out
            else:
                y = accept_out(self, input, out, state)
            if state._stream.step(self._parameters, input.data_ptr(), y.data_ptr(), get_num_threads()):
                return y
        return _step(self, input, state, out)

    def block(self, input: Any, state: State, *, out: Any = None) -> Any:
        """Run a block of steps of every sequence and update the state in place.

        Args:
            input: [T, B, I], [B, T, I] with `batch_first`; without B if the state has one row. T may be 0. A tensor, or
                a NumPy array, which returns a NumPy array.
            state: from `start`.
            out: output buffer, shaped as the input with P in the last dimension, contiguous. Default: a new tensor.

        Returns:
            The last layer's h of every step; with a kernel, the same bits as step by step.

        Raises:
            TypeError, ValueError, RuntimeError: as `step`.
        """
        if isinstance(input, np.ndarray):
            return _run_on_arrays(self.block, input, state, out)
        if not _is_bound(self, state):
            check_state(self, state, "block")
        if isinstance(input, Tensor) and input.dim() == 2 and len(state) == 1:
            row = 0 if self.batch_first else 1
            return self.block(input.unsqueeze(row), state, out=None if out is None else out.unsqueeze(row)).squeeze(row)
        return _block(self, input, state, out, "block")

    def _run_stream(self, x: Tensor, states: Any, y: Tensor) -> None:
        """Without a kernel: run x [T, B, I] or [B, T, I] by the layer's forward, write y, and update the states."""
        layer: Any = self
        result, hx = layer.forward(x, states if len(states) > 1 else states[0])
        y.copy_(result)
        for old, new in zip(states, hx if len(states) > 1 else (hx,)):
            old.copy_(new)


def _step(layer: Streaming, x: Any, state: State, out: Any) -> Any:
    """Run a step as a block of one, with all checks: for other forms of input, changed weights, and errors."""
    if isinstance(x, np.ndarray):
        return _run_on_arrays(layer.step, x, state, out)
    check_state(layer, state, "step")
    if not isinstance(x, Tensor) or x.dim() not in ((1, 2) if len(state) == 1 else (2,)):
        raise ValueError(f"{layer._get_name()}.step: input is {describe(x)}, expected {list(state._x_shape)}")
    if out is not None:
        check_out(layer, x, out, (*x.shape[:-1], state._y.shape[1]), "step")
    one, time = x.dim() == 1, 1 if layer.batch_first else 0
    x, place = (t if t is None else (t[None] if one else t).unsqueeze(time) for t in (x, out))
    y = _block(layer, x, state, place, "step")
    if out is not None:
        return out
    return y.flatten() if one else y.squeeze(time)


def _block(layer: Streaming, x: Any, state: State, out: Any, action: str) -> Tensor:
    """Check and run x [T, B, I] or [B, T, I] -> y, for the method `action`."""
    check_block(layer, x, state, action)
    shape = (*x.shape[:2], state._y.shape[1])
    y = x.new_empty(shape) if out is None else check_out(layer, x, out, shape, action)
    if y.numel():
        _run(layer, x, state, y)
    return y


def _run_on_arrays(run: Any, x: np.ndarray, state: State, out: Any) -> np.ndarray:
    """Run NumPy arrays as tensors that share their memory, or a copy if they are read-only or have negative strides."""
    if out is not None and not isinstance(out, np.ndarray):
        raise TypeError(f"input is a NumPy array but out is {type(out).__name__}: give both of one kind")
    if out is not None and not out.flags.writeable:
        raise ValueError("out is a read-only array: give a writable one")
    usable = x if x.flags.writeable and min(x.strides, default=0) >= 0 else x.copy()
    y = run(torch.from_numpy(usable), state, out=None if out is None else torch.from_numpy(out))
    return y.numpy() if out is None else out


def _run(layer: Streaming, x: Tensor, state: State, y: Tensor) -> None:
    """Run x [T, B, I] or [B, T, I] -> y, after all checks."""
    stream = None if is_compiling() or tracing_state() else _bind(layer, x, state)
    if stream is None:
        check_not_rounded(layer, state._weights)
        check_plain(layer._get_name(), list(layer.named_parameters()))
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return layer._run_stream(x, state._tensors, y)
    x = resolve(x).contiguous()
    T, strides = (x.shape[1], (1, x.shape[1])) if layer.batch_first else (x.shape[0], (x.shape[1], 1))
    while not stream.block(x.data_ptr(), y.data_ptr(), T, *strides, torch.get_num_threads()):
        layer._streams.packed.clear()
        stream = _bind(layer, x, state)


def _is_bound(layer: Streaming, state: Any) -> bool:
    """Whether a state's compiled stream has the layer's current weights, by torch's version counter."""
    packed = layer._streams.packed.get(state._weights) if type(state) is State else None
    if packed is None or state._packed is not packed:
        return False
    return packed.parameters.hold(layer._parameters)


def _bind(layer: Streaming, x: Tensor, state: State) -> Any:
    """Give the state a compiled stream with the layer's current weights; None if there is no kernel for them."""
    if not layer._packable:
        return None
    packed = layer._streams.packed.get(state._weights)
    if packed is None or not packed.parameters.hold(layer._parameters):
        names = [name for of_layer in layer._fields for name in layer._sources(of_layer[0])]
        sources: dict[str, Any] = {name: layer._parameters.get(name) for name in names}
        if type(x) not in (Tensor, Parameter) or not has_kernel(choose_evaluation_cell(layer), x):
            return None
        if not all(is_packable(w) and w.dtype == x.dtype for w in sources.values()):
            return None
        # assigned when complete: another thread may read it at the same time
        layer._streams.packed[state._weights] = packed = PackedWeights(layer, sources, state._weights)
    if state._packed is not packed:
        state._stream = packed.make_stream(state)
        state._packed = packed
    return state._stream
