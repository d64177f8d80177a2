"""The forms of X, as sequences end to end.

Letters: N sequences, T steps, F channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from carrousel.data.scaling import IMPUTE
from carrousel.data.sequences import Sequences

LAYOUTS = ("NTF", "NFT")


class Steps(NamedTuple):
    """All steps of X.

    Args:
        values: end to end [sum T_i, F], an array or a frame; or X itself where each of its rows is a sequence.
        lengths: T_i [N].
        is_rows: each row of X is a sequence of one channel.
        is_copy: the values are not in the memory of X.
    """

    values: Any
    lengths: NDArray[np.int64]
    is_rows: bool = False
    is_copy: bool = False


def read_sequences(estimator: Any, X: Any, lengths: ArrayLike | None, is_first: bool) -> Sequences:
    """Read X, with values that may be changed.

    Args:
        estimator: with `layout` and `impute`; has `n_features_in_` and, of frames, `feature_names_in_` afterwards.
        X: one of
            a list of arrays [T_i, F], or [T_i] for one channel;
            an array [N, T, F]; with lengths [N], of which only the first T_i steps count;
            an array [N, T]: one channel;
            with lengths [N], an array [sum T_i, F]: all sequences end to end.
            With layout="NFT" each sequence is [F, T], in lists and in arrays of three dimensions.
        lengths: as described.
        is_first: this X decides how many channels there are; else it must have as many.

    Raises:
        ValueError, TypeError: X has none of these forms; holds what is no number; has other channels.
    """
    if estimator.layout not in LAYOUTS:
        raise ValueError(f"layout={estimator.layout!r} is not one of {', '.join(LAYOUTS)}")
    steps = gather(X, lengths, estimator.layout == "NFT")
    if is_first:
        estimator._has_fixed_length = steps.is_rows
    is_same_form = steps.is_rows == estimator._has_fixed_length
    rules: dict[str, Any] = {"dtype": np.float32, "ensure_all_finite": "allow-nan"}
    found: Any = (
        validate_data(estimator, steps.values, reset=is_first, **rules)
        if is_same_form
        else check_array(steps.values, **rules)
    )
    F = 1 if steps.is_rows else found.shape[1]
    if is_first:
        estimator.n_channels_ = F
    elif estimator.n_channels_ != F:
        raise ValueError(f"X has {F} channels, but {type(estimator).__name__} was fitted on {estimator.n_channels_}")
    is_copy = steps.is_copy or (isinstance(X, np.ndarray) and found is not X)  # other objects may return their memory
    values = found if is_copy and found.base is None and found.flags.c_contiguous else np.array(found, order="C")
    counts = np.full(len(found), found.shape[1], np.int64) if steps.is_rows else steps.lengths
    sequences = Sequences(values.reshape(-1, F), counts, None, (), tuple(f"channel {f}" for f in range(F)), {})
    require_values(sequences, estimator.impute)
    return sequences


def gather(X: Any, lengths: ArrayLike | None, is_transposed: bool) -> Steps:
    """Find the form of X, and join its sequences."""
    if is_list(X):
        if lengths is not None:
            raise ValueError("lengths is for arrays: the sequences of a list have a length each; leave it out")
        return join([take_sequence(one, index, is_transposed) for index, one in enumerate(X)])
    if getattr(X, "ndim", 2) == 3 or (isinstance(X, (list, tuple)) and np.ndim(X) == 3):
        array = np.asarray(X)
        return cut(array.swapaxes(1, 2) if is_transposed else array, lengths)
    if lengths is None:
        return Steps(X, np.zeros(0, np.int64), is_rows=True)
    counts = read_lengths(lengths)
    if counts.sum() != len(X):
        raise ValueError(
            f"lengths has the sum {counts.sum():,}, and X has {len(X):,} rows: with lengths, an array of two "
            "dimensions holds all sequences end to end"
        )
    return Steps(X, counts)


def is_list(X: Any) -> bool:
    """Whether X is a list of sequences; a list of rows of the same length is an array [N, T]."""
    is_object_array = isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1
    if not (isinstance(X, (list, tuple)) or is_object_array) or not len(X):
        return False
    dimensions = [count_dimensions(one) for one in X]
    if is_object_array and max(dimensions) > 0:
        return True
    return max(dimensions) >= 2 or (min(dimensions) == 1 and len({len(one) for one in X}) > 1)


def count_dimensions(one: Any) -> int:
    """How many dimensions an array or a nested list has."""
    if (found := getattr(one, "ndim", None)) is not None:
        return found
    depth = 0
    while isinstance(one, (list, tuple)):
        depth, one = depth + 1, one[0] if len(one) else None
    return depth


def take_sequence(one: Any, index: int, is_transposed: bool) -> Any:
    """A sequence of a list as an array or a frame [T, F]."""
    if hasattr(one, "toarray"):
        raise TypeError(f"sequence {index} is sparse, and dense data is required: use X[{index}].toarray()")
    found = one if hasattr(one, "columns") else np.asarray(one)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2:
        raise ValueError(f"sequence {index} has {found.ndim} dimensions: each must be an array [T, F], or [T]")
    found = found.T if is_transposed and np.ndim(one) == 2 else found
    if not len(found):
        raise ValueError(f"sequence {index} has no steps: leave it out, and its label")
    return found


def join(parts: list[Any]) -> Steps:
    """Sequences [T_i, F] end to end; frames stay a frame, so that the names of their columns are checked."""
    lengths = np.array([len(part) for part in parts], np.int64)
    for index, part in enumerate(parts):
        if part.shape[1] != parts[0].shape[1]:
            raise ValueError(
                f"sequence {index} has {part.shape[1]} channels, and sequence 0 has {parts[0].shape[1]}: each must be "
                'an array [T, F]; for [F, T] set layout="NFT"'
            )
        if list(getattr(part, "columns", ())) != list(getattr(parts[0], "columns", ())):
            raise ValueError(f"sequence {index} has other columns than sequence 0: name and sort them the same")
    values = np.concatenate([np.asarray(part) for part in parts])
    if hasattr(parts[0], "columns"):
        values = type(parts[0])(values, columns=parts[0].columns)
    return Steps(values, lengths, is_copy=True)


def cut(array: NDArray[Any], lengths: ArrayLike | None) -> Steps:
    """The steps that count of an array [N, T, F]."""
    N, T, F = array.shape
    if lengths is None:
        return Steps(array.reshape(N * T, F), np.full(N, T, np.int64))
    counts = read_lengths(lengths)
    if len(counts) != N or counts.max() > T:
        raise ValueError(
            f"lengths has {len(counts):,} numbers up to {counts.max():,}: X [{N:,}, {T:,}, {F:,}] needs {N:,}, "
            f"each at most {T:,}"
        )
    return Steps(array[np.arange(T) < counts[:, None]], counts, is_copy=True)


def read_lengths(lengths: ArrayLike) -> NDArray[np.int64]:
    """How many steps each sequence has [N]."""
    found = np.asarray(lengths)
    if found.ndim != 1 or not len(found) or found.dtype.kind not in "iu" or found.min() < 1:
        raise ValueError(f"lengths must be whole numbers, at least 1, one for each sequence; it is {lengths!r:.100}")
    return found.astype(np.int64)


def require_values(sequences: Sequences, impute: str | None) -> None:
    """Raise ValueError if a value is missing and nothing replaces it."""
    if impute is not None and impute not in IMPUTE:
        raise ValueError(f"impute={impute!r} is not one of {', '.join(IMPUTE)}")
    if impute is not None or not (is_missing := np.isnan(sequences.values)).any():
        return
    step, channel = np.argwhere(is_missing)[0]
    index = int(np.searchsorted(sequences.offsets, step, side="right")) - 1
    raise ValueError(
        f"X contains NaN: sequence {index}, step {step - sequences.offsets[index]}, channel {channel} (counted from "
        f"0), the first of {is_missing.sum():,}; choose what replaces missing values: impute="
        f"{name_all(tuple(IMPUTE))}"
    )


def name_all(words: Sequence[str]) -> str:
    """Words as a choice: 'a', 'b' or 'c'."""
    return f"{', '.join(map(repr, words[:-1]))} or {words[-1]!r}"
