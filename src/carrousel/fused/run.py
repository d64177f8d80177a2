"""Any cell over time by fused kernel: the same numbers as `carrousel.scan`, sooner.

What is traced goes to the custom operators, what has no kernel, and what differentiates twice, to `scan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.fused.autograd import Call, by_scan, differentiable, in_full, is_transformed, standing
from carrousel.fused.call import drawn, forward
from carrousel.fused.kernels import IN_ORDER, KERNELS, LAZY, NEEDS_GRAD, WRAPPED, Kernel, look, resolved
from carrousel.fused.plan import checked_plan
from carrousel.fused.torch_compile import SequenceCall
from carrousel.scan.masks import Mask, Noise, draw
from carrousel.scan.rows import Layout, check_memory
from carrousel.scan.weights import Weights, check_shapes, with_all_heads


def kernel_of(cell: Cell, x: Tensor) -> Kernel | None:
    """The kernel by which `fused` runs this cell on x; None where it does so by `scan`."""
    kernel = KERNELS.get((cell.name, x.dtype))
    return kernel if kernel is not None and x.is_cpu and (kernel.cell is cell or kernel.cell == cell) else None


def has_kernel(cell: Cell, x: Tensor) -> bool:
    """Whether `fused` runs this cell on x by kernel, and not by `scan`."""
    return kernel_of(cell, x) is not None


def fused(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    *,
    batch_sizes: Tensor | None = None,
    lengths: Tensor | None = None,
    offsets: Tensor | None = None,
    reverse: bool = False,
    batch_first: bool = False,
    resets: Tensor | None = None,
    restored: tuple[Tensor, ...] | None = None,
    padding_value: float = 0.0,
    return_states: bool = False,
    return_gates: bool = False,
    bfloat16: bool = False,
    noise: Noise | None = None,
    memory: str = "full",
) -> Any:
    """Run a cell over a sequence by its kernel; arguments, results and errors are those of `carrousel.scan.scan`.

    Every output and every gradient has the same bits for any number of threads (torch.get_num_threads()), and for
    memory="full" and "low": with the latter the states only are kept for the backward pass, which computes again what
    else it needs.
    """
    check_memory(memory)
    layout = Layout(
        batch_sizes,
        lengths,
        offsets,
        reverse,
        batch_first,
        resets,
        padding_value,
        return_states,
        return_gates,
        bfloat16,
        noise,
        memory,
    )
    if not torch.compiler.is_compiling():  # which may look at no number; `fused_in` takes more than is promised here
        check_shapes(cell, x, states, weights, layout, restored)
    y, states, shown = fused_in(layout, cell, x, states, weights, restored or ())
    return (y, states) if shown is None else (y, states, shown)


def fused_in(
    layout: Layout,
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    restored: tuple[Tensor, ...] = (),
    room: Tensor | None = None,
    alone: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor] | None]:
    """`fused` with its keyword arguments as a layout.

    The states, and what resets restore, may be () for zeros, or [1, .] for all rows alike; R that of heads [rows*H,
    H/N]. If the layer stands `alone`, both may be [1, B, .] or [1, 1, .], and the final states are [1, B, .].

    A kernel writes y into `room`, if there is any: new memory, or a part of it in the last place, which y then is.
    The third result is None where nothing is asked for but y and the states.
    """
    kernel = kernel_of(cell, x)
    if kernel is None or not kernel.runs(layout):
        return _by_scan(cell, x, states, weights, layout, restored, alone)
    if torch.compiler.is_compiling():
        run = _by_operator if x.numel() and _alike(x, states + restored, weights) else by_scan
        return run(cell, x, states, weights, layout, restored, alone)
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        return _by_operator(cell, x, states, weights, layout, restored, alone)
    tensors = (x, *weights, *states, *restored)
    seen = look(tensors, x.dtype) if x.numel() and not is_transformed() else 0
    if not seen:
        return by_scan(cell, x, states, weights, layout, restored, alone)  # which says what torch says of a mixture
    plan = checked_plan(kernel, x, states, weights, layout, restored, alone)
    if seen & WRAPPED or torch._C._len_torch_dispatch_stack():  # type: ignore[attr-defined]
        return _by_operator(cell, x, states, weights, layout, restored, alone)
    if seen & LAZY:
        x, weights = resolved(x), Weights(*map(resolved, weights))
        states, restored = tuple(map(resolved, states)), tuple(map(resolved, restored))
    in_order = bool(seen & IN_ORDER) and layout.resets is None and not layout.is_ragged
    if seen & NEEDS_GRAD and torch.is_grad_enabled():
        call = Call(plan, kernel, layout, len(states), in_order)
        y, *rest = differentiable(call, None if room is None else (room,), x, *states, *weights, *restored)
        return _named(kernel, layout, y, rest)
    y, final, shown, _ = forward(plan, kernel, x, states, weights, layout, False, restored, False, room, in_order)
    return y, final, kernel.by_name(layout, shown) if layout.shows else None


def _by_scan(cell, x, states, weights, layout, restored, alone):
    """By the specification, which torch.jit.trace would write down step by step."""
    refuse_trace(cell)
    return by_scan(cell, x, states, weights, layout, restored, alone)


def refuse_trace(cell: Cell) -> None:
    """Raise RuntimeError under torch.jit.trace: for a cell without a kernel, whose trace would hold its steps."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined]
        raise RuntimeError(
            f"torch.jit.trace cannot take a layer of the cell {cell.name!r}, which has no kernel here: the trace would "
            "fix the numbers of steps and rows at those of this input; use torch.compile or torch.export.export"
        )


