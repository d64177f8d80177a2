"""torch's own recurrent functions, cuDNN's on a GPU, and which calls they run.

Letters: T time, B batch, I input, H hidden units, P the width of h, L layers, D directions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import _VF, Tensor  # type: ignore
from torch.backends.cudnn.rnn import get_cudnn_mode

from carrousel.cells import ALL, Cell
from carrousel.fused import has_kernel
from carrousel.layers.onnx_nodes import run_onnx
from carrousel.scan.weights import Weights

# Looked up once: every call of a layer uses them.
is_compiling: Callable[[], bool] = torch.compiler.is_compiling
get_tracing_state: Callable[[], Any] = torch._C._get_tracing_state  # type: ignore[attr-defined]

# torch's function for a whole stack of layers of each of its cells.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lstm": _VF.lstm,
    "gru": _VF.gru,
    "rnn_tanh": _VF.rnn_tanh,
    "rnn_relu": _VF.rnn_relu,
}


def is_standard(cell: Cell, proj_size: int = 0) -> bool:
    """Whether torch has this cell, with this projection, which only torch's lstm has.

    A user's cell may have the name of one of torch's.
    """
    return cell.name in FUNCTIONS and cell == ALL[cell.name] and (not proj_size or cell.name == "lstm")


def runs_in_torch(standard: bool, cell: Cell, x: Tensor, W: Tensor, rounded: bool) -> bool:
    """Whether torch's own function runs a layer for x, instead of our kernel or `scan`.

    It runs torch's cells if there is no kernel (on a GPU, where nothing beats cuDNN; for 16-bit and complex numbers; on
    a machine that could not compile the kernels), under autocast to a dtype that our kernels do not have, and in an
    export to ONNX, which has torch's functions.

    Args:
        standard: whether torch has the cell.
        cell: of the layer.
        x: the input.
        W: the layer's first weight.
        rounded: whether the layer runs in bfloat16, `carrousel.layers.autocast.rounds(W)`.
    """
    if not standard:
        return False
    if rounded:
        return not (has_kernel(cell, W) and x.is_cpu and x.dtype != torch.float64)
    if torch.is_autocast_enabled("cpu"):
        return True
    return not has_kernel(cell, x) or is_onnx_export()


def is_onnx_export() -> bool:
    """Whether torch.onnx.export is running, with dynamo=True or False."""
    return (is_compiling() or get_tracing_state() is not None) and torch.onnx.is_in_onnx_export()


class Flags(NamedTuple):
    """The options of a layer that torch's functions take, in their order."""

    bias: bool
    num_layers: int
    dropout: float
    training: bool
    bidirectional: bool
    batch_first: bool


def run_torch(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: list[list[Weights]],
    flags: Flags,
    batch_sizes: Tensor | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run all layers by torch's own function.

    Args:
        cell: a standard one.
        x: [T, B, I], [B, T, I] if the layer is batch_first, or packed [N, I] with `batch_sizes`.
        states: the first [L*D, B, P], the others [L*D, B, H].
        weights: [L][D].
        flags: of the layer.
        batch_sizes: rows of the batch at each step [T] of packed data.

    Returns:
        y as x with D*P in the last dimension, and the final states as `states`.
    """
    if torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export() and hasattr(torch.onnx, "ops"):  # torch 2.8
        check_onnx(weights, batch_sizes)
        return run_onnx(cell, x, states, weights, flags.dropout if flags.training else 0.0, flags.batch_first)
    # an initial state that all rows share is not contiguous, and cuDNN refuses it
    states = tuple([state.contiguous() for state in states])
    hx = states[0] if len(states) == 1 else states
    flat = [w for directions in weights for of_direction in directions for w in of_direction if w is not None]
    function = FUNCTIONS[cell.name]
    if batch_sizes is None:
        y, *finals = function(x, hx, flat, *flags)
    else:
        y, *finals = function(x, batch_sizes, hx, flat, *flags[:-1])
    return y, tuple(finals)


def check_onnx(weights: list[list[Weights]], batch_sizes: Tensor | None) -> None:
    """Raise RuntimeError for what ONNX's nodes do not have."""
    if (P := weights[0][0].P) is not None:
        raise RuntimeError(
            f"torch.onnx.export: ONNX has no LSTM with a projection, but proj_size={P.shape[0]}: use proj_size=0"
        )
    if batch_sizes is not None:
        raise RuntimeError("torch.onnx.export does not take a PackedSequence: give a padded tensor")


def flatten_for_cudnn(weights: list[Tensor], number: int, mode: str, *sizes: int) -> None:
    """Move the weights of a layer into one block of GPU memory, in cuDNN's order; they keep their values.

    If they are not in one block, cuDNN copies them into one at each call, and torch warns. Nothing happens if cuDNN
    does not accept them, or if two of them share memory.

    Args:
        weights: all of them, in the order of state_dict.
        number: how many of them one layer and direction has.
        mode: torch's name of the cell.
        sizes: input_size, hidden_size, proj_size, num_layers, batch_first and bidirectional.
    """
    if not all(isinstance(w, Tensor) and w.is_cuda and w.dtype == weights[0].dtype for w in weights):
        return
    if not all(torch.backends.cudnn.is_acceptable(w) for w in weights) or not torch._use_cudnn_rnn_flatten_weight():  # type: ignore
        return
    if len({w.data_ptr() for w in weights}) < len(weights):
        return
    with torch.cuda.device_of(weights[0]), torch.no_grad():
        torch._cudnn_rnn_flatten_weight(weights, number, sizes[0], get_cudnn_mode(mode), *sizes[1:])  # type: ignore
