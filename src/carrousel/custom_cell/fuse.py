"""The kernel of a custom cell: generate, compile or load from the cache, and compare with the function."""

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
from carrousel.custom_cell.cache import load_or_make
from carrousel.custom_cell.compiler import NoKernel, make_recipe
from carrousel.errors import NoKernelWarning
from carrousel.fused import fused, kernels
from carrousel.scan import scan
from carrousel.scan.weights import Weights

# The largest difference of a float64 kernel from `scan`, relative to the largest number: rounding only.
ROUNDING = 1e-9

# The cell's name in its header until the digest of the header gives it one.
NAMELESS = "cell_without_name"


def fuse(custom: Cell, stacklevel: int = 2) -> Cell:
    """Return the cell with a kernel. If there can be none, warn with the reason and return the cell itself.

    Args:
        custom: the equations.
        stacklevel: of the NoKernelWarning: 2 for the caller's line.
    """
    if is_fused(custom):
        return custom
    try:
        (compiled,) = fuse_all((custom,), kernels.instruction_set())
    except NoKernel as error:
        warnings.warn(
            f"the cell {custom.name!r} runs in torch operations, without a kernel, many times slower: {error}",
            NoKernelWarning,
            stacklevel=stacklevel,
        )
        return custom
    gates = {"forget_gate": custom.forget_gate, "input_gate": custom.input_gate}
    # the same equations may have been compiled for a cell that names other rows as its gates
    return compiled if gates.items() <= vars(compiled).items() else replace(compiled, **gates)


def is_fused(custom: Cell) -> bool:
    """Whether there is a kernel for this cell."""
    found = kernels.KERNELS.get((custom.name, torch.float32))
    return found is not None and found.cell == custom


@cache
def fuse_all(cells: tuple[Cell, ...], instruction_set: str | None) -> tuple[Cell, ...]:
    """Return the cells with kernels, all in one library, for the current instruction set. Results are cached.

    The name of a compiled cell contains the digest of its equations, so that two cells of one name never get each
    other's kernel.

    Raises:
        NoKernel: a kernel cannot be generated, compiled or loaded, or does not return what the cell's function returns.
    """
    if instruction_set is None:
        raise NoKernel("carrousel was installed without its extension. Install g++, then install carrousel again")
    headers = _generate(cells, instruction_set)
    named = [replace(custom, name=name) for custom, name in zip(cells, headers)]
    if unknown := [one for one in named if (one.name, torch.float32) not in kernels.KERNELS]:
        _load(unknown, {one.name: headers[one.name] for one in unknown}, ", ".join(custom.name for custom in cells))
    # If the same equations were compiled before, perhaps from another function object, use that cell.
    compiled = tuple(kernels.KERNELS[name, torch.float32].cell for name in headers)
    # whatever modes are active around the line that makes the layer
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        for custom, one in zip(cells, compiled):
            _compare(custom, one)
    return compiled


def _generate(cells: Sequence[Cell], instruction_set: str) -> dict[str, str]:
    """Generate the headers of the cells, by the names under which they are compiled."""
    try:
        from carrousel.codegen import CodegenError, header  # SymPy takes 0.3 s: imported for compiling only
    except ImportError as error:
        raise NoKernel(f"{error}. Kernels are generated with SymPy: pip install sympy") from error
    headers = {}
    for custom in cells:
        try:
            text = header(replace(custom, name=NAMELESS))
        except CodegenError as error:
            raise NoKernel(str(error).replace(NAMELESS, custom.name)) from error
        digest = hashlib.sha256(f"{instruction_set} {text}".encode()).hexdigest()
        name = f"{custom.name}_{digest[:8]}"
        headers[name] = text.replace(NAMELESS, name)
    return headers


def _load(cells: Sequence[Cell], headers: dict[str, str], names: str) -> None:
    from carrousel.codegen import listing

    made_of = make_recipe({**headers, "all": listing(headers)})

    def make(library: Path) -> None:
        print(f"carrousel: compiling {names}: about ten seconds, the first time only ...", file=sys.stderr, flush=True)
        made_of.make(library)

    name = f"{next(iter(headers))}-{made_of.digest[:32]}.so"
    try:
        library = load_or_make(name, make)
        kernels.add_library(library, cells)
    except OSError as error:
        raise NoKernel(f"its library cannot be saved or loaded: {error}") from error


def _compare(custom: Cell, compiled: Cell) -> None:
    """Raise NoKernel if the kernel does not return what `scan` returns: outputs and every gradient."""
    for name, ours, plain in zip(("results", "gradients"), _run(fused, compiled), _run(scan, custom)):
        if not all(map(_equal, ours, plain)):
            raise NoKernel(
                f"the kernel's {name} differ from the function's. A kernel is generated from one call of the function: "
                "it must not depend on random numbers, nor on what changes from call to call"
            )


def _equal(a: Tensor, b: Tensor) -> bool:
    largest = max([1.0, *b.nan_to_num().abs().flatten().tolist()])
    return torch.allclose(a, b, rtol=0, atol=ROUNDING * largest, equal_nan=True)


def _run(function: Callable, custom: Cell) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and gradients of T=3 steps, B=2 rows, I=2 inputs and H=3 units, in float64."""
    T, B, I, H = 3, 2, 2, 3
    generator = torch.Generator().manual_seed(1)  # of its own: the program's random numbers do not change

    def sample(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu").requires_grad_()

    rows_x, rows_h = len(custom.from_x) * H, len(custom.from_h) * H
    per_unit = sample(len(custom.weights) * H) if custom.weights else None
    weights = Weights(sample(rows_x, I), sample(rows_h, H * len(custom.fed)), sample(rows_x), sample(rows_h), per_unit)
    x, states = sample(T, B, I), tuple(sample(B, H) for _ in custom.states)
    y, final, _ = function(custom, x, states, weights)
    outputs = [y, *final]
    total = torch.stack([((1 + k) * output.sin()).sum() for k, output in enumerate(outputs)]).sum()
    inputs = [t for t in (x, *states, *weights) if t is not None]
    gradients = torch.autograd.grad(total, inputs, allow_unused=True, materialize_grads=True)
    return [output.detach() for output in outputs], list(gradients)
