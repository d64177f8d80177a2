"""Argument checks: numbers and arrays of the right shape, type and range, or an error that names the argument."""

from __future__ import annotations

import reprlib
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

MAX_FLOAT32 = float(np.finfo(np.float32).max)

Array = NDArray[Any]
Ints = NDArray[np.int32]


def is_number(value: object) -> bool:
    """Whether it is a real number of Python or NumPy; a bool is not."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object, least: int) -> bool:
    """Whether it is a whole number of `least` or more; a bool is not."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def check_whole(name: str, value: object, least: int) -> None:
    """Raise ValueError if it is not a whole number of `least` or more."""
    if not is_whole(value, least):
        raise ValueError(f"{name}={value!r} must be a whole number of {least} or more")


def array_of(name: str, values: ArrayLike) -> Array:
    """The values as an array of their own type.

    Raises:
        ValueError: rows of different lengths, a tensor that requires a gradient, or anything else that NumPy rejects.
    """
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:  # torch's tensors raise the latter two
        raise ValueError(f"{name}={reprlib.repr(values)} is not an array: {error}") from None


def check_rows(
    name: str, values: ArrayLike, count: int, width: int, may_lack: bool = False, dtype: DTypeLike = np.float32
) -> Array:
    """An array of numbers [count, width], or of indices [count] below width as int32; contiguous.

    Args:
        name: of the argument, for the error.
        values: the array; copied only if its type or layout changes.
        count: rows.
        width: numbers in a row.
        may_lack: a row that is NaN throughout is allowed.
        dtype: type of the numbers.

    Raises:
        ValueError: another shape, an invalid index, NaN or infinity.
    """
    array = array_of(name, values)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return check_indices(name, array, count, width)
    if array.shape != (count, width) or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} has shape {list(array.shape)} of {array.dtype}, expected [{count}, {width}] of numbers, "
            f"or [{count}] of whole numbers"
        )
    given = array
    with np.errstate(over="ignore"):  # too large a number becomes infinite, and is refused below
        array = np.ascontiguousarray(array, dtype=dtype)
    finite = np.isfinite(array)
    if not finite.all():
        lacking = np.isnan(array).all(axis=1, keepdims=True) & may_lack
        if not (finite | lacking).all():
            bad, most = given[~(finite | lacking)][0], np.finfo(array.dtype).max
            raise ValueError(f"{name} holds {bad}; every number must be finite, up to {most:.2g}")
    return array


def check_indices(name: str, array: Array, count: int, width: int) -> Ints:
    """Indices [count] of the units that are 1, as int32; -1: none is.

    Raises:
        ValueError: another shape, or an index that is not in [-1, width - 1].
    """
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {list(array.shape)}, expected [{count}]")
    wrong = (array < -1) | (array >= width)
    if wrong.any():
        raise ValueError(f"{name} holds the index {array[wrong][0]}; use 0 to {width - 1}, or -1 for none")
    return np.ascontiguousarray(array, dtype=np.int32)


def check_targets(
    name: str, targets: ArrayLike | None, T: int, K: int, dtype: DTypeLike
) -> tuple[Array | None, NDArray[np.uint8]]:
    """Targets [T, K] of a stream, and which steps have one [T].

    Args:
        name: of the argument, for the error.
        targets: numbers [T, K], a row of NaN for a step without a target; indices [T], -1 for such a step; or None.
        T: time steps.
        K: output units.
        dtype: type of the numbers.

    Raises:
        ValueError: as `check_rows`.
    """
    if targets is None:
        return None, np.zeros(T, np.uint8)
    array = check_rows(name, targets, T, K, may_lack=True, dtype=dtype)
    if array.ndim == 1:
        return np.eye(K, dtype=dtype)[array], (array >= 0).astype(np.uint8)
    return array, (~np.isnan(array[:, 0])).astype(np.uint8)


def fill_row(name: str, row: ArrayLike | int, numbers: Array, index: Ints) -> bool:
    """Copy one row into `numbers` [N], or an index into `index` [1].

    Args:
        name: of the argument, for the error.
        row: N numbers, or the index of the one that is 1; -1: none is.
        numbers: output buffer for numbers.
        index: output buffer for an index.

    Returns:
        True if the row is an index.

    Raises:
        ValueError: another shape, NaN, infinity, or an invalid index.
    """
    array = array_of(name, row)
    if array.ndim == 0 and array.dtype.kind in "iu":
        if not -1 <= int(array) < len(numbers):
            raise ValueError(f"{name}={row} is not an index: use 0 to {len(numbers) - 1}, or -1 for none")
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
