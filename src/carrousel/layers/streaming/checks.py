"""The checks of a stream: state, input and output buffer must fit; there are no gradients and no dropout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from carrousel.fused import has_kernel, is_plain, is_transformed
from carrousel.layers.checks import check_dense_states, describe, describe_layout
from carrousel.layers.parameters import Parameters
from carrousel.layers.streaming.state import State, get_kind


def check_state(layer: Any, state: Any, action: str) -> None:
    """Raise if the state is not one of this layer's, in its dtype and on its device."""
    name = f"{layer._get_name()}.{action}"
    if not isinstance(state, State):
        raise TypeError(
            f"{name}: the state is a {type(state).__name__}, expected one from layer.start(): "
            "layer.start(hx=...) makes it from torch's states"
        )
    kind = get_kind(layer)
    if state._kind._replace(layer=kind.layer) != kind:
        raise ValueError(f"{name}: the state is of {state._kind}, but this layer is {kind}: start one with this layer")
    if state._identity != layer._streams.identity:
        raise ValueError(
            f"{name}: the state belongs to another {kind}: start one with this layer, or copy it with "
            "layer.start(hx=state.hx())"
        )
    weight = next(layer.parameters())
    if (state.dtype, state.device) != (weight.dtype, weight.device):
        raise ValueError(
            f"{name}: the state is {state.dtype} on {state.device}, but the layer is {weight.dtype} on "
            f"{weight.device}: state.to('{weight.device}', {weight.dtype}) converts it"
        )


def check_plain(name: str, tensors: list[tuple[str, Tensor]]) -> None:
    """Raise if one of these named tensors is not plain, or is under a transform.

    A stream writes into its state; its result would have no tangent, or be that of one example only.
    """
    if torch.compiler.is_compiling():
        return
    for of, tensor in tensors:
        if type(tensor) not in (Tensor, Parameter):
            kind = f"a {type(tensor).__name__}, but streams read plain tensors only"
        elif is_transformed() and (transform := _transform_of(tensor)):
            kind = f"{transform}, but streams have no transforms"
        else:
            continue
        raise RuntimeError(f"{name}: {of} is {kind}: call layer(x, hx) on whole sequences")


def _transform_of(tensor: Tensor) -> str:
    if forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None:
        return "a dual number, with a tangent"
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)  # type: ignore[attr-defined]
    return "under a transform of torch.func (vmap, grad, jvp)" if wrapped else ""


def check_block(layer: Parameters, x: Any, state: State, action: str) -> None:
    """Raise if x [T, B, I] or [B, T, I] does not fit the state, or needs what a stream does not have."""
    name = f"{layer._get_name()}.{action}"
    B, I = state._x_shape
    order = f"[{B}, T, {I}]" if layer.batch_first else f"[T, {B}, {I}]"
    if not isinstance(x, Tensor) or x.dim() != 3:
        raise ValueError(f"{name}: input is {describe(x)}, expected {order}, or [{B}, {I}] for one step")
    if wrong := describe_layout("input", x):
        raise ValueError(f"{name}: input {wrong}")
    if x.shape[2] != I or x.shape[0 if layer.batch_first else 1] != B:
        raise ValueError(
            f"{name}: input is {describe(x)}, expected {order}: the layer has input_size={I}, the state {B} rows"
        )
    if (x.dtype, x.device) != (state.dtype, state.device):
        raise ValueError(
            f"{name}: input is {x.dtype} on {x.device}, but the state is {state.dtype} on {state.device}: "
            f"input.to('{state.device}', {state.dtype}) converts it"
        )
    check_plain(name, [("input", x)])
    if is_transformed():
        check_plain(name, list(layer.named_parameters()))
    if torch.is_grad_enabled():
        check_no_grad(name, [("input", x), *layer.named_parameters()])
    if layer.training and (layer.dropout or layer.regularization):
        masks = [f"dropout={layer.dropout}"] if layer.dropout else []
        masks += layer.regularization.describe() if layer.regularization else []
        raise RuntimeError(
            f"{name}: {', '.join(masks)} acts in training mode, but streams have no dropout: call layer.eval()"
        )


