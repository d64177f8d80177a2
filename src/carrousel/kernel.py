"""The compiled kernels on tensors: tensors in, tensors out, no autograd. The only importer of the extension."""

from __future__ import annotations

import ctypes
import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.gates import places_of_gates
from carrousel.layout import Layout
from carrousel.scan import Weights

SPACING = (
    80  # numbers between tensors that are written at the same places: equal addresses modulo 4096 fall on each other
)

_kernels: Any
try:
    from carrousel import _kernels  # type: ignore[attr-defined]
except ImportError as error:
    _kernels = None
    # Of a module that was never built, Python says what misleads: that the import may be circular.
    reason = f": {error}" if find_spec("carrousel._kernels") else ", which were not built"
    warnings.warn(
        f"carrousel runs without its compiled kernels{reason}. It computes in plain torch, many times slower. "
        "Install a C++20 compiler (on Debian: apt install g++), and install carrousel again.",
        RuntimeWarning,
        stacklevel=2,
    )

LSTM1997 = getattr(_kernels, "lstm1997", None)  # the network of carrousel.papers.lstm1997; None without kernels


class StreamClasses(NamedTuple):
    """What streams are compiled to, in one dtype: packed weights, and a stream over them that writes into a state."""

    Stack: Any
    Stream: Any
    Parameters: Any  # whether they are where they were, and as they were


def _load_streams() -> dict[torch.dtype, StreamClasses]:
    names = {torch.float32: "32", torch.float64: "64"} if _kernels else {}
    return {
        dtype: StreamClasses(getattr(_kernels, f"Stack{n}"), getattr(_kernels, f"Stream{n}"), _kernels.Parameters)
        for dtype, n in names.items()
    }


STREAMS = _load_streams()  # empty where the extension is not built


class Kernel(NamedTuple):
    """A cell's kernel in one dtype."""

    cell: Cell
    single: bool  # float32; else float64
    forward: Callable[..., None]
    backward: Callable[..., None]
    history: tuple[int, ...]  # the states but h that backward reads
    kept: tuple[str, ...]  # what it needs of the rows
    gates: dict[str, int] | None  # where each gate stands among it; None if one of them does not

    def kept_parts(self, H: int, projected: bool, layout: Layout) -> list[int]:
        """What the forward pass keeps for the backward pass, for each row of x: how many numbers in each part.

        The rows after their activations, in the kernel's own order; h before a projection [H]; for each state in
        `history` its value after the step [H]. What is returned to the caller is not kept once more.
        """
        gates = 0 if layout.return_gates else _kernels.kept_size(self.cell.name, int(H), self.single)
        return [gates, *[H] * (projected + (0 if layout.return_states else len(self.history)))]

    def shown(self, layout: Layout) -> int:
        """How many tensors forward returns of every step: the states but h, and all of `kept`."""
        states = len(self.cell.states) - 1 if layout.return_states else 0
        return states + (len(self.kept) if layout.return_gates else 0)

    def shows(self, layout: Layout) -> bool:
        """Whether all that is to be returned is at hand."""
        return not layout.return_gates or self.gates is not None

    def by_name(self, layout: Layout, shown: Sequence[Any]) -> dict[str, Any]:
        """What forward returned of every step as `scan` returns it."""
        states = self.cell.states[1:] if layout.return_states else ()
        places = (self.gates or {}) if layout.return_gates else {}
        return dict(zip(states, shown)) | {gate: shown[len(states) + place] for gate, place in places.items()}


def _load(cells: Iterable[Cell]) -> dict[tuple[str, torch.dtype], Kernel]:
    kernels = {}
    for cell in cells:
        states, history, kept = _kernels.describe(cell.name)
        assert states == len(cell.states), f"the extension was built from another version of the cell {cell.name}"
        for dtype, suffix in ((torch.float32, "float32"), (torch.float64, "float64")):
            forward, backward = getattr(_kernels, f"forward_{suffix}"), getattr(_kernels, f"backward_{suffix}")
            read = tuple(k for k, is_read in enumerate(history) if k and is_read)
            gates = places_of_gates(cell, kept)
            kernels[cell.name, dtype] = Kernel(cell, dtype == torch.float32, forward, backward, read, kept, gates)
    return kernels


KERNELS = _load(ALL.values() if _kernels else ())  # by cell's name and dtype; empty where the extension is not built


def add_library(library: Path, cells: Iterable[Cell]) -> None:
    """Take up the kernels of cells that were compiled at run time; they stay for as long as the process.

    Raises:
        OSError: the library can not be loaded.
    """
    target = ctypes.CDLL(str(library)).carrousel_target
    target.restype = ctypes.c_void_p
    _kernels.add(target())
    KERNELS.update(_load(cells))


