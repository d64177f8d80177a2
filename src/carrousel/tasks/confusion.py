"""The picture of which classes are taken for which."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from carrousel.training.picture import to_png

MOST_NUMBERED = 25  # classes; beyond them figures would not fit into the fields
MOST_NAMED = 50  # beyond them the rare classes share a row and a column
LONGEST = 16  # characters of a label


def count_confusions(targets: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How many examples of each class were taken for each class [C, C], without those of a class that is unknown.

    Args:
        targets: the class of each example; below 0 or from C on: unknown.
        predicted: the class that each was taken for.
        classes: C.
    """
    is_known = (targets >= 0) & (targets < classes)
    pairs = targets[is_known] * classes + predicted[is_known]
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def join_rare(counts: NDArray[np.int64], classes: Sequence[str], most: int) -> tuple[NDArray[np.int64], list[str]]:
    """The counts with so many rows at most: the most frequent classes in their order, and one for all others."""
    if len(classes) <= most:
        return counts, list(classes)
    frequent = np.sort(np.argsort(-counts.sum(1), kind="stable")[: most - 1])
    place = np.full(len(classes), most - 1)
    place[frequent] = np.arange(most - 1)
    joined = np.zeros((most, most), np.int64)
    np.add.at(joined, (place[:, None], place), counts)
    names = [classes[int(index)] for index in frequent]
    return joined, [*names, f"{len(classes) - most + 1:,} others"]


def draw_confusions(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> bytes:
    """The confusion matrix as a PNG: the colour is the part of a row, the figure a number of examples.

    Args:
        counts: [C, C], what `count_confusions` returned.
        classes: the labels.
        title: above it.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its first import on a machine reports on fonts
    from matplotlib.figure import Figure  # half a second to import, and only here

    counts, labels = join_rare(counts, classes, MOST_NAMED)
    C = len(labels)
    side = min(14.0, max(4.5, 2.5 + 0.45 * C))
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.add_subplot()
    parts = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="label in the data", title=title)
    names = [label if len(label) <= LONGEST else f"{label[:LONGEST]}..." for label in labels]
    is_long = max(map(len, names)) > 3
    axes.set_xticks(range(C), names, rotation=45 if is_long else 0, ha="right" if is_long else "center")
    axes.set_yticks(range(C), names)
    if C <= MOST_NUMBERED:
        for row, column in np.argwhere(counts):
            color = "white" if parts[row, column] > 0.5 else "black"
            axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=color, fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.8, label="part of the class")
    return to_png(figure)