def check_no_grad(name: str, tensors: list[tuple[str, Tensor]]) -> None:
    """Raise if one of these named tensors requires a gradient."""
    for of, tensor in tensors:
        if tensor.requires_grad:
            raise RuntimeError(
                f"{name}: {of} requires a gradient, but streams compute none: use torch.no_grad() or "
                "torch.inference_mode(), or freeze the layer with requires_grad_(False). To train, call layer(x, hx) "
                "on whole sequences"
            )


def check_out(layer: Parameters, x: Tensor, out: Any, shape: tuple[int, ...], action: str) -> Tensor:
    """Check that the result can be written to `out`, and return it."""
    name = f"{layer._get_name()}.{action}"
    if not isinstance(out, Tensor) or tuple(out.shape) != tuple(shape):
        raise ValueError(f"{name}: out is {describe(out)}, expected {list(shape)}")
    if (out.dtype, out.device) != (x.dtype, x.device) or not out.is_contiguous() or out.requires_grad:
        raise ValueError(f"{name}: out must be {x.dtype} on {x.device}, contiguous and without a gradient")
    if not is_plain(out):
        raise ValueError(f"{name}: out is {describe_wrapped(out)}, which cannot be written: give a plain tensor")
    return out


def describe_wrapped(tensor: Tensor) -> str:
    """A tensor that is not plain, in words, for an error message."""
    return f"a {type(tensor).__name__}" if type(tensor) is not Tensor else "a view that torch reads differently"


def accept_out(layer: Parameters, x: Tensor, out: Any, state: State) -> Tensor:
    """Check `out` of a step and return it. The state remembers it: most streams use the same one again."""
    state._out = check_out(layer, x, out, state._y.shape, "step")
    state._out_place = out.data_ptr()
    return out


def check_storage(layer: Any, weights: Any, weight: Tensor, storages: Mapping[Any, int]) -> None:
    """Raise if the layer, with this weight W, has no kernel that reads its weights rounded so."""
    name = f"{layer._get_name()}.start: weights={weights!r}"
    if not isinstance(weights, str) or weights not in storages:
        raise ValueError(f"{name} is not one of {', '.join(repr(each) for each in storages if each)}")
    if (weight.dtype, weight.device.type) != (torch.float32, "cpu"):
        raise ValueError(f"{name} is for float32 on the CPU, but the layer is {weight.dtype} on {weight.device}")
    if not layer._packable or layer.cell.normed or not has_kernel(layer.cell, weight):
        raise ValueError(
            f"{name}: no kernel reads rounded weights for this layer (cell {layer.cell.name}): leave it out"
        )


def check_not_rounded(layer: Any, weights: str | None) -> None:
    """Raise if a stream that cannot use a kernel would read rounded weights."""
    if weights is not None:
        raise RuntimeError(
            f"{layer._get_name()}: the state reads weights={weights!r}, which only kernels do, and none can run here: "
            "the layer is traced, or a parameter is no plain one in memory. Use layer.start(hx=state.hx())"
        )


def check_hx(layer: Parameters, batch: int | None, hx: Any, weight: Tensor) -> list[Tensor]:
    """Check that hx fits the layer; return the list of states."""
    name, kind = f"{layer._get_name()}.start", get_kind(layer)
    states = list(hx) if isinstance(hx, (tuple, list)) else [hx]
    if len(states) != len(kind.states) or not all(isinstance(s, Tensor) for s in states):
        form = "a tensor" if len(kind.states) == 1 else f"a tuple of {len(kind.states)} tensors"
        raise TypeError(f"{name}: hx must be {form} ({', '.join(kind.states)}), got {describe(hx)}")
    check_dense_states(layer.cell, "hx", hx)
    dims = len(kind.shapes(1)[0])
    B = batch if batch is not None else (states[0].shape[1] if states[0].dim() == dims else 1)
    for state, label, shape in zip(states, kind.states, kind.shapes(B)):
        if tuple(state.shape) != shape:
            raise ValueError(f"{name}: state {label} of hx is {describe(state)}, expected {list(shape)}")
        if (state.dtype, state.device) != (weight.dtype, weight.device):
            raise ValueError(
                f"{name}: state {label} of hx is {state.dtype} on {state.device}, but the layer is {weight.dtype} on "
                f"{weight.device}: convert it with .to()"
            )
    named = [(f"state {label} of hx", state) for label, state in zip(kind.states, states)]
    check_plain(name, named)
    if torch.is_grad_enabled():
        check_no_grad(name, named)
    return states
