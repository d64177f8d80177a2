"""The compiled kernels: which there are, and what each keeps for backward. The only importer of the extension."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from carrousel.cells import ALL, Cell
from carrousel.scan.gates import find_gates
from carrousel.scan.rows import Layout

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

PLANS: dict[Any, Any] = {}  # carrousel.fused.plan's: they hold for the instruction set in force

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
    kept: tuple[str, ...]  # what it needs of the rows where the gates are returned; else it keeps fewer values
    gates: dict[str, int] | None  # where each gate stands among it; None if one of them does not
    keeps_more: bool = False  # it keeps other things than gates, which it needs where the gates are returned too

    def kept_parts(self, H: int, I: int, projected: bool, layout: Layout) -> list[int]:
        """What the forward pass keeps for the backward pass, for each row of x: how many numbers in each part.

        What it needs of the rows, in the kernel's own order; h before a projection [H]; each state of
        `kept_states` after the step [H]. Of the first two nothing, where the backward pass computes them again. What
        is returned to the caller is not kept once more.
        """
        again = self.computes_again(projected, layout)
        gates = 0
        if self.keeps_more or not (again or layout.return_gates):
            gates = _kernels.kept_size(self.cell.name, int(H), int(I), self.single)
        unprojected = H if projected and not again else 0
        return [gates, unprojected, *([] if layout.return_states else [H] * len(self.kept_states(projected, layout)))]

    def kept_states(self, projected: bool, layout: Layout) -> tuple[int, ...]:
        """Which states but h, which is y, are kept: what is computed again needs all of them."""
        return tuple(range(1, len(self.cell.states))) if self.computes_again(projected, layout) else self.history

    def computes_again(self, projected: bool, layout: Layout) -> bool:
        """Whether the backward pass computes again what else it needs; a cell may need nothing else."""
        if self.keeps_more:  # it does so always, and keeps no gates
            return False
        return layout.memory == "low" and (projected or (len(self.kept) > 0 and not layout.return_gates))

    def shown(self, layout: Layout) -> int:
        """How many tensors forward returns of every step: the states but h, and all of `kept`."""
        states = len(self.cell.states) - 1 if layout.return_states else 0
        return states + (len(self.kept) if layout.return_gates else 0)

    def runs(self, layout: Layout) -> bool:
        """Whether it can do what a layout asks for, and what is to be returned is at hand."""
        if layout.return_gates and self.gates is None:
            return False
        if self.cell.normed and (layout.bfloat16 or layout.noise is not None):
            return False
        return self.single or not layout.bfloat16

    def by_name(self, layout: Layout, shown: Sequence[Any]) -> dict[str, Any]:
        """What forward returned of every step as `scan` returns it."""
        states = self.cell.states[1:] if layout.return_states else ()
        places = (self.gates or {}) if layout.return_gates else {}
        return dict(zip(states, shown)) | {gate: shown[len(states) + place] for gate, place in places.items()}


def _load(cells: Iterable[Cell]) -> dict[tuple[str, torch.dtype], Kernel]:
    kernels = {}
    for cell in cells:
        states, history, kept, more = _kernels.describe(cell.name)
        assert states == len(cell.states), f"the extension was built from another version of the cell {cell.name}"
        for dtype, suffix in ((torch.float32, "float32"), (torch.float64, "float64")):
            forward, backward = getattr(_kernels, f"forward_{suffix}"), getattr(_kernels, f"backward_{suffix}")
            read = tuple(k for k, is_read in enumerate(history) if k and is_read)
            gates = find_gates(cell, kept)
            kernels[cell.name, dtype] = Kernel(cell, dtype == torch.float32, forward, backward, read, kept, gates, more)
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


def look(tensors: tuple[Any, ...], dtype: torch.dtype) -> int:
    """What all tensors, but for None, have in common.

    0 unless all have the dtype and are on the CPU; else 1, and with it IN_ORDER where all are contiguous, NEEDS_GRAD
    where one requires a gradient, WRAPPED where one is of a subclass of torch's tensors, and LAZY where the memory of
    one does not hold its numbers: `resolved` makes them plain.
    """
    return _kernels.look(tensors, dtype, (Tensor, Parameter))


IN_ORDER, NEEDS_GRAD, WRAPPED, LAZY = 2, 4, 8, 16


def is_plain(tensor: Tensor) -> bool:
    """Whether the memory of a tensor holds its numbers, and nothing wraps it."""
    if type(tensor) not in (Tensor, Parameter) or torch._C._functorch.is_functorch_wrapped_tensor(tensor):  # type: ignore
        return False
    return not (tensor.is_neg() or tensor._is_zerotensor())


def resolved(tensor: Any) -> Any:
    """A tensor whose memory holds its numbers: torch negates some, and knows some to be zeros, without writing them."""
    if tensor is None:
        return None
    return tensor.clone() if tensor._is_zerotensor() else tensor.resolve_neg()


def draw(dtype: torch.dtype) -> Callable[..., None]:
    """What writes a mask into memory: bindings/module.cpp's draw."""
    return _kernels.draw_float32 if dtype == torch.float32 else _kernels.draw_float64


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
    PLANS.clear()
    if not _kernels or not _kernels.use_instruction_set(name):
        raise ValueError(f"instruction set {name!r} is not to be had here; choose from {instruction_sets()}")


if os.environ.get("CARROUSEL_ISA"):
    use_instruction_set(os.environ["CARROUSEL_ISA"])
