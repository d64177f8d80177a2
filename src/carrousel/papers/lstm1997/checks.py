"""What the native side may rely on: arrays of the right shape, type and range, or an error that names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.network import Network
from carrousel.papers.lstm1997.sequences import Sequences


def checked(block: Sequences, network: Network, name: str = "block") -> Sequences:
    """The same sequences, contiguous, as float32 and int32; copied only where they are something else.

    Raises:
        ValueError: shapes that do not belong together, an index that is none, NaN or infinity.
    """
    lengths = np.ascontiguousarray(block.lengths, dtype=np.int32)
    if lengths.ndim != 1 or (lengths < 1).any():
        raise ValueError(f"{name}.lengths={lengths} must be numbers of 1 or more: no sequence is empty")
    steps = int(lengths.sum())
    x = rows(f"{name}.x", block.x, steps, network.inputs)
    at_end = len(block.targets) == len(lengths)
    targets = rows(f"{name}.targets", block.targets, len(lengths) if at_end else steps, network.outputs, not at_end)
    if at_end and targets.ndim == 1 and (targets < 0).any():
        raise ValueError(f"{name}.targets holds -1; where the error comes at the end, each sequence has its target")
    return Sequences(lengths, x, targets, block.truth)


def rows(name: str, array: NDArray, count: int, width: int, may_lack: bool = False, dtype: Any = np.float32) -> NDArray:
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
    array = np.asarray(array)
    if array.ndim == 1 and array.dtype.kind in "iu":
        return indices(name, array, count, width)
    if array.shape != (count, width) or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name} has shape {list(array.shape)} of {array.dtype}, expected [{count}, {width}] of numbers, "
            f"or [{count}] of whole numbers"
        )
    with np.errstate(over="ignore"):  # what does not fit becomes infinite, and is told
        array = np.ascontiguousarray(array, dtype=dtype)
    finite = np.isfinite(array)
    if not finite.all():
        lacking = np.isnan(array).all(axis=1, keepdims=True) & may_lack
        if not (finite | lacking).all():
            raise ValueError(f"{name} holds {array[~(finite | lacking)][0]}; every number must be finite")
    return array


def indices(name: str, array: NDArray, count: int, width: int) -> NDArray:
    """Indices [count] of what is on, as int32; -1 is none."""
    if array.shape != (count,):
        raise ValueError(f"{name} has shape {list(array.shape)}, expected [{count}]")
    wrong = (array < -1) | (array >= width)
    if wrong.any():
        raise ValueError(f"{name} holds the index {array[wrong][0]}; they run from 0 to {width - 1}, and -1 is none")
    return np.ascontiguousarray(array, dtype=np.int32)
