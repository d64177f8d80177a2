"""Checks of a block before the kernels read it: right shapes, types and ranges, or an error that names the array."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from carrousel.online.checks import Ints, array_of, check_rows
from carrousel.online.lstm1997.network import Network
from carrousel.papers.harness.sequences import Sequences

MAX_STEPS = 2**31 - 1  # the kernels count in int32


def check_block(block: Sequences, network: Network, name: str = "block") -> Sequences:
    """The same sequences, contiguous, as float32 and int32; copied only if their type or layout changes.

    Raises:
        ValueError: not Sequences, shapes that do not match, an invalid index, NaN or infinity.
    """
    if not isinstance(block, Sequences):
        raise ValueError(f"{name} is of type {type(block).__name__}, expected Sequences")
    lengths = check_lengths(f"{name}.lengths", block.lengths)
    steps = int(lengths.sum())
    x = check_rows(f"{name}.x", block.x, steps, network.inputs)
    given = array_of(f"{name}.targets", block.targets)
    at_end = len(given) == len(lengths) if given.ndim else False
    targets = check_rows(f"{name}.targets", given, len(lengths) if at_end else steps, network.outputs, not at_end)
    if at_end and targets.ndim == 1 and (targets < 0).any():
        raise ValueError(f"{name}.targets holds -1; with one target a sequence, every sequence needs one")
    return Sequences(lengths, x, targets, block.truth)


def check_lengths(name: str, lengths: ArrayLike) -> Ints:
    """Lengths of the sequences [N], as int32.

    Raises:
        ValueError: another shape or type, or a length below 1.
    """
    array = array_of(name, lengths)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} has shape {list(array.shape)} of {array.dtype}, expected [N] of whole numbers")
    wrong = (array < 1) | (array > MAX_STEPS)
    if wrong.any():
        raise ValueError(f"{name} holds {array[wrong][0]}; a sequence has 1 to {MAX_STEPS} steps")
    return np.ascontiguousarray(array, dtype=np.int32)
