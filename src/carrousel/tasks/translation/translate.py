"""Translate texts: sorted by length, and searched in groups."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from carrousel.data.symbol_pairs import SymbolTexts
from carrousel.tasks.translation.beam import Hypothesis, search
from carrousel.tasks.translation.model import Translator

GROUP = 64  # sources at a time; changes memory and speed only
SYMBOLS = 8192  # of the padded sources of a group, at most, unless a single one has more
FACTOR, MORE = 2, 10  # a translation has at most FACTOR times the source's symbols, and MORE


def translate(model: Translator, sources: SymbolTexts, width: int) -> list[Hypothesis]:
    """The translation of each source, in their order; the model's mode stays as it was.

    Args:
        model: on the device of the sources.
        sources: at least one.
        width: hypotheses of the beam search; 1: greedy search.
    """
    training = model.training
    model.eval()
    found: list[tuple[int, Hypothesis]] = []
    for group in split_by_length(sources.lengths):
        part = sources.select(group)
        longest = FACTOR * part.lengths + MORE
        found += zip(group.tolist(), search(model, part.pad(), part.lengths, width, longest))
    model.train(training)
    return [hypothesis for _, hypothesis in sorted(found, key=lambda each: each[0])]


def split_by_length(lengths: Tensor, count: int = GROUP) -> Iterator[Tensor]:
    """The indices of all texts, in groups of at most `count` that are about as long, the longest first."""
    order = lengths.argsort(stable=True, descending=True)
    first = 0
    while first < len(order):
        size = max(1, min(count, SYMBOLS // int(lengths[order[first]])))
        yield order[first : first + size]
        first += size
