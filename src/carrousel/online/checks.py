"""What the native side may rely on: arrays of the right shape, type and range, or an error that names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrousel.papers.lstm1997.network import Network, array_of
from carrousel.papers.lstm1997.sequences import Sequences

MOST = 2**31 - 1  # an int32 holds


def checked(block: Sequences, network: Network, name: str = "block") -> Sequences:
    """The same sequences, contiguous, as float32 and int32; copied only where they are something else.

    Raises:
        ValueError: no sequences, shapes that do not belong together, an index that is none, NaN or infinity.
    """
    if not isinstance(block, Sequences):
        raise ValueError(f"{name} is of type {type(block).__name__}, expected Sequences")
    lengths = checked_lengths(f"{name}.lengths", block.lengths)
    steps = int(lengths.sum())
    x = rows(f"{name}.x", block.x, steps, network.inputs)
    given = array_of(f"{name}.targets", block.targets)
    at_end = len(given) == len(lengths) if given.ndim else False
    targets = rows(f"{name}.targets", given, len(lengths) if at_end else steps, network.outputs, not at_end)
    if at_end and targets.ndim == 1 and (targets < 0).any():
        raise ValueError(f"{name}.targets holds -1; where the error comes at the end, each sequence has its target")
    return Sequences(lengths, x, targets, block.truth)


def checked_lengths(name: str, lengths: ArrayLike) -> NDArray:
    """Steps of each sequence [N], as int32."""
    array = array_of(name, lengths)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} has shape {list(array.shape)} of {array.dtype}, expected [N] of whole numbers")
    wrong = (array < 1) | (array > MOST)
    if wrong.any():
        raise ValueError(f"{name} holds {array[wrong][0]}; a sequence has 1 to {MOST} steps")
    return np.ascontiguousarray(array, dtype=np.int32)


def rows(name: str, array: ArrayLike, count: int, width: int, may_lack=False, dtype: Any = np.float32) -> NDArray:
    """An array of numbers [count, width], or of indices [count] below width as int32.

    Args:
        name: what it is called in an error.
        array: the array.
        count: rows.
        width: numbers in a row.
        may_lack: a whole row may be NaN.
        dtype: what numbers become.

    Raises:
        ValueError: another shape, an index that is none, NaN or infinity.
    """
    array = array_of(name, array)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return indices(name, array, count, width)
    if array.shape != (count, width) or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} has shape {list(array.shape)} of {array.dtype}, expected [{count}, {width}] of numbers, "
            f"or [{count}] of whole numbers"
        )
    given = array
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is told
        array = np.ascontiguousarray(array, dtype=dtype)
    finite = np.isfinite(array)
    if not finite.all():
        lacking = np.isnan(array).all(axis=1, keepdims=True) & may_lack
        if not (finite | lacking).all():
            bad, most = given[~(finite | lacking)][0], np.finfo(array.dtype).max
            raise ValueError(f"{name} holds {bad}; every number must be finite, up to {most:.2g}")
    return array


def indices(name: str, array: NDArray, count: int, width: int) -> NDArray:
    """Indices [count] of what is on, as int32; -1 is none."""
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {list(array.shape)}, expected [{count}]")
    wrong = (array < -1) | (array >= width)
    if wrong.any():
        raise ValueError(f"{name} holds the index {array[wrong][0]}; they run from 0 to {width - 1}, and -1 is none")
    return np.ascontiguousarray(array, dtype=np.int32)


def told(name: str, targets: ArrayLike | None, T: int, K: int, dtype: Any) -> tuple[NDArray | None, NDArray]:
    """Targets [T, K] and at which steps there are any [T]; `targets` as `rows` takes them, or None.

    Raises:
        ValueError: as `rows`.
    """
    if targets is None:
        return None, np.zeros(T, np.uint8)
    array = rows(name, targets, T, K, may_lack=True, dtype=dtype)
    if array.ndim == 1:
        return np.eye(K, dtype=dtype)[array], (array >= 0).astype(np.uint8)
    return array, (~np.isnan(array[:, 0])).astype(np.uint8)


def fill_row(name: str, row: ArrayLike | int, numbers: NDArray, index: NDArray) -> bool:
    """Copy one row into `numbers` [N], or the index of what is on into `index` [1]; True: it was an index, -1 for none.

    Raises:
        ValueError: another shape, NaN, infinity, or no such index.
    """
    array = array_of(name, row)
    if array.ndim == 0 and array.dtype.kind in "iu":
        if not -1 <= int(array) < len(numbers):
            raise ValueError(f"{name}={row} is no index: they run from 0 to {len(numbers) - 1}, and -1 is none")
        index[0] = int(array)
        return True
    if array.shape != numbers.shape or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} has shape {list(array.shape)} of {array.dtype}, expected [{len(numbers)}] numbers, or an index"
        )
    if array.dtype == numbers.dtype:
        numbers[:] = array
    else:
        with np.errstate(over="ignore"):  # to infinity, which is refused below; the context takes a microsecond
            numbers[:] = array
    if not np.isfinite(numbers).all():
        bad, most = array[~np.isfinite(numbers)][0], np.finfo(numbers.dtype).max
        raise ValueError(f"{name} holds {bad}; every number must be finite, up to {most:.2g}")
    return False
