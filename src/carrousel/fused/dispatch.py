"""Any cell over time by fused kernel: the same numbers as `carrousel.scan`, sooner.

What is traced goes to the custom operators, what has no kernel, and what differentiates twice, to `scan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor  # type: ignore[attr-defined]
from torch.autograd import forward_ad
from torch.nn import Parameter

from carrousel.cells import Cell
from carrousel.fused.kernels import (
    KERNELS,
    Kernel,
    instruction_set,
    instruction_sets,
    use_instruction_set,
)
from carrousel.fused.operators import OPS, arguments_of
from carrousel.fused.passes import backward, drawn, forward
from carrousel.scan import scan
from carrousel.scan.layout import Layout, check_memory
from carrousel.scan.noise import Mask, Noise, draw
from carrousel.scan.weights import Weights, check_shapes

N_WEIGHTS = len(Weights._fields)

__all__ = ["OPS", "fused", "has_kernel", "instruction_set", "instruction_sets", "use_instruction_set"]


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
        return _scan(cell, x, states, weights, layout, restored)  # which says what torch says of a mixture
    kernel = KERNELS[cell.name, x.dtype]
    if not kernel.shows(layout) or (layout.bfloat16 and not kernel.single):
        return _scan(cell, x, states, weights, layout, restored)
    if cell.normed and (layout.bfloat16 or layout.noise is not None):
        return _scan(cell, x, states, weights, layout, restored)
    if torch.compiler.is_compiling():
        return _by_operator(kernel, x, states, weights, layout, restored)
    if _is_transformed() or torch.jit.is_tracing():  # type: ignore[attr-defined]
        return _scan(cell, x, states, weights, layout, restored)
    if not _fits(cell, x, states, weights, layout):
        check_shapes(cell, x, states, weights, layout, restored)
    if type(x) not in (Tensor, Parameter) or torch._C._len_torch_dispatch_stack():  # type: ignore[attr-defined]
        return _by_operator(kernel, x, states, weights, layout, restored)
    if _needs_grad(x, states + restored, weights):
        y, *rest = _apply(
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


def _scan(cell, x, states, weights, layout, restored):
    y, states, *shown = scan(cell, x, states, weights, **layout.for_scan(), restored=restored or None)
    return y, states, shown[0] if shown else None


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


class _Sequence(torch.autograd.Function):
    """The kernels in autograd; the inputs after the first four are x, the states, the weights, what is restored.

    Room for y comes in a tuple: it is no input.
    """

    @staticmethod
    def forward(ctx, kernel, layout, n_states, room, *inputs):
        x, states, weights, restored = _parts(inputs, n_states)
        y, final, shown, kept = forward(
            kernel, x, states, weights, layout, True, restored, room=None if room is None else room[0]
        )
        ctx.kernel, ctx.layout, ctx.n_states, ctx.n_shown = kernel, layout, n_states, len(shown)
        ctx.set_materialize_grads(False)
        # what the layout points at is saved only to be watched: a buffer that is filled anew is a common mistake
        ctx.save_for_backward(y, kept, layout.lengths, layout.offsets, layout.resets, *shown, *inputs)
        return y, *final, *shown

    @staticmethod
    def backward(ctx, dy, *d_rest):
        y, kept, _, _, _, *rest = ctx.saved_tensors
        shown, inputs = rest[: ctx.n_shown], rest[ctx.n_shown :]
        kernel, d_final, d_shown = ctx.kernel, d_rest[: ctx.n_states], d_rest[ctx.n_states :]
        x, states, weights, restored = _parts(inputs, ctx.n_states)
        wanted = ctx.needs_input_grad[4:]
        # create_graph: the gradient itself is to be differentiated; is_grads_batched: many gradients at once, by vmap
        if torch.is_grad_enabled() or any(d is not None and is_legacy_batchedtensor(d) for d in (dy, *d_rest)):
            d_outputs = dy, d_final, kernel.by_name(ctx.layout, d_shown)
            gradients = _by_scan(kernel.cell, x, states, weights, ctx.layout, restored, d_outputs, wanted)
        else:
            saved, d_outputs = (y, kept, shown), (dy, d_final, d_shown)
            gradients = backward(kernel, x, states, weights, ctx.layout, *saved, *d_outputs, wanted, restored)
        return None, None, None, None, *gradients


# Function.apply looks for functorch's wrappers in every argument first; `fused` has made sure that there are none.
_apply = super(torch.autograd.Function, _Sequence).apply  # type: ignore[attr-defined]


def _parts(inputs, n_states: int) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...]]:
    x, after_states, after_weights = inputs[0], 1 + n_states, 1 + n_states + N_WEIGHTS
    return x, tuple(inputs[1:after_states]), Weights(*inputs[after_states:after_weights]), tuple(inputs[after_weights:])


def _by_scan(cell, x, states, weights, layout, restored, d_outputs, wanted) -> list[Tensor | None]:
    """The gradients once more, by the specification, which can be differentiated again."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        y, final, shown = _scan(cell, x, states, weights, layout, restored)
    dy, d_final, d_shown = d_outputs
    pairs = [(y, dy), *zip(final, d_final), *((tensor, d_shown[name]) for name, tensor in (shown or {}).items())]
    outputs, given = zip(*[(out, d) for out, d in pairs if d is not None])
    inputs = (x, *states, *weights, *restored)
    asked = [t for t, want in zip(inputs, wanted) if want and t is not None]
    found = iter(torch.autograd.grad(outputs, asked, given, create_graph=differentiable, allow_unused=True))
    return [next(found) if want and t is not None else None for t, want in zip(inputs, wanted)]