def compile_flags() -> str:
    """What the kernels of the instruction set in force were compiled with."""
    return _kernels.compile_flags()


def interface_digest() -> str:
    """The digest of the kernels' text that a library compiled at run time must have in common with the extension."""
    return _kernels.interface_digest()


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
    kernel: Kernel,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    layout: Layout,
    keep: bool,
    restored: Sequence[Tensor] = (),
    blank: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor], Tensor | None]:
    """Run a cell over a sequence.

    Args:
        kernel: the cell's, in x's dtype.
        x, states, weights: as `carrousel.scan.scan` takes them, checked.
        layout: where x's rows lie.
        keep: whether a backward pass will follow.
        restored: what resets restore; none is zeros.
        blank: what is kept has room for all of x, zeros where there is no step, and nothing shares memory: a size that
            is known before lengths are, and the very same from a second call.

    Returns:
        y; the final states; what the layout asks for of every step, as `Kernel.by_name` takes it; and with `keep` what
        else `backward` needs: all of `Kernel.kept_parts`, one after another.
    """
    x, states, weights, restored, layout = _contiguous(x, states, weights, restored, layout)
    sizes = _sizes(kernel, x, states, weights, layout)
    B, H, P = sizes[1], sizes[6], sizes[7]
    y = x.new_empty(*x.shape[:-1], P)
    final = [x.new_empty(B, H if k else P) for k in range(len(states))]
    kept = _space(kernel, x, H, weights, layout, blank) if keep else None
    shown = _room_to_show(kernel, x, H, layout, blank)
    gates, unprojected, history = _addresses_of_parts(kernel, x, H, weights, layout, kept, shown)
    kernel.forward(
        kernel.cell.name,
        sizes,
        _addresses((layout.batch_sizes, x, *weights, layout.lengths, layout.offsets, layout.resets)),
        (y.data_ptr(), gates, unprojected),
        _addresses(states),
        _addresses(restored),
        _addresses(final),
        history,
        layout.padding_value,
        layout.return_states,
        _addresses(_gates(kernel, layout, shown)),
    )
    return y, tuple(final), shown, kept


def backward(
    kernel: Kernel,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    layout: Layout,
    y: Tensor,
    kept: Tensor,
    shown: Sequence[Tensor],
    dy: Tensor | None,
    d_final: Sequence[Tensor | None],
    d_shown: Sequence[Tensor | None],
    wanted: Sequence[bool],
    restored: Sequence[Tensor] = (),
) -> list[Tensor | None]:
    """The gradients of (x, *states, *weights, *restored), each where `wanted` says so.

    Args:
        kernel, x, states, weights, layout, restored: as `forward` took them.
        y, kept, shown: what it returned.
        dy, d_final, d_shown: the gradients of y, of the final states and of `shown`; None is zero.
        wanted: whether each of (x, *states, *weights, *restored) needs its gradient.
    """
    x, states, weights, restored, layout = _contiguous(x, states, weights, restored, layout)
    sizes = _sizes(kernel, x, states, weights, layout)
    gates, unprojected, history = _addresses_of_parts(kernel, x, sizes[6], weights, layout, kept, shown)
    dy, ld_dy = _rows_in_order(dy)
    d_final, d_shown = ([d if d is None else d.contiguous() for d in given] for given in (d_final, d_shown))
    d_gates = _gates(kernel, layout, d_shown)
    inputs = (x, *states, *weights, *restored)
    gradients = [torch.empty_like(t) if want and t is not None else None for t, want in zip(inputs, wanted)]
    addresses = _addresses(gradients)
    after_states = 1 + len(states)
    after_weights = after_states + len(weights)
    kernel.backward(
        kernel.cell.name,
        sizes,
        _addresses((layout.batch_sizes, x, *weights, layout.lengths, layout.offsets, layout.resets)),
        (y.data_ptr(), gates, unprojected),
        _addresses(states),
        _addresses(restored),
        history,
        (0 if dy is None else dy.data_ptr(), ld_dy),
        _addresses(d_final),
        (addresses[0], *addresses[after_states:after_weights]),
        addresses[1:after_states],
        addresses[after_weights:],
        layout.return_states,
        _addresses(_gates(kernel, layout, shown)),
        (0, *_addresses(d_shown[: len(states) - 1])) if layout.return_states else (),
        () if all(d is None for d in d_gates) else _addresses(d_gates),
    )
    return gradients


def _gates(kernel: Kernel, layout: Layout, shown: Sequence[Any]) -> Sequence[Any]:
    return shown[len(shown) - len(kernel.kept) :] if layout.return_gates else ()


