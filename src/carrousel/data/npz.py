"""Sequences from a .npz file: x, y and lengths, as `numpy.savez` writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.npz_file import load_arrays
from carrousel.data.sequences import Sequences
from carrousel.errors import UserError

NAMES = ("x", "y", "lengths")
OTHERS = "arrays with other names than x, y and lengths"


def read_npz(path: str | Path) -> Sequences:
    """The sequences of a .npz file, with one label for each if it has y.

    Args:
        path: the file. x [B, T, F], or [B, T] for one channel, with lengths [B] if sequences are shorter than T; or the
            steps of all sequences, x [N, F], with lengths [B]. y [B]: texts or numbers.

    Raises:
        UserError: the file is damaged, an array is missing, or has another shape or type.
    """
    arrays, others = load_arrays(path, NAMES)
    x, lengths = take_steps(path, arrays)
    y = arrays.get("y")
    if y is not None and y.shape != lengths.shape:
        hint = "; labels of steps are for the task tag" if y.size >= x.shape[0] * x.shape[1] > y.shape[0] else ""
        raise UserError(
            f"{path} has y {list(y.shape)} for {len(lengths):,} sequences: give a label for each, y [B]{hint}"
        )
    labels = None if y is None else spell(path, y)
    return new_sequences(path, join_steps(x, lengths), lengths, labels, others)


def read_npz_steps(path: str | Path) -> tuple[Sequences, tuple[str, ...] | None]:
    """The sequences of a .npz file, and the label of each step [N] if it has y.

    Args:
        path: the file. x and lengths as for `read_npz`; y [B, T] or [N], as the steps of x.

    Raises:
        UserError: the file is damaged, an array is missing, or has another shape or type.
    """
    arrays, others = load_arrays(path, NAMES)
    x, lengths = take_steps(path, arrays)
    y = arrays.get("y")
    if y is not None and y.shape != x.shape[:-1]:
        raise UserError(
            f"{path} has y {list(y.shape)} for steps x {list(x.shape)}: give a label for each step, y "
            f"{list(x.shape[:-1])}"
        )
    tags = None if y is None else spell(path, join_steps(y[..., None], lengths)[:, 0])
    return new_sequences(path, join_steps(x, lengths), lengths, None, others), tags


def take_steps(path: str | Path, arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Take x out of the arrays: [B, T, F] or, end to end, [N, F]; and the steps of each sequence [B].

    Raises:
        UserError: there is no x, shapes do not fit together, or numbers are not finite.
    """
    if "x" not in arrays:
        raise UserError(f"{path} has no array x: write it with numpy.savez(path, x=..., y=..., lengths=...)")
    x, given = to_float32(path, arrays.pop("x")), arrays.get("lengths")
    lengths = None if given is None else check_lengths(path, given)
    is_flat = x.ndim == 2 and lengths is not None and lengths.sum() == len(x)
    if x.ndim == 2 and not is_flat:
        x = x[:, :, None]
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise UserError(
            f"{path} has x {list(x.shape)}: give [B, T, F], [B, T], or [N, F] with lengths [B], none of them 0"
        )
    if lengths is None:
        return x, np.full(len(x), x.shape[1], np.int64)
    if not is_flat and (len(lengths) != len(x) or lengths.max() > x.shape[1]):
        raise UserError(
            f"{path} has lengths [{len(lengths)}], at most {lengths.max():,} and {lengths.sum():,} in all, which do "
            f"not fit x {list(x.shape)}: give the steps of each sequence"
        )
    return x, lengths


def check_lengths(path: str | Path, lengths: NDArray[Any]) -> NDArray[np.int64]:
    """The lengths [B], if they are whole numbers from 1.

    Raises:
        UserError: they are not.
    """
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not lengths.size:
        raise UserError(f"{path} has lengths {list(lengths.shape)} of {lengths.dtype}: give whole numbers [B]")
    wrong = np.flatnonzero((lengths < 1) | (lengths > 2**40))
    if wrong.size:
        raise UserError(f"{path}: lengths[{wrong[0]}] is {lengths[wrong[0]]}: each sequence needs at least 1 step")
    return lengths.astype(np.int64)


def to_float32(path: str | Path, x: NDArray[Any]) -> NDArray[np.float32]:
    """The numbers of an array; NaN is a missing value.

    Raises:
        UserError: it does not hold numbers, or one is infinite or too large.
    """
    if x.dtype.kind not in "fiub":
        raise UserError(f"{path} has x of {x.dtype}: give numbers, float32 best")
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(x, np.float32)
    infinite = np.isinf(numbers)
    if infinite.any():
        place = np.unravel_index(int(np.argmax(infinite)), x.shape)
        raise UserError(
            f"{path}: x[{', '.join(map(str, place))}] is {x[place]}, beyond float32 (3.4e38): correct it, or write nan "
            "if the value is missing"
        )
    return numbers


def join_steps(steps: NDArray[Any], lengths: NDArray[np.int64]) -> NDArray[Any]:
    """The steps of all sequences end to end [N, F], without those beyond their lengths."""
    if steps.ndim == 2:
        return steps
    if (lengths == steps.shape[1]).all():
        return steps.reshape(-1, steps.shape[2])
    return steps[np.arange(steps.shape[1]) < lengths[:, None]]


def spell(path: str | Path, labels: NDArray[Any]) -> tuple[str, ...]:
    """Labels as text: 3 as "3", and 3.0 too.

    Raises:
        UserError: they are neither numbers nor texts, or one is missing.
    """
    if labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels, "utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} has a label in y that is not utf-8 ({error}): give texts or numbers") from None
    if labels.dtype.kind not in "fiubU":
        raise UserError(f"{path} has y of {labels.dtype}: give texts or numbers")
    names = tuple(
        f"{label:g}" if isinstance(label, float) and label.is_integer() else str(label) for label in labels.tolist()
    )
    missing = next((number for number, name in enumerate(names) if name in ("", "nan")), None)
    if missing is not None:
        raise UserError(f"{path}: y[{missing}] is {names[missing]!r}, which is no label: complete it, or leave it out")
    return names


def new_sequences(
    path: str | Path, values: NDArray[Any], lengths: NDArray[np.int64], labels: tuple[str, ...] | None, others: int
) -> Sequences:
    """Sequences with the names that numpy gives them: x[0], x[1], ..."""
    names = tuple(f"x[{number}]" for number in range(len(lengths)))
    channels = tuple(f"x{number}" for number in range(values.shape[1]))
    return Sequences(values, lengths, labels, names, channels, {OTHERS: others} if others else {})
