"""Where the rows of a batch lie in x: dense, packed or ragged; which way time runs, and where resets split a sequence.

Letters: T time, B batch, I input, N (step, row) pairs.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """Where the rows of a batch lie in x, and so in y. By default x is dense, [T, B, I].

    Args:
        batch_first: x is [B, T, I]; the states stay as they are. Default False.
        reverse: run from the last step to the first; each row starts at its own last step. Default False.
        batch_sizes: x is packed, [N, I], as in PackedSequence: the number of rows that have each step [T], never
            increasing; int64 on the CPU.
        lengths: the number of steps of each row of x [B], from 0 to T, in any order; int64 on the CPU.
        offsets: x is [N, I], one row after another: where each row starts, and N at the end [B+1]; int64 on the CPU.
        resets: bool, shaped as x without its last dimension. Where true, the sequence is split before the step: the
            step starts from restored states, and no gradient passes from it to the step before. In reverse the parts
            are the same, each run from its end; the last part starts from the initial states.
        padding_value: what y, and all else that is returned of every step, holds beyond a row's length. Default 0.

    At most one of batch_sizes, lengths and offsets is given.
    """

    batch_first: bool = False
    reverse: bool = False
    batch_sizes: Tensor | None = None
    lengths: Tensor | None = None
    offsets: Tensor | None = None
    resets: Tensor | None = None
    padding_value: float = 0.0

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


DENSE, BATCH_FIRST = Rows(), Rows(batch_first=True)


def to_int64(name: str, given: Tensor | Sequence[int]) -> Tensor:
    """`given` as int64 on the CPU.

    Raises:
        TypeError: its numbers are not integers.
        ValueError: it does not have one dimension, or its numbers cannot be read.
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
        raise TypeError(f"{name} must be integers, got {numbers.dtype}: {_first_few(numbers)}")
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


def check_rows(x: Tensor, rows: Rows) -> None:
    """Raise if batch_sizes, lengths, offsets or resets do not fit each other or x.

    Raises:
        TypeError: resets are not bool.
        ValueError: a length or an offset is out of its range, or a shape is wrong.
    """
    given = [name for name in ("batch_sizes", "lengths", "offsets") if getattr(rows, name) is not None]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} describe the same in different ways: give one of them")
    dims = 2 if rows.is_flat else 3
    if x.dim() != dims:
        raise ValueError(f"x has {x.dim()} dimensions, expected {dims}" + (f" with {given[0]}" if given else ""))
    if rows.lengths is not None:
        B, T = rows.batch(x), x.shape[1 if rows.batch_first else 0]
        if rows.lengths.shape != (B,):
            raise ValueError(f"lengths has {rows.lengths.numel()} numbers for a batch of {B} rows: give one for each")
        for row, length in enumerate(rows.lengths.tolist()):
            if not 0 <= length <= T:
                raise ValueError(f"lengths[{row}]={length} is not among 0 .. {T}: the input has {T} steps")
    if rows.offsets is not None:
        _check_offsets(rows.offsets.tolist(), x.shape[0])
    check_resets(rows.resets, x.shape[:-1])


def _check_offsets(offsets: list[int], N: int) -> None:
    if not offsets or offsets[0] != 0 or offsets[-1] != N:
        ends = f"{offsets[0]} .. {offsets[-1]}" if offsets else "nothing"
        raise ValueError(f"offsets must run from 0 to {N}, the rows of the input, but run {ends}")
    for row, (start, end) in enumerate(pairwise(offsets)):
        if start > end:
            raise ValueError(f"offsets[{row + 1}]={end} is less than offsets[{row}]={start}: they must not decrease")


def check_resets(resets: Any, shape: Sequence[int]) -> None:
    """Raise unless resets are None, or bool and of the shape."""
    if resets is None:
        return
    if not isinstance(resets, Tensor) or resets.dtype != torch.bool:
        kind = resets.dtype if isinstance(resets, Tensor) else type(resets).__name__
        raise TypeError(f"resets must be a tensor of torch.bool, got {kind}: resets.bool() makes one")
    if resets.shape != tuple(shape):
        raise ValueError(f"resets has shape {list(resets.shape)}, expected {list(shape)}: one for each step and row")


def _first_few(numbers: Tensor) -> str:
    few = numbers.flatten()[:4].tolist()
    return ", ".join(map(str, few)) + (", ..." if numbers.numel() > 4 else "")


class PackedOrder(NamedTuple):
    """The pairs of a ragged batch in the order of packed data: step after step, the longest row first."""

    sizes: list[int]  # [T] rows that have each step
    positions: Tensor  # [N] where each pair lies in x, flattened to [., I]
    rows: Tensor  # [B] the rows of the batch, the longest first


def pack_order(rows: Rows, x: Tensor) -> PackedOrder:
    """How to pack `x`, which has lengths or offsets."""
    B = rows.batch(x)
    if rows.offsets is not None:
        lengths, starts, stride = rows.offsets.diff(), rows.offsets[:-1], 1
    else:
        assert rows.lengths is not None
        T = x.shape[1 if rows.batch_first else 0]
        stride, row_stride = (1, T) if rows.batch_first else (B, 1)
        lengths, starts = rows.lengths, torch.arange(B) * row_stride
    by_length = lengths.argsort(descending=True, stable=True)
    steps = torch.arange(int(lengths.max()) if B else 0)[:, None]
    has_step = steps < lengths[by_length]  # [T, B]
    positions = (steps * stride + starts[by_length])[has_step]
    return PackedOrder(has_step.sum(1).tolist(), positions.to(x.device), by_length.to(x.device))
