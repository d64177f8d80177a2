"""The compiled kernels: which there are, and what each saves for backward. The only importer of the extension."""

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
from carrousel.scan.options import Options

_kernels: Any
try:
    from carrousel import _kernels  # type: ignore[attr-defined]
except ImportError as _error:
    _kernels = None
    # Python's own message for a module that was never built is misleading: that the import may be circular.
    _reason, _remedy = ", which were not built", "Install a C++20 compiler (on Debian: apt install g++), and install"
    if find_spec("carrousel._kernels"):
        _reason, _remedy = f": {_error}", "Install what is missing (libgomp.so.1 is Debian's libgomp1), or install"
    warnings.warn(
        f"carrousel runs without its compiled kernels{_reason}. It computes in plain torch, many times slower. "
        f"{_remedy} carrousel again.",
        RuntimeWarning,
        stacklevel=2,
    )

PLANS: dict[Any, Any] = {}  # carrousel.fused.plan's; valid for the current instruction set

LSTM1997 = getattr(_kernels, "lstm1997", None)  # the network of carrousel.online.lstm1997; None without kernels


CROSS_ENTROPY: dict[torch.dtype, Callable[..., None]] = (  # carrousel.fused.output_layer's; empty without kernels
    {torch.float32: _kernels.cross_entropy_float32, torch.float64: _kernels.cross_entropy_float64} if _kernels else {}
)


class StreamClasses(NamedTuple):
    """The classes of streams in one dtype: packed weights, and a stream over them that writes into a state."""

    Stack: Any
    Stream: Any
    Parameters: Any  # notices when parameters moved or changed


def _load_streams() -> dict[torch.dtype, StreamClasses]:
    names = {torch.float32: "32", torch.float64: "64"} if _kernels else {}
    return {
        dtype: StreamClasses(getattr(_kernels, f"Stack{n}"), getattr(_kernels, f"Stream{n}"), _kernels.Parameters)
        for dtype, n in names.items()
    }


STREAMS = _load_streams()  # empty where the extension is not built


class ShortCallClasses(NamedTuple):
    """The classes of short calls in one dtype: a forward pass with all sizes, and its layer's parameters."""

    ShortCall: Any
    Parameters: Any


SHORT_CALLS: dict[torch.dtype, ShortCallClasses] = (  # carrousel.layers.short_call's; empty without kernels
    {
        torch.float32: ShortCallClasses(_kernels.ShortCall32, _kernels.Parameters),
        torch.float64: ShortCallClasses(_kernels.ShortCall64, _kernels.Parameters),
    }
    if _kernels
    else {}
)


class Kernel(NamedTuple):
    """A cell's kernel in one dtype."""

    cell: Cell
    is_float32: bool  # else float64
    forward: Callable[..., None]
    backward: Callable[..., None]
    reads_states: tuple[int, ...]  # the states but h that backward reads
    inside: tuple[str, ...]  # what it returns of every step with `gates`: the gates, and what else backward reads
    gates: dict[str, int] | None  # the position of each gate in `inside`; None if one is missing there
    always_saves: bool  # it saves other values than `inside` for backward, and needs them where gates are returned too

    def saved_sizes(self, H: int, I: int, is_projected: bool, options: Options) -> list[int]:
        """How many numbers forward saves for backward, of each step of a row, part by part.

        The parts: values of the rows, in the kernel's own order; h before a projection [H]; and each of `saved_states`
        after the step [H]. A part is empty if backward recomputes it, or if the caller gets it anyway.
        """
        recomputes = self.recomputes(is_projected, options)
        gates = 0
        if self.always_saves or not (recomputes or options.gates):
            gates = _kernels.saved_size(self.cell.name, int(H), int(I), self.is_float32)
        unprojected = H if is_projected and not recomputes else 0
        states = [] if options.states else [H] * len(self.saved_states(is_projected, options))
        return [gates, unprojected, *states]

    def saved_states(self, is_projected: bool, options: Options) -> tuple[int, ...]:
        """The states but h, which is y, that backward needs: all of them if it recomputes the rest."""
        recomputes = self.recomputes(is_projected, options)
        return tuple(range(1, len(self.cell.states))) if recomputes else self.reads_states

    def recomputes(self, is_projected: bool, options: Options) -> bool:
        """Whether backward recomputes what it needs besides states. Some cells need nothing else."""
        if self.always_saves:  # it saves no gates, and always recomputes them
            return False
        return options.memory == "low" and (is_projected or (len(self.inside) > 0 and not options.gates))

    def count_inside(self, options: Options) -> int:
        """How many tensors forward returns of every step: the states but h, and all of `inside`."""
        states = len(self.cell.states) - 1 if options.states else 0
        return states + (len(self.inside) if options.gates else 0)

    def supports(self, options: Options) -> bool:
        """Whether the kernel can do what a call asks for."""
        if options.gates and self.gates is None:
            return False
        if self.cell.normed and (options.bfloat16 or options.masks is not None):
            return False
        return self.is_float32 or not options.bfloat16

    def name_inside(self, options: Options, tensors: Sequence[Any]) -> dict[str, Any]:
        """What forward returned of every step, as `scan` returns it: states but h and gates by name."""
        states = self.cell.states[1:] if options.states else ()
        gates = (self.gates or {}) if options.gates else {}
        return dict(zip(states, tensors)) | {gate: tensors[len(states) + at] for gate, at in gates.items()}


