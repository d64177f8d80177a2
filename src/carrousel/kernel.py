"""The compiled kernels on tensors: tensors in, tensors out, no autograd. The only importer of the extension."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.scan import Weights

try:
    from carrousel import _kernels  # type: ignore[attr-defined]
except ImportError as reason:
    _kernels = None
    warnings.warn(
        f"carrousel runs without its compiled kernels, in plain torch and many times slower ({reason}). "
        "Install a C++20 compiler (on Debian: apt install g++), and install carrousel again.",
        RuntimeWarning,
        stacklevel=2,
    )

LSTM1997 = getattr(_kernels, "lstm1997", None)  # the network of carrousel.papers.lstm1997; None without kernels


class Kernel(NamedTuple):
    """A cell's kernel in one dtype."""

    cell: Cell
    single: bool  # float32; else float64
    forward: Callable[..., None]
    backward: Callable[..., None]
    history: tuple[bool, ...]  # the states that backward reads

    def kept_size(self, H: int) -> int:
        """Elements that the forward pass keeps for the backward pass, for each row of x."""
        return _kernels.kept_size(self.cell.name, int(H), self.single)


class Layout(NamedTuple):
    """How x lies in memory and which way time runs; the keyword arguments of `scan`."""

    batch_sizes: Tensor | None = None  # [T]
    reverse: bool = False
    batch_first: bool = False


class Saved(NamedTuple):
    """What the forward pass leaves for the backward pass; N rows of x."""

    kept: Tensor  # [N * kept_size(H)]
    unprojected: Tensor | None  # [N, H]   h before the projection
    history: tuple[Tensor | None, ...]  # [N, H] for each state but h that backward reads


def _load() -> dict[tuple[str, torch.dtype], Kernel]:
    kernels = {}
    for name, cell in ALL.items() if _kernels else ():
        states, history = _kernels.describe(name)
        assert states == len(cell.states), f"the extension was built from another version of the cell {name}"
        for dtype, suffix in ((torch.float32, "float32"), (torch.float64, "float64")):
            forward, backward = getattr(_kernels, f"forward_{suffix}"), getattr(_kernels, f"backward_{suffix}")
            kernels[name, dtype] = Kernel(cell, dtype == torch.float32, forward, backward, history)
    return kernels


KERNELS = _load()  # by cell's name and dtype; empty where the extension is not built


def instruction_set() -> str | None:
    """Return the instruction set in force: "avx512", "avx2", "baseline" or "neon"; None without kernels."""
    return _kernels.instruction_set() if _kernels else None


def instruction_sets() -> list[str]:
    """Return the instruction sets that this machine can run, best first; none without kernels."""
    return _kernels.instruction_sets() if _kernels else []


def use_instruction_set(name: str) -> None:
    """Force an instruction set for the whole process, as the environment variable CARROUSEL_ISA does at its start.

    Sequences whose backward pass is still to come must not be under way: each set keeps values in its own order.

    Raises:
        ValueError: this machine or this build does not have it.
    """
    if not _kernels or not _kernels.use_instruction_set(name):
        raise ValueError(f"instruction set {name!r} is not to be had here; choose from {instruction_sets()}")


if os.environ.get("CARROUSEL_ISA"):
    use_instruction_set(os.environ["CARROUSEL_ISA"])


def forward(
    kernel: Kernel, x: Tensor, states: Sequence[Tensor], weights: Weights, layout: Layout, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...], Saved | None]:
    """Run a cell over a sequence.

    Args:
        kernel: the cell's, in x's dtype.
        x, states, weights: as `carrousel.scan.scan` takes them, checked.
        layout: where x's rows lie.
        keep: whether a backward pass will follow.

    Returns:
        y, the final states, and with `keep` what `backward` needs.
    """
    x, weights, states = x.contiguous(), Weights(*_contiguous(weights)), _contiguous(states)
    sizes = _sizes(kernel, x, states, weights, layout)
    B, H, P = sizes[1], sizes[6], sizes[7]
    y = x.new_empty(*x.shape[:-1], P)
    final = tuple([x.new_empty(B, H if k else P) for k in range(len(states))])
    saved = _space_to_save(kernel, x, weights, H) if keep else None
    kernel.forward(
        kernel.cell.name,
        sizes,
        _addresses((layout.batch_sizes, x, *weights)),
        _addresses((y, saved.kept, saved.unprojected) if saved else (y, None, None)),
        _addresses(states),
        _addresses(final),
        _addresses(saved.history) if saved else (),
    )
    return y, final, saved