def _room_to_show(kernel: Kernel, x: Tensor, H: int, layout: Layout, separate: bool) -> list[Tensor]:
    """Tensors [., H] for what is returned of every step: of one block, unless they must be separate.

    A large block is fresh memory, in large pages: small ones in used memory took a quarter of the time at H = 128.
    """
    count = kernel.shown(layout)
    if not count or separate:
        return [x.new_empty(*x.shape[:-1], H) for _ in range(count)]
    shape = (*x.shape[:-1], H)
    size = math.prod(shape)
    block = x.new_empty(count, size + SPACING)
    return [part[:size].view(shape) for part in block.unbind(0)]


def _space(kernel: Kernel, x: Tensor, H: int, weights: Weights, layout: Layout, blank: bool) -> Tensor:
    """Room for every row's steps; if it is to be blank, for all of x."""
    rows, parts = x.numel() // x.shape[-1], sum(kernel.kept_parts(H, weights.P is not None, layout))
    if layout.lengths is not None and blank:
        # numpy's zeros cost nothing until they are looked at; torch's are written
        return torch.from_numpy(np.zeros(rows * parts, np.float32 if kernel.single else np.float64))
    return x.new_empty((rows if layout.lengths is None else int(layout.lengths.sum())) * parts)


def _addresses_of_parts(
    kernel: Kernel,
    x: Tensor,
    H: int,
    weights: Weights,
    layout: Layout,
    kept: Tensor | None,
    shown: Sequence[Tensor],
) -> tuple[int, int, tuple[int, ...]]:
    """Where lie the gates, h before the projection, and each state's history; 0 for what is absent."""
    shown_states = (0, *_addresses(shown[: len(kernel.cell.states) - 1])) if layout.return_states else ()
    if kept is None:
        return 0, 0, shown_states
    projected = weights.P is not None
    parts = kernel.kept_parts(H, projected, layout)
    rows = kept.numel() // max(sum(parts), 1)
    gates = at = kept.data_ptr()
    starts = []
    for part in parts:
        starts.append(at)
        at += part * rows * x.element_size()
    history = [0] * len(kernel.cell.states)
    for k, start in zip(kernel.history, starts[1 + projected :]):
        history[k] = start
    return gates, starts[1] if projected else 0, shown_states or tuple(history)


def _sizes(kernel: Kernel, x: Tensor, states: Sequence[Tensor], weights: Weights, layout: Layout) -> tuple[int, ...]:
    """T, B, step_stride, row_stride, reverse, I, H, P, ld_y, threads: what bindings/module.cpp expects."""
    H, P, B = weights.W.shape[0] // len(kernel.cell.from_x), weights.R.shape[1], states[0].shape[0]
    if layout.batch_sizes is not None:
        T, step, row = layout.batch_sizes.shape[0], 0, 0
    elif layout.offsets is not None:
        T, step, row = x.shape[0], 0, 0
    elif layout.batch_first:
        T = x.shape[1]
        step, row = 1, T
    else:
        T, step, row = x.shape[0], B, 1
    return T, B, step, row, int(layout.reverse), x.shape[-1], H, P, P, torch.get_num_threads()


def _addresses(tensors: Sequence[Tensor | None]) -> tuple[int, ...]:
    return tuple([0 if t is None else t.data_ptr() for t in tensors])


def _contiguous(
    x: Tensor, states: Sequence[Tensor], weights: Weights, restored: Sequence[Tensor], layout: Layout
) -> tuple[Tensor, Sequence[Tensor], Weights, Sequence[Tensor], Layout]:
    ragged = (layout.lengths, layout.offsets, layout.resets)
    for t in (x, *states, *weights, *restored, *ragged):
        if t is not None and not t.is_contiguous():
            rows = [t if t is None else t.contiguous() for t in weights]
            names = ("lengths", "offsets", "resets")
            layout = layout._replace(**{n: t.contiguous() for n, t in zip(names, ragged) if t is not None})
            states, restored = ([s.contiguous() for s in given] for given in (states, restored))
            return x.contiguous(), states, Weights(*rows), restored, layout  # type: ignore[arg-type]
    return x, states, weights, restored, layout


def _rows_in_order(dy: Tensor | None) -> tuple[Tensor | None, int]:
    """dy and the distance between its rows: one direction's half of a bidirectional gradient needs no copy."""
    if dy is None:
        return None, 0
    if dy.is_contiguous():
        return dy, dy.shape[-1]
    *outer, stride, last = dy.stride()
    if last == 1 and stride >= dy.shape[-1] and (not outer or outer[0] == stride * dy.shape[1]):
        return dy, stride
    return dy.contiguous(), dy.shape[-1]