def draw_matrix(
    noise: Noise, mask: Mask, number: int, rows: Tensor | None, shape: Sequence[int], like: Tensor
) -> Tensor:
    """A mask at step 0 as a matrix of this shape, in the dtype and on the device of `like`, for rows of those numbers.

    Arguments as `carrousel.scan.masks.draw` takes them; rows [shape[0]], None: 0, 1, ...
    """
    if KERNELS and like.is_cpu and like.dtype in (torch.float32, torch.float64) and is_eager(like):
        return drawn(noise, mask, number, rows, shape, like)
    numbers = torch.arange(shape[0], device=like.device) if rows is None else rows.to(like.device)
    return draw(noise, mask, number, 0, numbers, shape[1], like)


def is_eager(x: Tensor) -> bool:
    """Whether tensors are what they seem: nothing traces, batches or wraps them."""
    if torch.compiler.is_compiling() or is_transformed() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return False
    return type(x) in (Tensor, Parameter) and not torch._C._len_torch_dispatch_stack()  # type: ignore[attr-defined]


def _named(kernel: Kernel, layout: Layout, y: Tensor, rest: list[Tensor]):
    """y, the final states, and what is shown of every step, from the kernel's outputs in their order."""
    n = len(kernel.cell.states)
    return y, tuple(rest[:n]), kernel.by_name(layout, rest[n:]) if layout.shows else None


def _alike(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> bool:
    """Whether all tensors have x's dtype and device, for what is traced."""
    return all(t is None or (t.dtype == x.dtype and t.is_cpu) for t in (*states, *weights))


def _needs_grad(tensors: Sequence[Tensor | None]) -> bool:
    """Whether a backward pass may follow; of a trace it may wherever it was made."""
    enabled = torch.is_grad_enabled() or torch.jit.is_tracing()  # type: ignore[attr-defined]
    return enabled and any(t is not None and t.requires_grad for t in tensors)


def _by_operator(cell, x, states, weights, layout, restored, alone=False):
    kernel, weights = KERNELS[cell.name, x.dtype], with_all_heads(cell, weights)
    # no zeros: a trace would hold their number of rows
    states, restored = in_full(cell, x, states, weights, layout, restored, zeros=_counts_rows(layout))
    refuse_onnx(cell)
    keep = _needs_grad((x, *states, *weights, *restored))
    call = SequenceCall(cell.name, x, states, weights, restored, layout)
    y, *rest = torch.ops.carrousel.sequence(*call.arguments(), keep)
    y, final, shown = _named(kernel, layout, y, rest)
    return y, standing(final, alone), shown


def refuse_onnx(cell: Cell) -> None:
    """Raise RuntimeError in an export to ONNX, which has no operator of ours."""
    if torch.onnx.is_in_onnx_export():
        raise RuntimeError(
            f"torch.onnx.export cannot express this layer, whose cell is {cell.name!r}: of our layers it takes LSTM, "
            "GRU and RNN, without lengths, offsets, resets, random masks and states or gates of every step"
        )


def _counts_rows(layout):
    """Whether torch.compile cannot know how many rows flat x has, unless there are states."""
    return layout.is_flat and torch.compiler.is_compiling()
