"""`fused`: any cell over a sequence. The same results as `carrousel.scan.scan`, faster.

It runs the kernel; what is traced goes to the custom operators, and what has no kernel or is transformed to `scan`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.fused.autograd import Call, apply_sequence, expand_both, is_transformed, run_scan, stack_single
from carrousel.fused.call import call_forward, write_mask
from carrousel.fused.kernels import IN_ORDER, KERNELS, LAZY, NEEDS_GRAD, WRAPPED, Kernel, look, resolve
from carrousel.fused.plan import find_plan
from carrousel.fused.torch_compile import SequenceCall
from carrousel.scan.constant import mark_constant
from carrousel.scan.masks import Mask, Masks, sample_mask
from carrousel.scan.options import PLAIN, Options, check_memory
from carrousel.scan.rows import DENSE, Rows
from carrousel.scan.weights import Weights, with_all_heads


def find_kernel(cell: Cell, x: Tensor) -> Kernel | None:
    """The kernel that runs this cell on x; None if `scan` does."""
    kernel = KERNELS.get((cell.name, x.dtype))
    return kernel if kernel is not None and x.is_cpu and (kernel.cell is cell or kernel.cell == cell) else None


def has_kernel(cell: Cell, x: Tensor) -> bool:
    """Whether `fused` runs this cell on x by a kernel, and not by `scan`."""
    return find_kernel(cell, x) is not None


def fused(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows = DENSE,
    options: Options = PLAIN,
    restored: tuple[Tensor, ...] = (),
    into: Tensor | None = None,
    is_single: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor] | None]:
    """Run a cell over a sequence by its kernel. Arguments, results and errors are those of `carrousel.scan.scan`.

    Every output and every gradient has the same bits for any number of threads (torch.get_num_threads()), and for each
    `options.memory`.

    Args:
        cell, x, weights, rows, options: as `scan` takes them. R may also be that of N heads [rows*H, H/N].
        states, restored: as `scan` takes them; also () for zeros, and [1, .] for the same in all rows.
        into: memory that a kernel writes y to, new or a slice of its last dimension. Default: a new tensor.
        is_single: the layer is not stacked and has one direction: states and restored may be [1, B, .] or [1, 1, .],
            and the final states are [1, B, .]. Default False.

    Returns:
        y, the final states, and the states and gates of every step, or None.
    """
    kernel = find_kernel(cell, x)
    if kernel is None or not kernel.supports(options):
        check_memory(options.memory)
        refuse_trace(cell)
        return run_scan(cell, x, states, weights, rows, options, restored, is_single)
    if torch.compiler.is_compiling():
        run = _run_operator if x.numel() and _have_one_dtype(x, states + restored, weights) else run_scan
        return run(cell, x, states, weights, rows, options, restored, is_single)
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        return _run_operator(cell, x, states, weights, rows, options, restored, is_single)
    seen = look((x, *weights, *states, *restored), x.dtype) if x.numel() and not is_transformed() else 0
    if not seen:  # of mixed dtypes or devices, it raises what torch raises
        return run_scan(cell, x, states, weights, rows, options, restored, is_single)
    plan = find_plan(kernel, x, states, weights, rows, options, restored, is_single)
    if seen & WRAPPED or torch._C._len_torch_dispatch_stack():  # type: ignore[attr-defined]
        return _run_operator(cell, x, states, weights, rows, options, restored, is_single)
    if seen & LAZY:
        x, weights = resolve(x), Weights(*map(resolve, weights))
        states, restored = tuple(map(resolve, states)), tuple(map(resolve, restored))
    is_contiguous = bool(seen & IN_ORDER) and rows.resets is None and not rows.is_ragged
    if seen & NEEDS_GRAD and torch.is_grad_enabled():
        call = Call(plan, kernel, rows, options, len(states), is_contiguous)
        y, *rest = apply_sequence(call, None if into is None else (into,), x, *states, *weights, *restored)
        return _name_outputs(kernel, options, y, rest)
    y, final, inside, _ = call_forward(
        plan,
        kernel,
        x,
        states,
        weights,
        rows,
        options,
        restored,
        save=False,
        into=into,
        is_contiguous=is_contiguous,
    )
    return y, final, kernel.name_inside(options, inside) if options.asks_inside else None


def _name_outputs(kernel: Kernel, options: Options, y: Tensor, rest: list[Tensor]):
    """y, the final states, and by name what is returned of every step, from the outputs of a kernel in their order."""
    n = len(kernel.cell.states)
    return y, tuple(rest[:n]), kernel.name_inside(options, rest[n:]) if options.asks_inside else None


# ---- what is traced -------------------------------------------------------------------------------------------------


def _run_operator(cell, x, states, weights, rows, options, restored, is_single=False):
    """By torch.ops.carrousel.sequence."""
    kernel, weights = KERNELS[cell.name, x.dtype], with_all_heads(cell, weights)
    # no zeros unless they are needed: a trace would fix their number of rows
    states, restored = expand_both(cell, x, states, weights, rows, restored, zeros=_has_unknown_rows(rows))
    refuse_onnx(cell)
    keep = _needs_grad((x, *states, *weights, *restored))
    call = SequenceCall(cell.name, x, states, weights, restored, rows, options)
    y, *rest = torch.ops.carrousel.sequence(*call.arguments(), keep)
    y, final, inside = _name_outputs(kernel, options, y, rest)
    return y, stack_single(final, is_single), inside


def _have_one_dtype(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> bool:
    """Whether all tensors have x's dtype and are on the CPU, for what is traced."""
    return all(t is None or (t.dtype == x.dtype and t.is_cpu) for t in (*states, *weights))


