"""A cell's kernel: generated, compiled or taken from the cache, loaded, and compared with the function it is of."""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.custom_cell.cache import stored
from carrousel.custom_cell.compiler import NoKernel, recipe
from carrousel.errors import NoKernelWarning
from carrousel.fused import fused, kernels
from carrousel.scan import scan
from carrousel.scan.weights import Weights

# What a float64 kernel may differ from `scan`, relative to the largest number: by rounding, not by another function.
ROUNDING = 1e-9

# The cell's name in its text before the digest of this text gives it one.
NAMELESS = "cell_without_name"


def fuse(own: Cell, stacklevel: int = 2) -> Cell:
    """The cell with a kernel; or the cell as it is, where it has one already, or with a NoKernelWarning that says why
    there is none.

    Args:
        own: the equations.
        stacklevel: whose line the warning names: 2 for the caller's.
    """
    if is_fused(own):
        return own
    try:
        (compiled,) = fuse_all((own,), kernels.instruction_set())
    except NoKernel as error:
        warnings.warn(
            f"the cell {own.name!r} runs in torch operations, without a kernel, many times slower: {error}",
            NoKernelWarning,
            stacklevel=stacklevel,
        )
        return own
    gates = {"forget_gate": own.forget_gate, "input_gate": own.input_gate}
    # the same equations may have been compiled for a cell that calls other gates so
    return compiled if gates.items() <= vars(compiled).items() else replace(compiled, **gates)


def is_fused(own: Cell) -> bool:
    """Whether there is a kernel for this very cell."""
    found = kernels.KERNELS.get((own.name, torch.float32))
    return found is not None and found.cell == own


@cache
def fuse_all(cells: tuple[Cell, ...], instruction_set: str | None) -> tuple[Cell, ...]:
    """The cells with kernels, all in one library, for the instruction set in force. What was found is remembered.

    A compiled cell bears the name of its equations' digest: two of one name never get each other's kernel.

    Raises:
        NoKernel: a cell cannot be generated, the library not compiled or not loaded, or a kernel does not return what
            the cell's function does.
    """
    if instruction_set is None:
        raise NoKernel("carrousel was installed without its compiled part. Install g++, and install carrousel again")
    headers = _generate(cells, instruction_set)
    named = [replace(own, name=name) for own, name in zip(cells, headers)]
    if unknown := [one for one in named if (one.name, torch.float32) not in kernels.KERNELS]:
        _load(unknown, {one.name: headers[one.name] for one in unknown}, ", ".join(own.name for own in cells))
    # Where the same equations were compiled before, perhaps of another function object, the cell is that one.
    compiled = tuple(kernels.KERNELS[name, torch.float32].cell for name in headers)
    # Whatever the program has switched on or off around the line that makes the layer.
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        for own, one in zip(cells, compiled):
            _compare(own, one)
    return compiled


def _generate(cells: Sequence[Cell], instruction_set: str) -> dict[str, str]:
    """The cells' headers by the names that they are compiled under."""
    try:
        from carrousel.codegen import CodegenError, header  # SymPy takes a third of a second: only who compiles waits
    except ImportError as error:
        raise NoKernel(f"{error}. Kernels are generated with SymPy: pip install sympy") from error
    headers = {}
    for own in cells:
        try:
            text = header(replace(own, name=NAMELESS))
        except CodegenError as error:
            raise NoKernel(str(error).replace(NAMELESS, own.name)) from error
        digest = hashlib.sha256(f"{instruction_set} {text}".encode()).hexdigest()
        name = f"{own.name}_{digest[:8]}"
        headers[name] = text.replace(NAMELESS, name)
    return headers


def _load(cells: Sequence[Cell], headers: dict[str, str], own_names: str) -> None:
    from carrousel.codegen import listing

    made_of = recipe({**headers, "all": listing(headers)})

    def make(library: Path) -> None:
        print(f"carrousel: compiling {own_names}: some seconds, the first time only ...", file=sys.stderr, flush=True)
        made_of.make(library)

    name = f"{next(iter(headers))}-{made_of.digest[:32]}.so"
    try:
        library = stored(name, make)
        kernels.add_library(library, cells)
    except OSError as error:
        raise NoKernel(f"its library can not be stored or loaded: {error}") from error


def _compare(own: Cell, compiled: Cell) -> None:
    """Raise NoKernel unless the kernel returns what `scan` makes of the function: outputs and every gradient."""
    for name, ours, plain in zip(("results", "gradients"), _run(fused, compiled), _run(scan, own)):
        if not all(map(_equal, ours, plain)):
            raise NoKernel(
                f"the kernel's {name} differ from the function's. A kernel is made of what one call of the function "
                "does: it may not depend on random numbers, nor on what changes from call to call"
            )


def _equal(a: Tensor, b: Tensor) -> bool:
    largest = max([1.0, *b.nan_to_num().abs().flatten().tolist()])
    return torch.allclose(a, b, rtol=0, atol=ROUNDING * largest, equal_nan=True)


def _run(function: Callable, own: Cell) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and gradients over T=3 steps of a batch of 2, from I=2 inputs to H=3 units, in float64."""
    T, B, I, H = 3, 2, 2, 3
    generator = torch.Generator().manual_seed(1)  # its own: the program's random numbers stay as they are

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").requires_grad_()

    rows_x, rows_h = len(own.from_x) * H, len(own.from_h) * H
    per_unit = draw(len(own.weights) * H) if own.weights else None
    weights = Weights(draw(rows_x, I), draw(rows_h, H * len(own.fed)), draw(rows_x), draw(rows_h), per_unit)
    x, states = draw(T, B, I), tuple(draw(B, H) for _ in own.states)
    y, final, _ = function(own, x, states, weights)
    outputs = [y, *final]
    total = torch.stack([((1 + k) * output.sin()).sum() for k, output in enumerate(outputs)]).sum()
    asked = [t for t in (x, *states, *weights) if t is not None]
    gradients = torch.autograd.grad(total, asked, allow_unused=True, materialize_grads=True)
    return [output.detach() for output in outputs], list(gradients)
