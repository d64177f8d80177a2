"""torch's own recurrent functions (on a GPU: cuDNN's), and which inputs go to them.

Letters: T time, B batch, I input, H hidden units, P the width of h, L layers, D directions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import _VF, Tensor  # type: ignore
from torch.backends.cudnn.rnn import get_cudnn_mode

from carrousel.cells import ALL, Cell
from carrousel.fused import has_kernel
from carrousel.layers.onnx_nodes import run_onnx
from carrousel.scan.weights import Weights

# Looked up once: every call of a layer asks.
is_compiling, get_tracing_state = torch.compiler.is_compiling, torch._C._get_tracing_state  # type: ignore[attr-defined]

# The cells that torch has, and its function for a whole stack of layers of each.
FUNCTIONS = {"lstm": _VF.lstm, "gru": _VF.gru, "rnn_tanh": _VF.rnn_tanh, "rnn_relu": _VF.rnn_relu}


def is_standard(cell: Cell, proj_size: int = 0) -> bool:
    """Whether torch computes this very cell, with this projection, which of torch's functions only lstm knows.

    A cell of somebody's own may bear the name of one of torch's.
    """
    return cell.name in FUNCTIONS and cell == ALL[cell.name] and (not proj_size or cell.name == "lstm")


def belongs_to_torch(standard: bool, cell: Cell, x: Tensor, W: Tensor, rounded: bool) -> bool:
    """Whether torch's own function computes a layer for x, rather than our kernel or `scan`.

    It does for the cells that torch has, where there is no kernel (on a GPU, where nothing beats cuDNN; for 16-bit and
    complex numbers; on a machine that could not compile the kernels), under autocast to what our kernels do not know,
    and in an export to ONNX, which knows torch's functions. W is the layer's first weight, and `rounded` what
    `carrousel.layers.autocast.rounds` says of it.
    """
    if not standard:
        return False
    if rounded:
        return not (has_kernel(cell, W) and x.is_cpu and x.dtype != torch.float64)
    if torch.is_autocast_enabled("cpu"):
        return True
    return not has_kernel(cell, x) or is_onnx_export()


def is_onnx_export() -> bool:
    """Whether torch.onnx.export is at work, by the new way or the old one."""
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
        y as x with D*P in the last place, and the final states as `states`.
    """
    if torch.compiler.is_compiling() and torch.onnx.is_in_onnx_export() and hasattr(torch.onnx, "ops"):  # torch 2.8
        check_onnx(weights, batch_sizes)
        return run_onnx(cell, x, states, weights, flags.dropout if flags.training else 0.0, flags.batch_first)
    # one initial state of all rows is not contiguous, and cuDNN refuses it
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
    """Raise RuntimeError for what no node of ONNX does."""
    if (P := weights[0][0].P) is not None:
        raise RuntimeError(f"torch.onnx.export: ONNX has no LSTM with a projection, and proj_size={P.shape[0]}")
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
