"""What a stream refuses: another layer's state, an input or a place that does not fit, gradients, dropout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from carrousel.layers.checks import check_dense_states, describe_layout, told
from carrousel.layers.parameters import Parameters
from carrousel.layers.streaming.state import State, kind_of


def check_state(layer: Parameters, state: Any, action: str) -> None:
    """The state is one of this layer's, in its dtype and on its device."""
    name = f"{layer._get_name()}.{action}"
    if not isinstance(state, State):
        raise TypeError(
            f"{name}: the state is a {type(state).__name__}, expected what layer.start() gives; "
            "layer.start(hx=...) makes it of torch's states"
        )
    kind = kind_of(layer)
    if state._kind._replace(layer=kind.layer) != kind:
        raise ValueError(f"{name}: the state is of {state._kind}, and this layer is {kind}: start one here")
    if state._identity != layer._streams.identity:
        raise ValueError(
            f"{name}: the state belongs to another {kind}: start one here, or take its numbers over with "
            "layer.start(hx=state.hx())"
        )
    weight = next(layer.parameters())
    if (state.dtype, state.device) != (weight.dtype, weight.device):
        raise ValueError(
            f"{name}: the state is {state.dtype} on {state.device}, and the layer {weight.dtype} on {weight.device}: "
            f"state.to('{weight.device}', {weight.dtype}) converts it"
        )


def check_block(layer: Parameters, x: Any, state: State) -> None:
    """x [T, B, I] or [B, T, I] fits the state, and asks for nothing that a stream has not."""
    name = layer._get_name()
    B, I = state._x_shape
    order = f"[{B}, T, {I}]" if layer.batch_first else f"[T, {B}, {I}]"
    if not isinstance(x, Tensor) or x.dim() != 3:
        raise ValueError(f"{name}: input is {told(x)}, expected {order}, or [{B}, {I}] for one step")
    if wrong := describe_layout("input", x):
        raise ValueError(f"{name}: input {wrong}")
    if x.shape[2] != I or x.shape[0 if layer.batch_first else 1] != B:
        raise ValueError(
            f"{name}: input is {told(x)}, expected {order}: the layer has input_size={I}, the state {B} rows"
        )
    if (x.dtype, x.device) != (state.dtype, state.device):
        raise ValueError(
            f"{name}: input is {x.dtype} on {x.device}, and the state {state.dtype} on {state.device}: "
            f"input.to('{state.device}', {state.dtype}) converts it"
        )
    if torch.is_grad_enabled():
        check_no_grad(name, [("input", x), *layer.named_parameters()])
    if layer.training and (layer.dropout or layer.regularization):
        masks = [f"dropout={layer.dropout}"] if layer.dropout else []
        masks += layer.regularization.told() if layer.regularization else []
        raise RuntimeError(
            f"{name}: {', '.join(masks)} acts in training mode, and streams have none: call layer.eval()"
        )


def check_no_grad(name: str, tensors: list[tuple[str, Tensor]]) -> None:
    """None of the tensors, each with what to call it, asks for a gradient."""
    for of, tensor in tensors:
        if tensor.requires_grad:
            raise RuntimeError(
                f"{name}: {of} requires a gradient, and streams compute none: put them under torch.no_grad() or "
                "torch.inference_mode(), or freeze the layer with requires_grad_(False). To train, call layer(x, hx) "
                "on whole sequences"
            )


def checked_out(layer: Parameters, x: Tensor, out: Any, shape: tuple[int, ...]) -> Tensor:
    """`out`, if the result can be written there."""
    name = layer._get_name()
    if not isinstance(out, Tensor) or tuple(out.shape) != tuple(shape):
        raise ValueError(f"{name}: out is {told(out)}, expected {list(shape)}")
    if (out.dtype, out.device) != (x.dtype, x.device) or not out.is_contiguous() or out.requires_grad:
        raise ValueError(f"{name}: out must be {x.dtype} on {x.device}, contiguous and without a gradient")
    return out


def accepted_out(layer: Parameters, x: Tensor, out: Any, state: State) -> Tensor:
    """`out` of a step, if the result can be written there. It is remembered: most streams come with the same again."""
    state._out = checked_out(layer, x, out, state._y.shape)
    state._out_place = out.data_ptr()
    return out


def checked_hx(layer: Parameters, batch: int | None, hx: Any, weight: Tensor) -> list[Tensor]:
    """hx in torch's form, as a list of the states, if it fits the layer."""
    name, kind = f"{layer._get_name()}.start", kind_of(layer)
    states = list(hx) if isinstance(hx, (tuple, list)) else [hx]
    if len(states) != len(kind.states) or not all(isinstance(s, Tensor) for s in states):
        form = "a tensor" if len(kind.states) == 1 else f"a tuple of {len(kind.states)} tensors"
        raise TypeError(f"{name}: hx must be {form} ({', '.join(kind.states)}), got {told(hx)}")
    check_dense_states(layer.cell, "hx", hx)
    dims = len(kind.shapes(1)[0])
    B = batch if batch is not None else (states[0].shape[1] if states[0].dim() == dims else 1)
    for state, label, shape in zip(states, kind.states, kind.shapes(B)):
        if tuple(state.shape) != shape:
            raise ValueError(f"{name}: state {label} of hx is {told(state)}, expected {list(shape)}")
        if (state.dtype, state.device) != (weight.dtype, weight.device):
            raise ValueError(
                f"{name}: state {label} of hx is {state.dtype} on {state.device}, and the layer {weight.dtype} on "
                f"{weight.device}: convert it with .to()"
            )
    if torch.is_grad_enabled():
        check_no_grad(name, [(f"state {label} of hx", state) for label, state in zip(kind.states, states)])
    return states
