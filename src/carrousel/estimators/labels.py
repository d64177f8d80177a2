"""Labels as the numbers of classes; the classes of the first call of partial_fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import check_classification_targets


def start_classes(estimator: Any, classes: ArrayLike | None) -> None:
    """Set `classes_` in the first call of partial_fit; in later ones only compare them.

    Args:
        estimator: has `model_` after the first call.
        classes: all labels that any call will bring; None is allowed after the first.

    Raises:
        ValueError: they are missing in the first call, or others than there.
    """
    if not hasattr(estimator, "model_"):
        if classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit: all labels that will come")
        estimator.classes_ = np.unique(np.asarray(classes))
    elif classes is not None and not np.array_equal(estimator.classes_, np.unique(np.asarray(classes))):
        raise ValueError(
            f"classes={classes!r} is not the same as in the first call, {estimator.classes_!r}: leave it out"
        )


def number_labels(estimator: Any, y: NDArray[Any], is_new: bool) -> NDArray[np.int64]:
    """The number of each label in `classes_` [N].

    Args:
        estimator: gets `classes_` if `is_new`.
        y: labels [N].
        is_new: the classes are those of y; else each label must be one of `classes_`.

    Raises:
        TypeError: labels are of several types.
        ValueError: they are no classes, only one, or not those of the first call.
    """
    try:
        np.unique(y)
    except TypeError:
        kinds = sorted({type(label).__name__ for label in y})
        raise TypeError(f"y has labels of several types ({', '.join(kinds)}): use one, and leave none out") from None
    check_classification_targets(y)
    if is_new:
        estimator.classes_, numbers = np.unique(y, return_inverse=True)
        if len(estimator.classes_) < 2:
            name = type(estimator).__name__
            raise ValueError(f"{name} needs two classes or more, and y has 1 class: {estimator.classes_[0]!r}")
        return numbers.astype(np.int64)
    unknown = np.setdiff1d(y, estimator.classes_)
    if len(unknown):
        raise ValueError(
            f"y has labels that are not among the classes of the first call to partial_fit: {unknown!r}; name all "
            "classes there"
        )
    return np.searchsorted(estimator.classes_, y)
