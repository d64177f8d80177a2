"""The picture of the words that a model predicts better than counted pairs of words do."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from carrousel.tasks.language_model.word_scores import WordScores
from carrousel.training.picture import to_png

MOST = 25  # words in the picture
LONGEST = 20  # characters of a word


def draw_improved(scores: WordScores, words: Sequence[str]) -> bytes:
    """The words for which the model saves most against counted pairs of words, as a PNG.

    What is saved is summed over a word's occurrences; drawn is the mean of each, for the model and for the pairs.

    Args:
        scores: with those of "bigram".
        words: the vocabulary [V].
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its first import on a machine reports on fonts
    from matplotlib.figure import Figure  # half a second to import, and only here

    saved = scores.sums["bigram"] - scores.sums["model"]
    order = np.argsort(-saved)[:MOST]
    order = order[saved[order] > 0][::-1]  # the first at the top
    counts = scores.counts[order]
    model, pairs = (scores.sums[name][order] / counts for name in ("model", "bigram"))
    figure = Figure(figsize=(8, 1.6 + 0.26 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    rows = np.arange(len(order))
    axes.hlines(rows, model, pairs, color="lightgray", lw=3, zorder=1)
    axes.scatter(pairs, rows, color="gray", label="pairs of words, counted", zorder=2)
    axes.scatter(model, rows, color="C0", label="model", zorder=2)
    axes.set_yticks(rows, [f"{shorten(words[int(word)])}  ({count:,} x)" for word, count in zip(order, counts)])
    axes.set(xlabel="mean loss (nats)", title="validation, the words with the largest total improvement")
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    return to_png(figure)


def shorten(word: str) -> str:
    """A word that fits beside the picture."""
    return word if len(word) <= LONGEST else f"{word[:LONGEST]}..."
