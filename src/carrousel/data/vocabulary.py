"""Text as a sequence of symbols: cleaning, vocabulary, split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from carrousel import memory
from carrousel.data.text import position
from carrousel.errors import UserError

MOST_PRINTED = 200  # symbols, in an error message
BYTES = 20  # that `Vocabulary.encode` takes for a character: its code point, and its number twice


def letters_only(text: str) -> str:
    """Lower case letters a to z; every run of anything else becomes one blank (27 symbols, as in the d2l book)."""
    return re.sub("[^A-Za-z]+", " ", text).lower()


@dataclass(frozen=True)
class Vocabulary:
    """The symbols that a model knows: characters, numbered by their place in a sorted string."""

    symbols: str

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The distinct characters of a text."""
        return cls("".join(sorted(set(text))))

    @cached_property
    def points(self) -> np.ndarray:
        """The symbols as Unicode code points [V], increasing."""
        return code_points(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str, name: str = "the text") -> Tensor:
        """The numbers of a text's characters [N], int64.

        Raises:
            UserError: a character is not in the vocabulary; says which, and where.
        """
        memory.require(BYTES * len(text), name, "take a part of it")
        points = code_points(text)
        codes = np.searchsorted(self.points, points)
        codes[codes == len(self)] = 0
        unknown = np.flatnonzero(self.points[codes] != points)
        if unknown.size:
            raise UserError(self.describe_unknown(text, int(unknown[0]), name))
        return torch.from_numpy(codes.astype(np.int64))

    def describe_unknown(self, text: str, index: int, name: str) -> str:
        """The error message for an unknown character: which, and where."""
        character = text[index]
        return (
            f"{name} has {character!r} (U+{ord(character):04X}) at {position(text, index)}, which the model "
            f"never saw; it knows {len(self)} symbols: {shorten(self.symbols)!r}"
        )

    def decode(self, codes: Sequence[int]) -> str:
        """The characters of some numbers."""
        return "".join(self.symbols[code] for code in codes)


def shorten(symbols: str) -> str:
    """As many symbols as fit into a message."""
    return symbols if len(symbols) <= MOST_PRINTED else f"{symbols[:MOST_PRINTED]}..."


def code_points(text: str) -> np.ndarray:
    """A text as Unicode code points [N], uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


@dataclass(frozen=True)
class Corpus:
    """A text to train on, and one to validate on."""

    train: Tensor  # [N], int64
    valid: Tensor  # [M], int64; M may be 0
    vocabulary: Vocabulary
    digest: str  # differs for different texts and splits

    @classmethod
    def split(cls, text: str, valid: float | str) -> Corpus:
        """Divide a text; the vocabulary is that of both parts.

        Args:
            text: all of the text.
            valid: the fraction at the text's end to validate on: the first floor(N (1 - fraction))
                characters train. Or another text to validate on.
        """
        cut = len(text) if isinstance(valid, str) else int(len(text) * (1 - valid))
        train, held_out = text[:cut], valid if isinstance(valid, str) else text[cut:]
        vocabulary = Vocabulary.of(train + held_out)
        digest = hashlib.sha256(f"{len(train)} {train}{held_out}".encode("utf-8", "surrogatepass")).hexdigest()
        return cls(vocabulary.encode(train), vocabulary.encode(held_out), vocabulary, digest)
