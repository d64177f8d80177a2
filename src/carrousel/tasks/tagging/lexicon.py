"""The words, characters and tags that a model knows, counted in its training data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.tasks.tagging.sentences import Spellings

UNKNOWN = 0  # the number of words and characters that are not known
HALF = 24  # a word of more than 48 characters, mostly an address, is read by its first and last 24
LEAST = 2  # how often a word appears, and in how many spellings a character, to be known: from the others the network
# learns what is unknown


@dataclass(frozen=True)
class Lexicon:
    """What was counted in the training data.

    Args:
        spellings: the different words, in the order in which they appear.
        counts: how often each appears.
        frequent: the number of its most frequent tag.
        most_frequent: that of the most frequent tag of all words.
        characters: the characters of the words, sorted; number 0 is that of all others.
    """

    spellings: tuple[str, ...]
    counts: tuple[int, ...]
    frequent: tuple[int, ...]
    most_frequent: int
    characters: str

    @classmethod
    def count(cls, words: Sequence[str], targets: NDArray[np.int64]) -> Lexicon:
        """Count words and their tags [N]."""
        tags: dict[str, Counter[int]] = {}
        for word, tag in zip(words, targets.tolist()):
            tags.setdefault(word, Counter())[tag] += 1
        in_words = Counter(character for word in tags for character in set(word))
        return cls(
            spellings=tuple(tags),
            counts=tuple(found.total() for found in tags.values()),
            frequent=tuple(found.most_common(1)[0][0] for found in tags.values()),
            most_frequent=int(np.bincount(targets).argmax()),
            characters="".join(sorted(each for each, count in in_words.items() if count >= LEAST)),
        )

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each spelling."""
        return {word: number for number, word in enumerate(self.spellings)}

    @cached_property
    def word_counts(self) -> dict[str, int]:
        """How often each word appears, in lower case, if it is known; its place, counted from 1, is its number."""
        found: Counter[str] = Counter()
        for word, count in zip(self.spellings, self.counts):
            found[word.lower()] += count
        return {word: count for word, count in found.items() if count >= LEAST}

    def encode(self, words: Iterable[str]) -> Spellings:
        """Different words as numbers."""
        words = list(words)
        word_numbers = {word: number for number, word in enumerate(self.word_counts, start=1)}
        characters = {character: number for number, character in enumerate(self.characters, start=1)}
        read = [word if len(word) <= 2 * HALF else word[:HALF] + word[-HALF:] for word in words]
        places = [self.numbers.get(word, -1) for word in words]
        lengths = torch.tensor([len(word) for word in read])
        return Spellings(
            words=torch.tensor([word_numbers.get(word.lower(), UNKNOWN) for word in words]),
            characters=torch.tensor([characters.get(each, UNKNOWN) for word in read for each in word]),
            starts=lengths.cumsum(0) - lengths,
            lengths=lengths,
            is_known=torch.tensor([place >= 0 for place in places]),
            frequent=torch.tensor([self.frequent[place] if place >= 0 else self.most_frequent for place in places]),
        )

    def to_json(self) -> dict[str, Any]:
        """In types that JSON has."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Lexicon:
        """The inverse of `to_json`."""
        lists = {name: tuple(values[name]) for name in ("spellings", "counts", "frequent")}
        return cls(**{**values, **lists})
