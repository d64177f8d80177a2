"""Any cell over time by fused kernel: the same numbers as `carrousel.scan`, sooner.

What is traced goes to the custom operators, what has no kernel, and what differentiates twice, to `scan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.fused.autograd import by_scan, differentiable
from carrousel.fused.kernels import KERNELS, Kernel
from carrousel.fused.operators import arguments_of
from carrousel.fused.passes import drawn, forward
from carrousel.scan.layout import Layout, check_memory
from carrousel.scan.noise import Mask, Noise, draw
from carrousel.scan.weights import Weights, check_shapes


def has_kernel(cell: Cell, x: Tensor) -> bool:
    """Whether `fused` runs this cell on x by kernel, and not by `scan`."""
    kernel = KERNELS.get((cell.name, x.dtype))
    return kernel is not None and x.is_cpu and (kernel.cell is cell or kernel.cell == cell)


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
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor] | None]:
    """`fused` with its keyword arguments as a layout; what resets restore is () for zeros.

    A kernel writes y into `room`, if there is any: new memory, or a part of it in the last place, which y then is.
    The third result is None where nothing is asked for but y and the states.
    """
    if not has_kernel(cell, x) or not x.numel() or not _alike(x, states + restored, weights):
        return by_scan(cell, x, states, weights, layout, restored)  # which says what torch says of a mixture
    kernel = KERNELS[cell.name, x.dtype]
    if not kernel.shows(layout) or (layout.bfloat16 and not kernel.single):
        return by_scan(cell, x, states, weights, layout, restored)
    if cell.normed and (layout.bfloat16 or layout.noise is not None):
        return by_scan(cell, x, states, weights, layout, restored)
    if torch.compiler.is_compiling():
        return _by_operator(kernel, x, states, weights, layout, restored)
    if _is_transformed() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return by_scan(cell, x, states, weights, layout, restored)
    if not _fits(cell, x, states, weights, layout):
        check_shapes(cell, x, states, weights, layout, restored)
    if type(x) not in (Tensor, Parameter) or torch._C._len_torch_dispatch_stack():  # type: ignore[attr-defined]
        return _by_operator(kernel, x, states, weights, layout, restored)
    if _needs_grad(x, states + restored, weights):
        y, *rest = differentiable(
            kernel, layout, len(states), None if room is None else (room,), x, *states, *weights, *restored
        )
        return _named(kernel, layout, y, rest)
    y, final, shown, _ = forward(kernel, x, states, weights, layout, False, restored, room=room)
    return y, final, kernel.by_name(layout, shown) if layout.shows else None


def draw_matrix(
    noise: Noise, mask: Mask, number: int, rows: Tensor | None, shape: Sequence[int], like: Tensor
) -> Tensor:
    """A mask at step 0 as a matrix of this shape, in the dtype and on the device of `like`, for rows of those numbers.

    Arguments as `carrousel.scan.noise.draw` takes them; rows [shape[0]], None: 0, 1, ...
    """
    if KERNELS and like.is_cpu and like.dtype in (torch.float32, torch.float64) and is_eager(like):
        return drawn(noise, mask, number, rows, shape, like)
    numbers = torch.arange(shape[0], device=like.device) if rows is None else rows.to(like.device)
    return draw(noise, mask, number, 0, numbers, shape[1], like)


def is_eager(x: Tensor) -> bool:
    """Whether tensors are what they seem: nothing traces, batches or wraps them."""
    if torch.compiler.is_compiling() or _is_transformed() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return False
    return type(x) in (Tensor, Parameter) and not torch._C._len_torch_dispatch_stack()  # type: ignore[attr-defined]


def _is_transformed() -> bool:
    """Whether torch.func or dual numbers (torch.autograd.forward_ad) are at work: they need torch operations."""
    return torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0  # type: ignore[attr-defined]


def _named(kernel: Kernel, layout: Layout, y: Tensor, rest: list[Tensor]):
    """y, the final states, and what is shown of every step, from the kernel's outputs in their order."""
    n = len(kernel.cell.states)
    return y, tuple(rest[:n]), kernel.by_name(layout, rest[n:]) if layout.shows else None


def _alike(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> bool:
    """Whether all tensors have x's dtype and device."""
    dtype = x.dtype
    for t in (*states, *weights):  # noqa: SIM110  a generator takes twice the time, which a small network would feel
        if t is not None and not (t.dtype == dtype and t.is_cpu):
            return False
    return True


def _fits(cell: Cell, x: Tensor, states: tuple[Tensor, ...], weights: Weights, layout: Layout) -> bool:
    """Whether the shapes are as they mostly are: the checks that say what is wrong take as long as a small network."""
    W, R, b_x, b_h, c, P = weights
    if b_x is None or b_h is None or c is not None or P is not None or cell.weights or len(cell.fed) > 1:
        return False
    if layout.is_flat or layout.is_ragged or layout.resets is not None:
        return False
    if layout.noise is not None and len(layout.noise.masks) not in (0, len(cell.masks)):
        return False
    (T_or_B, B_or_T, width), (rows, I), (h_rows, H) = x.shape, W.shape, R.shape
    state = (T_or_B if layout.batch_first else B_or_T, H)
    return (
        width == I
        and rows == len(cell.from_x) * H
        and h_rows == len(cell.from_h) * H
        and b_x.shape == (rows,)
        and b_h.shape == (h_rows,)
        and len(states) == len(cell.states)
        and all(s.shape == state for s in states)
    )


def _needs_grad(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> bool:
    if not torch.is_grad_enabled():
        return False
    for t in (*weights, x, *states):  # noqa: SIM110
        if t is not None and t.requires_grad:
            return True
    return False


def _by_operator(kernel, x, states, weights, layout, restored):
    keep = _needs_grad(x, states + restored, weights)
    name, states, restored = kernel.cell.name, list(states), list(restored)
    y, *rest = torch.ops.carrousel.sequence(name, x, states, *weights, restored, *arguments_of(layout), keep)
    return _named(kernel, layout, y, rest)
