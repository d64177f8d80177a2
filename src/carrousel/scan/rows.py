"""How sequences lie in memory: dense, packed, or ragged; which way time runs, and where a sequence is parted by resets.

Letters: T time, B batch, I input, N (step, row) pairs.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carrousel.scan.masks import Noise


class Layout(NamedTuple):
    """How to read x, what to return of every step, and how much of it to keep for a backward pass.

    All but the last are keyword arguments of `carrousel.scan.scan`.

    At most one of the first three is given.

    A reset parts step t from step t - 1 in either direction, so that a sequence with resets is several sequences.
    """

    batch_sizes: Tensor | None = None  # [T] rows at each step of packed x [N, I], never increasing; int64 on the CPU
    lengths: Tensor | None = None  # [B] steps of each row of x [T, B, I], from 0 to T; int64 on the CPU
    offsets: Tensor | None = None  # [B+1] where each row of x [N, I] starts, and N at the end; int64 on the CPU
    reverse: bool = False
    batch_first: bool = False
    resets: Tensor | None = None  # bool, shaped as x without its last place
    padding_value: float = 0.0  # what y, and what else is returned of every step, holds beyond a row's length
    return_states: bool = False
    return_gates: bool = False
    bfloat16: bool = False  # matrix products are of operands rounded to bfloat16: `carrousel.scan.bfloat16`
    noise: Noise | None = None  # random masks
    memory: str = "full"  # "low": kernels keep the states only, and their backward pass computes the rest once more

    def for_scan(self) -> dict[str, Any]:
        """What `scan` takes of it."""
        return {name: value for name, value in self._asdict().items() if name != "memory"}

    @property
    def shows(self) -> bool:
        """Whether more than h is returned of every step."""
        return self.return_states or self.return_gates

    @property
    def is_flat(self) -> bool:
        """Whether x is [N, I]."""
        return self.batch_sizes is not None or self.offsets is not None

    @property
    def is_ragged(self) -> bool:
        """Whether rows of any length stand in any order."""
        return self.lengths is not None or self.offsets is not None

    def batch(self, x: Tensor) -> int:
        """B."""
        if self.batch_sizes is not None:
            return int(self.batch_sizes[0])
        return x.shape[0 if self.batch_first else 1] if self.offsets is None else self.offsets.shape[0] - 1


MEMORY = ("full", "low")
DENSE, BATCH_FIRST = Layout(), Layout(batch_first=True)


def whole_numbers(name: str, given: Tensor | Sequence[int]) -> Tensor:
    """`given` as int64 on the CPU.

    Raises:
        TypeError: its numbers are not integers.
        ValueError: they do not stand in a line.
    """
    numbers = given if isinstance(given, Tensor) else _as_tensor(name, given)
    if not torch.compiler.is_compiling() and _is_batched(numbers):
        raise ValueError(
            f"{name} is mapped over by torch.func.vmap, and where a sequence ends cannot differ between its examples: "
            f"give {name} from outside, or loop over the examples"
        )
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        if not numbers.numel() and not isinstance(given, Tensor):  # torch takes [] for floating point
            return torch.zeros(0, dtype=torch.int64)
        raise TypeError(f"{name} must be integers, got {numbers.dtype}: {_shown(numbers)}")
    if numbers.dim() != 1:
        raise ValueError(f"{name} must have one dimension, got {numbers.dim()}: shape {list(numbers.shape)}")
    if numbers.is_meta:
        raise ValueError(f"{name} is on the meta device, where tensors have no numbers: give it on the CPU")
    return numbers.to("cpu", torch.int64)


def _is_batched(tensor: Tensor) -> bool:
    """Whether torch.func.vmap maps over a tensor, at any level of transforms."""
    functorch: Any = torch._C._functorch  # type: ignore[attr-defined]
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


def _as_tensor(name: str, given: Any) -> Tensor:
    try:
        return torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be integers, got {reprlib.repr(given)}: {error}") from None


def check_layout(x: Tensor, layout: Layout) -> None:
    """Raise if lengths, offsets or resets do not fit each other or x, naming the argument and the value.

    Raises:
        TypeError: resets are not bool.
        ValueError: a length or an offset is out of its range, or a shape is wrong.
    """
    given = [name for name in ("batch_sizes", "lengths", "offsets") if getattr(layout, name) is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} say the same in different ways: give one of them")
    dims = 2 if layout.is_flat else 3
    if x.dim() != dims:
        raise ValueError(f"x has {x.dim()} dimensions, expected {dims}" + (f" with {given[0]}" if given else ""))
    if layout.lengths is not None:
        B, T = layout.batch(x), x.shape[1 if layout.batch_first else 0]
        if layout.lengths.shape != (B,):
            raise ValueError(f"lengths has {layout.lengths.numel()} numbers for a batch of {B} rows: give one for each")
        for row, length in enumerate(layout.lengths.tolist()):
            if not 0 <= length <= T:
                raise ValueError(f"lengths[{row}]={length} is not among 0 .. {T}: the input has {T} steps")
    if layout.offsets is not None:
        _check_offsets(layout.offsets.tolist(), x.shape[0])
    check_resets(layout.resets, x.shape[:-1])


def _check_offsets(offsets: list[int], N: int) -> None:
    if not offsets or offsets[0] != 0 or offsets[-1] != N:
        ends = f"{offsets[0]} .. {offsets[-1]}" if offsets else "nothing"
        raise ValueError(f"offsets must run from 0 to {N}, the rows of the input, but run {ends}")
    for row, (start, end) in enumerate(pairwise(offsets)):
        if start > end:
            raise ValueError(f"offsets[{row + 1}]={end} is less than offsets[{row}]={start}: they must not decrease")


def check_memory(memory: Any) -> None:
    """Raise ValueError unless it is "full" or "low"."""
    if not isinstance(memory, str) or memory not in MEMORY:
        raise ValueError(f"memory={memory!r} is not known: choose one of {MEMORY}")


def check_resets(resets: Any, shape: Sequence[int]) -> None:
    """Raise unless resets are None, or bool and of the shape."""
    if resets is None:
        return
    if not isinstance(resets, Tensor) or resets.dtype != torch.bool:
        kind = resets.dtype if isinstance(resets, Tensor) else type(resets).__name__
        raise TypeError(f"resets must be a tensor of torch.bool, got {kind}: resets.bool() makes one")
    if resets.shape != tuple(shape):
        raise ValueError(f"resets has shape {list(resets.shape)}, expected {list(shape)}: one for each step and row")


def _shown(numbers: Tensor) -> str:
    few = numbers.flatten()[:4].tolist()
    return ", ".join(map(str, few)) + (", ..." if numbers.numel() > 4 else "")


class Packed(NamedTuple):
    """The pairs of a ragged batch in the order of packed data: step after step, the longest row first."""

    sizes: list[int]  # [T] rows that have each step
    places: Tensor  # [N] where in x, flattened to [., I], each pair lies
    rows: Tensor  # [B] the rows of the batch, the longest first


def packed_order(layout: Layout, x: Tensor) -> Packed:
    """How `x` is packed, which has lengths or offsets."""
    B = layout.batch(x)
    if layout.offsets is not None:
        lengths, starts, stride = layout.offsets.diff(), layout.offsets[:-1], 1
    else:
        assert layout.lengths is not None
        T = x.shape[1 if layout.batch_first else 0]
        stride, row_stride = (1, T) if layout.batch_first else (B, 1)
        lengths, starts = layout.lengths, torch.arange(B) * row_stride
    rows = lengths.argsort(descending=True, stable=True)
    steps = torch.arange(int(lengths.max()) if B else 0)[:, None]
    there = steps < lengths[rows]  # [T, B]
    places = (steps * stride + starts[rows])[there]
    return Packed(there.sum(1).tolist(), places.to(x.device), rows.to(x.device))
