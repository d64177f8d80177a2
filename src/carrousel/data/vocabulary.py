"""Text as a sequence of symbols: cleaning, vocabulary, split."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from carrousel import memory
from carrousel.data.growing_array import GrowingArray
from carrousel.data.text import position
from carrousel.errors import UserError

PIECE = 1 << 24  # characters that are renumbered at a time
MOST_PRINTED = 200  # symbols, in an error message
BYTES = 20  # that `Vocabulary.encode` takes for a character: its code point, and its number twice


def letters_only(text: str) -> str:
    """Lower case letters a to z; every run of anything else becomes one blank (27 symbols, as in the d2l book)."""
    return re.sub("[^A-Za-z]+", " ", text).lower()


def letters_of(pieces: Iterable[str]) -> Iterator[str]:
    """The same for a text in pieces; a run that goes on in the next one is one blank."""
    last = ""
    for piece in pieces:
        letters = letters_only(piece)
        if last == " ":
            letters = letters.removeprefix(" ")
        last = letters[-1:] or last
        yield letters


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

    train: Tensor  # [N], of the smallest integers that number the symbols
    valid: Tensor  # [M]; M may be 0
    vocabulary: Vocabulary
    digest: str  # differs for different texts and splits

    @classmethod
    def split(cls, text: Iterable[str], valid: float | Iterable[str]) -> Corpus:
        """Divide a text; the vocabulary is that of both parts.

        Args:
            text: all of the text, in pieces.
            valid: the fraction at the text's end to validate on: the first floor(N (1 - fraction))
                characters train. Or another text to validate on, in pieces.
        """
        numbers = Numbers()
        numbers.add(text)
        cut = numbers.codes.size
        if isinstance(valid, (int, float)):
            cut = int(cut * (1 - valid))
        else:
            numbers.add(valid)
        codes, vocabulary = numbers.finish()
        digest = hashlib.sha256(f"{cut} {vocabulary.symbols}".encode("utf-8", "surrogatepass"))
        digest.update(codes.data)
        numbered = torch.from_numpy(codes)
        return cls(numbered[:cut], numbered[cut:], vocabulary, digest.hexdigest())


class Numbers:
    """The characters of a text as numbers: a byte each, or more where there are more than 256 symbols."""

    def __init__(self) -> None:
        self.known: np.ndarray = np.full(sys.maxunicode + 1, -1, np.int32)  # the number of each code point
        self.symbols: list[int] = []  # code points, in the order in which they appear
        self.codes: GrowingArray = GrowingArray(np.uint8)

    def add(self, pieces: Iterable[str]) -> None:
        """Number some more text."""
        for piece in pieces:
            points = code_points(piece)
            new = np.unique(points[self.known[points] < 0])
            self.known[new] = np.arange(len(self.symbols), len(self.symbols) + len(new))
            self.symbols += new.tolist()
            self.widen()
            self.codes.add(self.known[points])

    def widen(self) -> None:
        """Move to larger integers, if there are too many symbols for these."""
        dtype = next(each for each in (np.uint8, np.int16, np.int32) if len(self.symbols) <= np.iinfo(each).max + 1)
        if dtype != self.codes.array.dtype:
            narrow = self.codes.finish()
            self.codes = GrowingArray(dtype)
            self.codes.add(narrow)

    def finish(self) -> tuple[np.ndarray, Vocabulary]:
        """The numbers of all characters [N] by the sorted vocabulary; nothing can be added after this."""
        order = np.argsort(self.symbols)
        codes = self.codes.finish()
        renumbered = np.argsort(order).astype(codes.dtype)
        for start in range(0, len(codes), PIECE):
            codes[start : start + PIECE] = renumbered[codes[start : start + PIECE]]
        return codes, Vocabulary("".join(chr(self.symbols[place]) for place in order))
