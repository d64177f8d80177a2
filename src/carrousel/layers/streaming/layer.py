"""Streams: a layer that gets its sequence step by step, or block by block, and never forgets its state.

`State` is changed where it lies and y alone comes back, so that there is nothing to carry and nothing to forget. The
weights are packed once, for all streams of a layer, and again when they have changed.

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or proj_size), L layers.
"""

from __future__ import annotations

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
    check_out,
    check_plain,
    check_state,
    describe,
)
from carrousel.layers.streaming.packed_weights import Packed, choose_evaluation_cell, is_packable
from carrousel.layers.streaming.state import Kind, State, Streams, get_kind
from carrousel.layers.torch_contract import TorchContract

# Looked up once: a step of a small network takes no longer than thirty look-ups.
is_compiling, is_grad_enabled, get_num_threads = (
    torch.compiler.is_compiling,
    torch.is_grad_enabled,
    torch.get_num_threads,
)
tracing_state, empty_like = torch._C._get_tracing_state, torch.empty_like  # type: ignore[attr-defined]
are_transforms_active = torch._C._are_functorch_transforms_active  # type: ignore[attr-defined]


class Streaming(TorchContract):
    """start, step and block of a recurrent layer in one direction."""

    _streams: Streams
    _packable = True  # whether the parameters are what the kernels read: heads are not

    def _derive_names(self) -> dict[str, tuple[int, ...]]:
        self.__dict__.setdefault("_streams", Streams())
        return super()._derive_names()

    def _kind(self) -> Kind:
        sizes = (self.input_size, self.hidden_size, self.num_layers, self.proj_size)
        return Kind(type(self).__name__, self.mode.lower(), self.cell.states, *sizes)

    def start(self, batch: int | None = None, hx: Any = None) -> State:
        """A state for streams that begin here.

        Args:
            batch: B, the number of sequences. Default: that of hx, or 1.
            hx: the states to start from, in torch's form: a tensor [L, B, P], for a cell with states h and c the tuple
                of it and [L, B, H]. They are copied. Default: what is learned with `learn_initial`, else zeros.

        Raises:
            ValueError: the layer is bidirectional, or hx does not fit it.
            TypeError: batch is no int, or hx no tensor or tuple of tensors.
            RuntimeError: hx requires a gradient, and streams have none.
        """
        if self.bidirectional:
            raise ValueError(
                f"{self._get_name()}.start: a bidirectional layer needs the end of a sequence for its first output, "
                "and a stream has none: make the layer with bidirectional=False"
            )
        if batch is not None and (not isinstance(batch, int) or isinstance(batch, bool)):
            raise TypeError(f"{self._get_name()}.start: batch={batch!r} must be an int, the number of sequences")
        if batch is not None and batch < 0:
            raise ValueError(f"{self._get_name()}.start: batch={batch} must not be negative")
        kind = get_kind(self)
        weight = self._weights(self._fields[0][0]).W
        beginning = self._beginning()
        if hx is not None:
            return State(kind, self._streams.identity, check_hx(self, batch, hx, weight), beginning)
        shapes = kind.shapes(1 if batch is None else batch)
        if beginning is not None:
            return State(kind, self._streams.identity, [b.expand(s) for b, s in zip(beginning, shapes)], beginning)
        zeros = [torch.zeros(shape, dtype=weight.dtype, device=weight.device) for shape in shapes]
        return State(kind, self._streams.identity, zeros)

    def _beginning(self) -> list[Tensor] | None:
        """A copy of what is learned of the states that sequences begin with [L, 1, .]; None where nothing is."""
        initial = self._initial()
        return None if initial is None else [t.detach().clone() for t in initial]

    def step(self, input: Any, state: State, *, out: Any = None) -> Any:
        """One step of every sequence; the state moves on.

        Args:
            input: [B, I], or [I] where the state has one row; a NumPy array gives a NumPy array.
            state: what `start` gave.
            out: where the result is written [B, P], contiguous; then nothing is allocated. Default: a tensor of its
                own.

        Returns:
            The last layer's h [B, P]. Where a kernel computes, a sequence of steps returns the very bits of
            `layer(x, hx)` on all of them, for as many rows; elsewhere the same numbers to rounding.

        Raises:
            TypeError, ValueError: the state is not one of this layer's, or state, input and out do not fit one another.
            RuntimeError: a gradient is asked for (the input or a weight requires one, outside of torch.no_grad), or
                dropout, in training mode; a stream has neither.
        """
        if is_compiling():
            return _step(self, input, state, out)
        packed = self._streams.packed
        # What mostly holds, in the order of its price; whatever fails here is looked at again, at leisure, in _step.
        if (
            type(state) is State
            and state._packed is packed
            and packed is not None
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
        """A block of steps of every sequence; the state moves on.

        Args:
            input: [T, B, I], [B, T, I] with `batch_first`; without B where the state has one row. T may be 0. A NumPy
                array gives a NumPy array.
            state: what `start` gave.
            out: where the result is written, shaped as the input with P in the last place, contiguous. Default: a
                tensor of its own.

        Returns:
            The last layer's h of every step, the same bits as step by step where a kernel computes.

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
        """Where there is no kernel, x [T, B, I] or [B, T, I] -> y, and the states move on: the layer's own forward."""
        layer: Any = self
        result, hx = layer.forward(x, states if len(states) > 1 else states[0])
        y.copy_(result)
        for old, new in zip(states, hx if len(states) > 1 else (hx,)):
            old.copy_(new)


def _step(layer: Streaming, x: Any, state: State, out: Any) -> Any:
    """A step as a block of one: for what comes in another form, what has changed, and what is wrong."""
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
    """x [T, B, I] or [B, T, I] -> y, for the method `action`."""
    check_block(layer, x, state, action)
    shape = (*x.shape[:2], state._y.shape[1])
    y = x.new_empty(shape) if out is None else check_out(layer, x, out, shape, action)
    if y.numel():
        _run(layer, x, state, y)
    return y


def _run_on_arrays(run: Any, x: np.ndarray, state: State, out: Any) -> np.ndarray:
    """NumPy in, NumPy out: they share memory with the tensors, but for what cannot be written or lies backwards."""
    if out is not None and not isinstance(out, np.ndarray):
        raise TypeError(f"input is a NumPy array and out {type(out).__name__}: give two of one kind")
    if out is not None and not out.flags.writeable:
        raise ValueError("out is a read-only array: give one that can be written")
    usable = x if x.flags.writeable and min(x.strides, default=0) >= 0 else x.copy()
    y = run(torch.from_numpy(usable), state, out=None if out is None else torch.from_numpy(out))
    return y.numpy() if out is None else out


def _run(layer: Streaming, x: Tensor, state: State, y: Tensor) -> None:
    """All that is asked is right: x [T, B, I] or [B, T, I] -> y."""
    stream = None if is_compiling() or tracing_state() else _bind(layer, x, state)
    if stream is None:
        check_plain(layer._get_name(), list(layer.named_parameters()))
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            return layer._run_stream(x, state._tensors, y)
    x = resolve(x).contiguous()
    T, strides = (x.shape[1], (1, x.shape[1])) if layer.batch_first else (x.shape[0], (x.shape[1], 1))
    while not stream.block(x.data_ptr(), y.data_ptr(), T, *strides, torch.get_num_threads()):
        layer._streams.packed = None
        stream = _bind(layer, x, state)


def _is_bound(layer: Streaming, state: Any) -> bool:
    """Whether a state's compiled stream runs with the layer's weights as they are now, as far as torch counts."""
    packed = layer._streams.packed
    if type(state) is not State or state._packed is not packed or packed is None:
        return False
    return packed.parameters.hold(layer._parameters)


def _bind(layer: Streaming, x: Tensor, state: State) -> Any:
    """The state's compiled stream over the layer's weights as they are now; None where no kernel serves them."""
    if not layer._packable:
        return None
    packed = layer._streams.packed
    if packed is None or not packed.parameters.hold(layer._parameters):
        names = [name for of_layer in layer._fields for name in layer._sources(of_layer[0])]
        sources: dict[str, Any] = {name: layer._parameters.get(name) for name in names}
        if type(x) not in (Tensor, Parameter) or not has_kernel(choose_evaluation_cell(layer), x):
            return None
        if not all(is_packable(w) and w.dtype == x.dtype for w in sources.values()):
            return None
        # Only then in place, when it is whole: another thread may look at the same time.
        layer._streams.packed = packed = Packed(layer, sources)
    if state._packed is not packed:
        state._stream = packed.stream(state)
        state._packed = packed
    return state._stream