def _load(cells: Iterable[Cell]) -> dict[tuple[str, torch.dtype], Kernel]:
    kernels = {}
    for cell in cells:
        states, is_read, inside, always_saves = _kernels.describe(cell.name)
        assert states == len(cell.states), f"the extension was built from another version of the cell {cell.name}"
        reads = tuple(k for k, read in enumerate(is_read) if k and read)
        gates = find_gates(cell, inside)
        for dtype in (torch.float32, torch.float64):
            name = str(dtype).removeprefix("torch.")
            run = getattr(_kernels, f"forward_{name}"), getattr(_kernels, f"backward_{name}")
            kernels[cell.name, dtype] = Kernel(cell, dtype == torch.float32, *run, reads, inside, gates, always_saves)
    return kernels


KERNELS = _load(ALL.values() if _kernels else ())  # by cell's name and dtype; empty where the extension is not built


def add_library(library: Path, cells: Iterable[Cell]) -> None:
    """Add the kernels of cells that were compiled at run time; they stay loaded until the process ends.

    Raises:
        OSError: the library cannot be loaded.
    """
    target = ctypes.CDLL(str(library)).carrousel_target
    target.restype = ctypes.c_void_p
    _kernels.add(target())
    KERNELS.update(_load(cells))


def look(tensors: tuple[Any, ...], dtype: torch.dtype) -> int:
    """What all tensors have in common; None is skipped.

    0 unless all have the dtype and are on the CPU. Else 1, plus IN_ORDER if all are contiguous, NEEDS_GRAD if one
    requires a gradient, WRAPPED if one is of a subclass of torch.Tensor, and LAZY if the memory of one does not hold
    its numbers: `resolve` writes them.
    """
    return _kernels.look(tensors, dtype, (Tensor, Parameter))


IN_ORDER, NEEDS_GRAD, WRAPPED, LAZY = 2, 4, 8, 16


def is_plain(tensor: Tensor) -> bool:
    """Whether the memory of a tensor holds its numbers, and it is not wrapped."""
    if type(tensor) not in (Tensor, Parameter) or torch._C._functorch.is_functorch_wrapped_tensor(tensor):  # type: ignore
        return False
    return not (tensor.is_neg() or tensor._is_zerotensor())


def resolve(tensor: Any) -> Any:
    """A tensor whose memory holds its numbers: torch negates some tensors, and marks some as zeros, without writing."""
    if tensor is None:
        return None
    return tensor.clone() if tensor._is_zerotensor() else tensor.resolve_neg()


def allocate_large(count: int, dtype: torch.dtype) -> Tensor:
    """A tensor [count] whose memory stays, when it is freed, for the next: bindings/large_blocks.cpp says why."""
    return (_kernels.allocate_large_float32 if dtype == torch.float32 else _kernels.allocate_large_float64)(count)


def mask_writer(dtype: torch.dtype) -> Callable[..., None]:
    """The function that writes a mask into memory: draw in bindings/module.cpp."""
    return _kernels.draw_float32 if dtype == torch.float32 else _kernels.draw_float64


def compile_flags() -> str:
    """The compiler flags of the kernels of the current instruction set."""
    return _kernels.compile_flags()


def interface_digest() -> str:
    """The digest of the kernels' interface: a library compiled at run time must have the same as the extension."""
    return _kernels.interface_digest()


def instruction_set() -> str | None:
    """Return the current instruction set: "avx512", "avx2", "baseline" or "neon"; None without kernels."""
    return _kernels.instruction_set() if _kernels else None


def instruction_sets() -> list[str]:
    """Return the instruction sets that this machine can run, best first; none without kernels."""
    return _kernels.instruction_sets() if _kernels else []


def peak_gflops(threads: int) -> float | None:
    """What the instruction set in force can do at most on so many threads: GFLOP/s of float32; None without kernels."""
    return _kernels.peak_gflops(threads) if _kernels else None


def use_instruction_set(name: str) -> None:
    """Force an instruction set for the whole process, as the environment variable CARROUSEL_ISA does at its start.

    Call it only when no backward pass is still to come: each set saves values in an order of its own.

    Raises:
        ValueError: this machine or this build does not have it.
    """
    PLANS.clear()
    if not _kernels or not _kernels.use_instruction_set(name):
        raise ValueError(f"instruction set {name!r} is not available on this machine; choose from {instruction_sets()}")


if os.environ.get("CARROUSEL_ISA"):
    use_instruction_set(os.environ["CARROUSEL_ISA"])