def _needs_grad(tensors: Sequence[Tensor | None]) -> bool:
    """Whether a backward pass may follow; one of a trace may follow wherever it was made."""
    enabled = torch.is_grad_enabled() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return enabled and any(t is not None and t.requires_grad for t in tensors)


def _has_unknown_rows(rows: Rows) -> bool:
    """Whether torch.compile cannot know B, unless there are states: where x is flat."""
    return rows.is_flat and torch.compiler.is_compiling()


def refuse_trace(cell: Cell) -> None:
    """Raise RuntimeError under torch.jit.trace: the trace of a cell without a kernel would hold its steps."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        raise RuntimeError(
            f"torch.jit.trace cannot take a layer of the cell {cell.name!r}, which has no kernel here: the trace would "
            "fix the numbers of steps and rows at those of this input; use torch.compile or torch.export.export"
        )


@mark_constant  # dynamo would take torch.onnx.is_in_onnx_export() for False
def _is_onnx_export() -> bool:
    return torch.onnx.is_in_onnx_export()


def refuse_onnx(cell: Cell) -> None:
    """Raise RuntimeError in an export to ONNX, which has no operator of ours."""
    if _is_onnx_export():
        raise RuntimeError(
            f"torch.onnx.export cannot express this layer, whose cell is {cell.name!r}: of our layers it takes LSTM, "
            "GRU and RNN, without lengths, offsets, resets, random masks and states or gates of every step"
        )


# ---- masks as matrices ----------------------------------------------------------------------------------------------


def sample_matrix(
    masks: Masks, mask: Mask, number: int, rows: Tensor | None, shape: Sequence[int], like: Tensor
) -> Tensor:
    """A mask at step 0 as a matrix of this shape, in the dtype and on the device of `like`.

    Arguments as `carrousel.scan.masks.sample_mask` takes them; rows [shape[0]], None: 0, 1, ...
    """
    if KERNELS and like.is_cpu and like.dtype in (torch.float32, torch.float64) and is_eager(like):
        return write_mask(masks, mask, number, rows, shape, like)
    numbers = torch.arange(shape[0], device=like.device) if rows is None else rows.to(like.device)
    return sample_mask(masks, mask, number, 0, numbers, shape[1], like)


def is_eager(x: Tensor) -> bool:
    """Whether nothing traces, batches or wraps the tensors of this call."""
    if torch.compiler.is_compiling() or is_transformed() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return False
    return type(x) in (Tensor, Parameter) and not torch._C._len_torch_dispatch_stack()  # type: ignore[attr-defined]
