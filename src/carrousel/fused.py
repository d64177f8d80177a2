"""Any cell over time by fused kernel: the same numbers as `carrousel.scan`, faster. The only importer of the extension.

In eager mode an autograd function calls the kernels directly; under torch.compile the same two computations are the
custom operators `carrousel::sequence` and `carrousel::sequence_backward` (the dispatcher would cost small sequences
more than the kernel takes). Double backward, and every device, dtype or cell that has no kernel, goes to `scan`.
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from carrousel import cells
from carrousel.cells import Cell
from carrousel.scan import Weights, check_shapes, scan

try:
    from carrousel import _kernels
except ImportError as reason:
    _kernels = None
    warnings.warn(
        f"carrousel runs without its compiled kernels, in plain torch and much slower ({reason}). "
        "Install a C++20 compiler (Debian, Ubuntu: apt install g++) and then carrousel again.",
        RuntimeWarning,
        stacklevel=2,
    )

OPS = ("sequence", "sequence_backward")  # in torch.ops.carrousel


def instruction_set() -> str | None:
    """Return the kernels' instruction set in force ("avx512", "avx2", "baseline", "neon"); None without kernels."""
    return _kernels.instruction_set() if _kernels else None


def instruction_sets() -> list[str]:
    """Return the instruction sets that this machine can run, best first; empty without kernels."""
    return _kernels.instruction_sets() if _kernels else []


def use_instruction_set(name: str) -> None:
    """Force an instruction set for the whole process, as the environment variable CARROUSEL_ISA does at the start.

    Raises:
        ValueError: this machine or this build does not have it.
    """
    if not _kernels or not _kernels.use_instruction_set(name):
        raise ValueError(f"instruction set {name!r} is not to be had here; choose from {instruction_sets()}")


if "CARROUSEL_ISA" in os.environ:
    use_instruction_set(os.environ["CARROUSEL_ISA"])


class _Kernel(NamedTuple):
    """A cell's kernel in one dtype."""

    forward: object
    backward: object
    kept_size: object  # H -> elements a row
    history: tuple[bool, ...]  # the states that backward reads


@cache
def _kernel(cell: Cell, dtype: torch.dtype) -> _Kernel | None:
    """The kernel of a cell, or None where there is none: another dtype, or a cell that is not built in."""
    suffix = {torch.float32: "float32", torch.float64: "float64"}.get(dtype)
    found = _kernels.describe(cell.name) if _kernels and suffix and cells.ALL.get(cell.name) == cell else None
    if found is None:
        return None
    name, single = cell.name, dtype == torch.float32
    return _Kernel(
        getattr(_kernels, f"forward_{suffix}"),
        getattr(_kernels, f"backward_{suffix}"),
        cache(lambda H: _kernels.kept_size(name, H, single)),
        found[1],
    )


def has_kernel(cell: Cell, x: Tensor) -> bool:
    """Whether `fused` runs this cell on x by kernel, and not by `scan`."""
    return x.device.type == "cpu" and _kernel(cell, x.dtype) is not None


