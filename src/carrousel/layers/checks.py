"""Argument checks that raise what torch.nn raises, with its messages if they say what is wrong."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.scan.try_step import try_step
from carrousel.scan.weights import reads_h


def check_options(
    input_size: Any, hidden_size: Any, num_layers: Any, bias: Any, batch_first: Any, dropout: Any, proj_size: Any
) -> None:
    """Raise what torch.nn's constructors raise, in their order; warn if dropout has no effect."""
    float(dropout)  # torch's first step, which raises what float() raises
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:  # type: ignore
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if dropout > 0 and num_layers == 1:  # type: ignore
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,  # the line that makes the layer, above Parameters.__init__ and LSTM.__init__
        )
    _check_type("bias", bias, bool)
    _check_type("batch_first", batch_first, bool)
    for name, size in {"input_size": input_size, "hidden_size": hidden_size}.items():
        _check_type(name, size, int)
        _check_positive(name, size)
    _check_positive("num_layers", num_layers)
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


def check_cell(cell: Any, pointwise: bool) -> None:
    """Raise if it is not a cell, or, if it must be `pointwise`, if its step is not. Those of carrousel.cells are.

    Raises:
        TypeError: it is not a `Cell`; and what `carrousel.scan.try_step` raises.
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"cell={cell!r} must be a Cell, such as carrousel.cells.ALL['lstm'], or a Cell of yours")
    if pointwise and ALL.get(cell.name) is not cell:
        try_step(cell)


def check_projection(cell: Cell, proj_size: Any) -> None:
    """Raise ValueError if h is projected, and the cell needs its full width."""
    if proj_size and cell.normed:
        raise ValueError(
            f"proj_size={proj_size} does not go with the cell {cell.name}, which normalises R h: leave it out"
        )
    if proj_size and reads_h(cell):
        raise ValueError(
            f"proj_size={proj_size} does not go with the cell {cell.name}: its equations use h at its full width"
        )


def check_flag(name: str, value: Any) -> None:
    """Raise TypeError if an option is neither True nor False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}={value!r} must be True or False")


def _check_type(name: str, value: Any, expected: type) -> None:
    if not isinstance(value, expected):
        raise TypeError(f"{name} should be of type {expected.__name__}, got: {type(value).__name__}")


def _check_positive(name: str, value: Any) -> None:
    if value <= 0:
        raise ValueError(f"{name} must be greater than zero")


def check_no_projection(proj_size: Any) -> None:
    """Raise ValueError if proj_size is not 0, for GRU and RNN.

    torch.nn makes such a layer if the size is given by position, but cannot run it.
    """
    if proj_size != 0:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


def describe(x: Any) -> str:
    """An argument in a few words, for an error message."""
    if isinstance(x, (tuple, list)):
        return f"a {type(x).__name__} of {len(x)}"
    return f"{list(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"


def count_dims(layer: str, cell: Cell, hx: Any) -> list[int]:
    """The dimensions of each state of hx, as the caller gave it; for anything but tensors, torch.nn's exceptions."""
    try:
        return [hx[k].dim() for k in range(len(cell.states))] if len(cell.states) > 1 else [hx.dim()]
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        number, names = len(cell.states), ", ".join(cell.states)
        form = f"a tuple of {number} tensors ({names})" if number > 1 else f"one tensor, {names}"
        advice = "; state.hx() is one" if callable(getattr(hx, "hx", None)) else ""
        kind = TypeError if isinstance(error, KeyError) else type(error)
        raise kind(f"{layer}: hx is {describe(hx)}, expected {form}{advice}") from None


def check_state_dims(layer: str, cell: Cell, hx: Any, dims: int) -> None:
    """Raise if hx, as the caller gave it, does not have as many dimensions as the input: 3, or 2 without a batch."""
    found = count_dims(layer, cell, hx)
    if found.count(dims) == len(found):
        return
    form = "batched 3-D" if dims == 3 else "unbatched 2-D"
    names = " and ".join(f"{state}x" for state in cell.states) if len(found) > 1 else "hx"
    got = f"({', '.join(f'{d}-D' for d in found)}) tensors" if len(found) > 1 else f"{found[0]}-D tensor"
    raise RuntimeError(f"For {form} input, {names} should also be {dims}-D but got {got}")


def check_input(x: Tensor, W: Tensor, input_size: int, packed: bool, many_states: bool) -> None:
    """Raise if x [T, B, I], or [N, I] if packed, does not have the weights' dtype and device and the layer's width.

    A wrong dtype of packed data raises another exception in an LSTM, because torch.nn.LSTM leaves it to its kernels.
    """
    check_dense("input", x)
    if x.dtype != W.dtype and not torch.is_autocast_enabled(x.device.type):
        error = RuntimeError if packed and many_states else ValueError
        raise error(
            f"RNN input dtype ({x.dtype}) does not match weight dtype ({W.dtype}). "
            f"Convert input: input.to({W.dtype}), or convert model: model.to({x.dtype})"
        )
    dims = 2 if packed else 3
    if x.dim() != dims:
        raise RuntimeError(f"input must have {dims} dimensions, got {x.dim()}")
    if x.shape[-1] != input_size:
        raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {input_size}, got {x.shape[-1]}")
    check_same_device("parameter", x, W)


def check_states_belong(x: Tensor, states: tuple[Tensor, ...]) -> None:
    """Raise if a state does not have the device of x and, without autocast, its dtype."""
    for state in states:
        check_same_device("hidden", x, state)
        if state.dtype != x.dtype and not torch.is_autocast_enabled(x.device.type):
            raise RuntimeError(
                f"Input and hidden tensors are not the same dtype, found input tensor with {x.dtype} and hidden tensor "
                f"with {state.dtype}: convert hx with .to({x.dtype})"
            )


def check_dense(name: str, tensor: Any) -> None:
    """Raise RuntimeError if it is a tensor that is sparse, nested or in oneDNN's layout."""
    if isinstance(tensor, Tensor) and (wrong := describe_layout(name, tensor)):
        raise RuntimeError(f"{name} {wrong}")


def check_dense_states(cell: Cell, argument: str, states: Any) -> None:
    """Raise RuntimeError if a state that the caller gave, in hx or another argument, is not dense."""
    if len(cell.states) == 1:
        return check_dense(argument, states)
    for k, state in enumerate(states):
        check_dense(f"{argument}[{k}]", state)


def describe_layout(name: str, tensor: Tensor) -> str:
    """What is wrong with the layout of a tensor, and the remedy; "" if it is dense."""
    if tensor.is_nested:
        jagged = tensor.layout is torch.jagged and name == "input"
        remedy = "layer(input.values(), offsets=input.offsets())" if jagged else f"{name}.to_padded_tensor(0)"
        return f"is a nested tensor, but must be dense: give {remedy}"
    if tensor.layout is not torch.strided:
        return f"has the layout {tensor.layout}, but must be dense: {name}.to_dense() makes one"
    return ""


def check_same_device(kind: str, x: Tensor, other: Tensor) -> None:
    """Raise if x and a weight (kind "parameter") or a state (kind "hidden") are not on one device."""
    if x.device != other.device:
        raise RuntimeError(
            f"Input and {kind} tensors are not at the same device, found input tensor at {x.device} and {kind} tensor "
            f"at {other.device}"
        )