def backward(
    kernel: Kernel,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    layout: Layout,
    y: Tensor,
    saved: Saved,
    dy: Tensor | None,
    d_final: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of (x, *states, *weights), each where `wanted` says so.

    Args:
        kernel, x, states, weights, layout: as `forward` took them.
        y, saved: what it returned.
        dy, d_final: the gradients of y and of the final states; None is zero.
        wanted: whether each of (x, *states, *weights) needs its gradient.
    """
    x, weights, states = x.contiguous(), Weights(*_contiguous(weights)), _contiguous(states)
    d_final = _contiguous(d_final)
    dy, ld_dy = _rows_in_order(dy)
    inputs = (x, *states, *weights)
    gradients = [torch.empty_like(t) if t is not None and want else None for t, want in zip(inputs, wanted)]
    of_states = 1 + len(states)
    kernel.backward(
        kernel.cell.name,
        _sizes(kernel, x, states, weights, layout),
        _addresses((layout.batch_sizes, x, *weights)),
        _addresses((y, saved.kept, saved.unprojected)),
        _addresses(states),
        _addresses(saved.history),
        (_address(dy), ld_dy),
        _addresses(d_final),
        _addresses((gradients[0], *gradients[of_states:])),
        _addresses(gradients[1:of_states]),
    )
    return gradients


def _space_to_save(kernel: Kernel, x: Tensor, weights: Weights, H: int) -> Saved:
    rows = x.numel() // x.shape[-1]
    return Saved(
        x.new_empty(rows * kernel.kept_size(H)),
        None if weights.P is None else x.new_empty(rows, H),
        tuple([x.new_empty(rows, H) if k and needed else None for k, needed in enumerate(kernel.history)]),
    )


def _sizes(kernel: Kernel, x: Tensor, states: Sequence[Tensor], weights: Weights, layout: Layout) -> tuple[int, ...]:
    """T, B, step_stride, row_stride, reverse, I, H, P, ld_y, threads: what bindings/module.cpp expects."""
    H, P, B = weights.W.shape[0] // len(kernel.cell.from_x), weights.R.shape[1], states[0].shape[0]
    if layout.batch_sizes is not None:
        T, step, row = layout.batch_sizes.shape[0], 0, 0
    elif layout.batch_first:
        T = x.shape[1]
        step, row = 1, T
    else:
        T, step, row = x.shape[0], B, 1
    return T, B, step, row, int(layout.reverse), x.shape[-1], H, P, P, torch.get_num_threads()


def _address(tensor: Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _addresses(tensors: Sequence[Tensor | None]) -> tuple[int, ...]:
    return tuple([0 if t is None else t.data_ptr() for t in tensors])


def _contiguous(tensors: Sequence[Tensor | None]) -> tuple:
    return tuple([t if t is None or t.is_contiguous() else t.contiguous() for t in tensors])


def _rows_in_order(dy: Tensor | None) -> tuple[Tensor | None, int]:
    """dy and the distance between its rows: one direction's half of a bidirectional gradient needs no copy."""
    if dy is None:
        return None, 0
    *outer, stride, last = dy.stride()
    if last != 1 or stride < dy.shape[-1] or (outer and outer[0] != stride * dy.shape[1]):
        dy = dy.contiguous()
        stride = dy.shape[-1]
    return dy, stride