def fused(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    *,
    batch_sizes: Tensor | None = None,
    reverse: bool = False,
    batch_first: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell over a sequence by its kernel; arguments, results and errors are those of `carrousel.scan.scan`.

    Every output and every gradient has the same bits for any number of threads (torch.get_num_threads()).
    """
    layout = {"batch_sizes": batch_sizes, "reverse": reverse, "batch_first": batch_first}
    if not has_kernel(cell, x) or not x.numel() or not _alike(x, states, weights):
        return scan(cell, x, states, weights, **layout)
    if torch.compiler.is_compiling():
        y, *final = torch.ops.carrousel.sequence(cell.name, x, list(states), *weights, *layout.values())[: 1 + len(states)]
        return y, tuple(final)
    check_shapes(cell, x.transpose(0, 1) if batch_first and batch_sizes is None else x, states, weights, batch_sizes)
    if torch.is_grad_enabled() and _needs_grad(x, states, weights):
        y, *final = _Sequence.apply(cell, layout, len(states), x, *states, *weights)
        return y, tuple(final)
    y, final, _ = _forward(cell, x, states, weights, keep=False, **layout)
    return y, final


def _alike(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> bool:
    """Whether all tensors have x's dtype and device; if not, `scan` says what torch says of it."""
    dtype, device = x.dtype, x.device
    return all(t is None or (t.dtype == dtype and t.device == device) for t in (*states, *weights))


def _needs_grad(x: Tensor, states: tuple[Tensor, ...], weights: Weights) -> bool:
    return x.requires_grad or any(t is not None and t.requires_grad for t in (*weights, *states))


# ---- the two computations: tensors in, tensors out, no autograd ----


class _Saved(NamedTuple):
    """What the forward pass leaves for the backward pass."""

    kept: Tensor | None = None
    unprojected: Tensor | None = None
    history: tuple[Tensor | None, ...] = ()


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _addresses(tensors) -> tuple[int, ...]:
    return tuple([0 if t is None else t.data_ptr() for t in tensors])


def _sizes(x: Tensor, weights: Weights, blocks: int, batch_sizes: Tensor | None, reverse: bool, batch_first: bool):
    """The sizes and strides that the kernel wants; see bindings/module.cpp for their order."""
    H, P = weights.W.shape[0] // blocks, weights.R.shape[1]
    if batch_sizes is not None:
        T, B, step, row = len(batch_sizes), int(batch_sizes[0]), 0, 0
    elif batch_first:
        B, T = x.shape[:2]
        step, row = 1, T
    else:
        T, B = x.shape[:2]
        step, row = B, 1
    return T, B, step, row, int(reverse), x.shape[-1], H, P, P, torch.get_num_threads()


def _forward(cell, x, states, weights, batch_sizes, reverse, batch_first, keep):
    """Return y, the final states and what backward needs (nothing, unless `keep`). All inputs are contiguous or made so."""
    kernel = _kernel(cell, x.dtype)
    x, weights, states = x.contiguous(), Weights(*_contiguous(weights)), _contiguous(states)
    sizes = _sizes(x, weights, len(cell.from_x), batch_sizes, reverse, batch_first)
    _, B, *_, H, P, _, _ = sizes
    N = x.shape[:-1]
    y = x.new_empty(*N, P)
    final = tuple([x.new_empty(B, H if k else P) for k in range(len(states))])
    saved = _Saved()
    if keep:
        rows = x.numel() // x.shape[-1]
        saved = _Saved(
            x.new_empty(rows * kernel.kept_size(H)),
            x.new_empty(rows, H) if weights.P is not None else None,
            tuple([x.new_empty(*N, H) if k and needed else None for k, needed in enumerate(kernel.history)]),
        )
    kernel.forward(
        cell.name,
        sizes,
        _addresses((batch_sizes, x, *weights)),
        _addresses((y, saved.kept, saved.unprojected)),
        _addresses(states),
        _addresses(final),
        _addresses(saved.history),
    )
    return y, final, saved


def _backward(cell, x, states, weights, y, saved, dy, d_final, wanted, batch_sizes, reverse, batch_first):
    """Return the gradients of (x, *states, *weights), None where `wanted` says so."""
    kernel = _kernel(cell, x.dtype)
    x, weights, states = x.contiguous(), Weights(*_contiguous(weights)), _contiguous(states)
    sizes = _sizes(x, weights, len(cell.from_x), batch_sizes, reverse, batch_first)
    dy, ld_dy = _rows_in_order(dy)
    d_final = _contiguous(d_final)
    inputs = (x, *states, *weights)
    gradients = [torch.empty_like(t) if want and t is not None else None for t, want in zip(inputs, wanted)]
    dx, d_initial, d_weights = gradients[0], gradients[1 : 1 + len(states)], gradients[1 + len(states) :]
    kernel.backward(
        cell.name,
        sizes,
        _addresses((batch_sizes, x, *weights)),
        _addresses((y, saved.kept, saved.unprojected)),
        _addresses(states),
        _addresses(saved.history),
        (_address(dy), ld_dy),
        _addresses(d_final),
        _addresses((dx, *d_weights)),
        _addresses(d_initial),
    )
    return gradients


def _contiguous(tensors) -> tuple[Tensor | None, ...]:
    return tuple([t if t is None or t.is_contiguous() else t.contiguous() for t in tensors])


def _rows_in_order(dy: Tensor | None) -> tuple[Tensor | None, int]:
    """dy and the distance between its rows: one direction's half of a bidirectional gradient needs no copy."""
    if dy is None:
        return None, 0
    *outer, stride, last = dy.stride()
    if last != 1 or stride < dy.shape[-1] or (outer and outer[0] != stride * dy.shape[1]):
        dy = dy.contiguous()
        stride = dy.stride(-2)
    return dy, stride


class _Sequence(torch.autograd.Function):
    """The kernels in autograd. inputs: x, the states, the weights."""

    @staticmethod
    def forward(ctx, cell, layout, n_states, *inputs):
        x, states, weights = inputs[0], inputs[1 : 1 + n_states], Weights(*inputs[1 + n_states :])
        y, final, saved = _forward(cell, x, states, weights, keep=True, **layout)
        ctx.cell, ctx.layout, ctx.n_states = cell, layout, n_states
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(y, saved.kept, saved.unprojected, *saved.history, *inputs)
        return y, *final

    @staticmethod
    def backward(ctx, dy, *d_final):
        y, kept, unprojected, *rest = ctx.saved_tensors
        history, inputs = tuple(rest[: ctx.n_states]), tuple(rest[ctx.n_states :])
        x, states, weights = inputs[0], inputs[1 : 1 + ctx.n_states], Weights(*inputs[1 + ctx.n_states :])
        wanted = ctx.needs_input_grad[3:]
        if torch.is_grad_enabled():  # create_graph: the gradient itself must be differentiable
            return None, None, None, *_by_scan(ctx.cell, inputs, ctx.n_states, (dy, *d_final), wanted, ctx.layout)
        saved = _Saved(kept, unprojected, history)
        return None, None, None, *_backward(
            ctx.cell, x, states, weights, y, saved, dy, d_final, wanted, **ctx.layout
        )


def _by_scan(cell, inputs, n_states, d_outputs, wanted, layout):
    """The gradients once more, by the specification, which can be differentiated again."""
    x, states, weights = inputs[0], inputs[1 : 1 + n_states], Weights(*inputs[1 + n_states :])
    y, final = scan(cell, x, states, weights, **layout)
    pairs = [(out, d) for out, d in zip((y, *final), d_outputs) if d is not None]
    asked = [t for t, want in zip(inputs, wanted) if want and t is not None]
    outputs, given = zip(*pairs)
    found = iter(torch.autograd.grad(outputs, asked, given, create_graph=True, allow_unused=True))
    return [next(found) if want and t is not None else None for t, want in zip(inputs, wanted)]
