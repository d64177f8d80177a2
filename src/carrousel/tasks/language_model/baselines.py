"""What a language model is compared with: how often each symbol, and each pair of neighbours, is in the training text.

The pairs are interpolated Kneser-Ney (Kneser and Ney 1995; Chen and Goodman 1999, section 4.1.6): counts lose an
absolute discount, and what they lose goes to symbols in proportion to how many others stand before them.

Letters: N symbols of a text, V of the vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 1 << 24  # symbols that are counted: pairs of a gigabyte of text would take more memory than the model
PIECE = 1 << 22  # symbols at a time

Numbers = NDArray[np.float64]


class Unigrams:
    """p(symbol) by its part of the text; a discount leaves something for symbols that are not there.

    Args:
        codes: the training text [N].
        symbols: V.
    """

    def __init__(self, codes: NDArray[np.integer], symbols: int) -> None:
        counts = np.bincount(codes[:MOST], minlength=symbols)
        self.p: Numbers = smooth(counts)

    def losses(self, codes: NDArray[np.integer]) -> Numbers:
        """-ln p of every symbol of a text but the first [N - 1], in nats."""
        return -np.log(self.p[codes[1:]])


class Bigrams:
    """p(symbol | the symbol before it).

    Args:
        codes: the training text [N].
        symbols: V.
    """

    def __init__(self, codes: NDArray[np.integer], symbols: int) -> None:
        codes = codes[:MOST]
        pairs, counts = np.unique(codes[:-1].astype(np.int64) * symbols + codes[1:], return_counts=True)
        first, second = np.divmod(pairs, symbols)
        self.symbols: int = symbols
        self.pairs: NDArray[np.int64] = pairs
        self.counts: NDArray[np.int64] = counts
        self.totals: NDArray[np.int64] = np.bincount(codes[:-1], minlength=symbols)
        self.followers: NDArray[np.int64] = np.bincount(first, minlength=symbols)  # different ones
        self.discount: float = find_discount(counts)
        self.shorter: Numbers = smooth(np.bincount(second, minlength=symbols))

    def losses(self, codes: NDArray[np.integer]) -> Numbers:
        """-ln p of every symbol of a text but the first [N - 1], in nats."""
        found = [
            -np.log(self.p(codes[start : start + PIECE], codes[start + 1 : start + 1 + PIECE]))
            for start in range(0, len(codes) - 1, PIECE)
        ]
        return np.concatenate(found)

    def p(self, before: NDArray[np.integer], symbols: NDArray[np.integer]) -> Numbers:
        """p(symbol | before) of pairs [n]."""
        symbols = symbols[: len(before)]
        before = before[: len(symbols)]
        pairs = before.astype(np.int64) * self.symbols + symbols
        places = np.minimum(np.searchsorted(self.pairs, pairs), len(self.pairs) - 1)
        counts = np.where(self.pairs[places] == pairs, self.counts[places], 0)
        totals = self.totals[before]
        rest = np.maximum(counts - self.discount, 0)
        lost = np.where(totals > 0, self.discount * self.followers[before], 1.0)  # after an unknown one: all of it
        return (rest + lost * self.shorter[symbols]) / np.maximum(totals, 1)


def smooth(counts: NDArray[np.integer]) -> Numbers:
    """The part of each symbol [V], less a discount, which goes to all symbols in equal parts."""
    discount, V = find_discount(counts), len(counts)
    rest = np.maximum(counts - discount, 0)
    return (rest + discount * np.count_nonzero(counts) / V) / counts.sum()


def find_discount(counts: NDArray[np.integer]) -> float:
    """n1 / (n1 + 2 n2), of the numbers of counts that are 1 and 2 (Ney, Essen and Kneser 1994)."""
    one, two = int((counts == 1).sum()), int((counts == 2).sum())
    return max(one / (one + 2 * two), 0.1) if one else 0.5  # without a discount, what is new would be impossible
