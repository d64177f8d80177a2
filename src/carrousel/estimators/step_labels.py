"""X and y of a tagger: lists of words, and a label for each step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrousel.data.tagged import TaggedSentences
from carrousel.estimators.inputs import read_lengths
from carrousel.tasks.tagging.words import Words


def has_words(X: Any) -> bool:
    """Whether X has words: sentences, or with lengths all words of all sentences."""
    if hasattr(X, "dtype") and X.dtype.kind in "fiubc":
        return False
    first = next(iter(X), None) if hasattr(X, "__iter__") and not hasattr(X, "columns") else None
    if isinstance(first, str):
        return True
    if first is None or not is_nested(first) or hasattr(first, "columns"):
        return False
    return isinstance(next(iter(first), None), str)


def is_nested(one: Any) -> bool:
    """Whether this is a list or an array of one dimension or more."""
    return hasattr(one, "__len__") and not isinstance(one, (str, bytes)) and getattr(one, "ndim", 1) > 0


def read_words(X: Any, lengths: ArrayLike | None) -> Words:
    """Sentences as the task `tag` reads them.

    Args:
        X: a list of lists of words; with lengths all words in one list.
        lengths: words of each sentence [N].

    Raises:
        ValueError, TypeError: a sentence has no words, or something is not a word; says which.
    """
    sentences = cut(X, lengths) if lengths is not None else list(X)
    for index, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            raise TypeError(
                f"X[{index}] is the text {sentence!r:.60}, and not a list of words: give a list of lists, or lengths"
            )
        if not is_nested(sentence) or not len(sentence):
            raise ValueError(f"sentence {index} has no words: leave it out, and its labels")
        for place, word in enumerate(sentence):
            if not isinstance(word, str) or not word:
                raise TypeError(f"sentence {index}, word {place} is {word!r}: each must be a text that is not empty")
    words = tuple(str(word) for sentence in sentences for word in sentence)
    counts = np.array([len(sentence) for sentence in sentences], np.int64)
    return Words(TaggedSentences(words, None, counts, tuple(f"sentence {n}" for n in range(len(counts))), {}), "X")


def cut(flat: Any, lengths: ArrayLike) -> list[Any]:
    """Words end to end as sentences.

    Raises:
        ValueError: their number is not the sum of the lengths, or X is a list of lists.
    """
    counts, flat = read_lengths(lengths), list(flat)
    if flat and is_nested(flat[0]):
        raise ValueError("lengths is for words end to end: the sentences of a list have a length each; leave it out")
    if counts.sum() != len(flat):
        raise ValueError(f"lengths has the sum {counts.sum():,}, and X has {len(flat):,} words: they must be the same")
    ends = np.cumsum(counts)
    return [flat[end - count : end] for count, end in zip(counts.tolist(), ends.tolist())]


def join_labels(y: Any, lengths: NDArray[np.int64]) -> NDArray[Any]:
    """The label of each step, end to end [sum T_i].

    Args:
        y: a list of N arrays [T_i]; an array [N, T]; or all labels in an array [sum T_i].
        lengths: T_i, the steps of each sequence of X [N].

    Raises:
        ValueError, TypeError: there are more or fewer labels than steps, or of several types; says where.
    """
    parts = list(y)
    if not parts or not is_nested(parts[0]):
        if len(parts) != lengths.sum():
            raise ValueError(
                f"y has {len(parts):,} labels, and X has {lengths.sum():,} steps in {len(lengths):,} sequences: give a "
                "list with an array of labels for each sequence, one label a step"
            )
        return to_array([y])
    if len(parts) != len(lengths):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {len(lengths):,} sequences, and y "
            f"labels for {len(parts):,}"
        )
    for index, (part, length) in enumerate(zip(parts, lengths.tolist())):
        if not is_nested(part) or len(part) != length:
            found = f"{len(part)} labels" if is_nested(part) else f"{part!r}, which is not a list"
            raise ValueError(f"sequence {index} has {length} steps, and y has {found} for it: give a label for each")
    return to_array(parts)


def to_array(parts: list[Any]) -> NDArray[Any]:
    """Labels of all sequences as one array.

    Raises:
        TypeError, ValueError: they are of several types, or not one for each step.
    """
    arrays = [np.asarray(part) for part in parts]
    for index, array in enumerate(arrays):
        if array.ndim != 1:
            raise ValueError(f"the labels of sequence {index} have {array.ndim} dimensions: give one label for a step")
    kinds = {"number" if array.dtype.kind in "iuf" else array.dtype.kind for array in arrays}
    if len(kinds) > 1 and "O" not in kinds:
        names = sorted({type(array[0].item()).__name__ for array in arrays})
        raise TypeError(f"y has labels of several types ({', '.join(names)}): use one")
    return np.concatenate(arrays)
