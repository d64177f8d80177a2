"""A text as words: what stands between blanks, and <eos> at each line's end; numbered as it is read, in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from carrousel import memory
from carrousel.data.growing_array import GrowingArray
from carrousel.data.lines import explained, open_text
from carrousel.data.text import STDIN
from carrousel.errors import UserError

UNKNOWN = "<unk>"
END_OF_LINE = "<eos>"
BLOCK = 1 << 20  # characters that are read at a time
PIECE = 1 << 24  # words that are counted and renumbered at a time
LONGEST = 1 << 24  # characters without a blank, beyond which a file is not a text
OFTEN = 1 << 20  # different words after which memory is checked again
BYTES = 200  # that a different word takes: the text, its place in a dictionary
REPLACED = f"words to train on that are replaced by {UNKNOWN}"
REPLACED_LATER = f"words to validate on that are replaced by {UNKNOWN}"


@dataclass(frozen=True)
class WordVocabulary:
    """The words that a model knows, numbered by their place: <unk>, <eos>, then from the most to the least frequent."""

    words: tuple[str, ...]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word."""
        return {word: number for number, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, file: str | Path, encoding: str = "utf-8") -> tuple[NDArray[np.int32], int]:
        """The numbers of a file's words [N], and how many of them are <unk> because the vocabulary lacks them.

        Raises:
            UserError: the file cannot be read, or has no words.
        """
        codes, numbers, replaced = GrowingArray(np.int32), self.numbers, 0
        for words in read_words(file, encoding):
            found = np.array([numbers.get(word, -1) for word in words], np.int32)
            replaced += int((found < 0).sum())
            codes.add(np.maximum(found, 0))
        return codes.finish(), replaced

    def decode(self, codes: Sequence[int]) -> str:
        """The words of some numbers, with a line's end for <eos>."""
        text = " ".join("\n" if self.words[code] == END_OF_LINE else self.words[code] for code in codes)
        return text.replace(" \n", "\n").replace("\n ", "\n")


@dataclass(frozen=True)
class WordCorpus:
    """A text as numbers of words: a part to train on, and one to validate on.

    train: its words [N], int32.
    valid: the words to validate on [M], int32; M may be 0.
    vocabulary: what the numbers mean; chosen by the words to train on alone.
    skipped: how many words are not in the vocabulary, for people; never silent.
    """

    train: NDArray[np.int32]
    valid: NDArray[np.int32]
    vocabulary: WordVocabulary
    skipped: dict[str, int]

    def digest(self) -> str:
        """Differs for different texts, vocabularies and splits."""
        found = hashlib.sha256(f"{len(self.train)} {' '.join(self.vocabulary.words)}".encode())
        for part in (self.train, self.valid):
            found.update(part.data)
        return found.hexdigest()


class Numbers(dict[str, int]):
    """Words by number; a new word gets the next one."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        if not number % OFTEN:
            memory.require(OFTEN * BYTES, f"a vocabulary of {number:,} different words", "take a part of the text")
        return number


def read_corpus(
    files: Iterable[str | Path],
    *,
    valid: float | str | Path = 0.0,
    vocabulary: int | None = None,
    min_count: int | None = None,
    encoding: str = "utf-8",
) -> WordCorpus:
    """Read texts as words, divide them, and choose the vocabulary by the part to train on.

    Each file is read once, in blocks: in memory are four bytes a word, and the different words.

    Args:
        files: one or more; - is stdin.
        valid: the fraction at the end to validate on: the first floor(N (1 - valid)) words train. Or a file.
        vocabulary: how many words are known at most, with <unk> and <eos>; None: all.
        min_count: words that are there less often are replaced by <unk>. Default: 2, so that <unk> is there to be
            learnt; 1 where the text has <unk> already, because then somebody has chosen the vocabulary.
        encoding: Python's name of the files' encoding.

    Raises:
        UserError: a file cannot be read, or has no words.
    """
    if vocabulary is not None and vocabulary < 3:
        raise UserError(f"--vocabulary {vocabulary} is not allowed: give at least 3, of which two are <unk> and <eos>")
    if min_count is not None and min_count < 1:
        raise UserError(f"--min-count {min_count} is not allowed: give at least 1")
    codes, words = number_words(files, encoding)
    fraction, file = (0.0, valid) if isinstance(valid, (str, Path)) else (valid, None)
    cut = int(len(codes) * (1 - fraction))
    counts = count(codes[:cut], len(words))
    chosen, renumbered = choose_words(counts, vocabulary, min_count or (1 if counts[0] else 2))
    replaced, replaced_later = replace(codes[:cut], renumbered), replace(codes[cut:], renumbered)
    known = WordVocabulary(tuple(words[number] for number in chosen.tolist()))
    if len(known) == 2:
        raise UserError("no word to train on is there often enough to be known: use more text, or give --min-count 1")
    train, rest = codes[:cut], codes[cut:]
    if file is not None:
        rest, replaced_later = known.encode(file, encoding)
    skipped = {REPLACED: replaced, REPLACED_LATER: replaced_later}
    return WordCorpus(train, rest, known, {name: number for name, number in skipped.items() if number})


def number_words(files: Iterable[str | Path], encoding: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """The words of files as numbers [N], and what each number means, in the order in which they appear."""
    numbers, codes = Numbers({UNKNOWN: 0, END_OF_LINE: 1}), GrowingArray(np.int32)
    for file in files:
        for words in read_words(file, encoding):
            codes.add(np.fromiter(map(numbers.__getitem__, words), np.int32, len(words)))
    return codes.finish(), tuple(numbers)


def count(codes: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """How often each number is there [size]."""
    counts = np.zeros(size, np.int64)
    for start in range(0, len(codes), PIECE):  # np.bincount copies what it counts as int64
        counts += np.bincount(codes[start : start + PIECE], minlength=size)
    return counts


def replace(codes: NDArray[np.int32], renumbered: NDArray[np.int32]) -> int:
    """Replace each number in place; return how many have become <unk> by it."""
    unknown = 0
    for start in range(0, len(codes), PIECE):
        piece = codes[start : start + PIECE]
        before = int((piece == 0).sum())
        piece[:] = renumbered[piece]
        unknown += int((piece == 0).sum()) - before
    return unknown


def choose_words(
    counts: NDArray[np.int64], vocabulary: int | None, min_count: int
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The words that a model is to know, the most frequent first, and the new number of each word [V].

    Args:
        counts: how often each word is there [V]; the first two are <unk> and <eos>, which are always known.
        vocabulary: how many words are known at most; None: all.
        min_count: how often a word must be there.
    """
    order = 2 + np.argsort(-counts[2:], kind="stable")
    order = order[counts[order] >= min_count]
    chosen = np.concatenate([np.arange(2), order])[:vocabulary]
    renumbered = np.zeros(len(counts), np.int32)
    renumbered[chosen] = np.arange(len(chosen), dtype=np.int32)
    return chosen, renumbered


def read_words(file: str | Path, encoding: str) -> Iterator[list[str]]:
    """The words of a file, block after block, with <eos> for each line's end, and for the file's.

    Raises:
        UserError: it cannot be read, or has no words.
    """
    name = "stdin" if str(file) == STDIN else str(file)
    empty, last = True, END_OF_LINE
    with open_text(file, encoding) as text, explained(file, encoding):
        for block in read_blocks(name, text):
            words = block.replace("\n", f" {END_OF_LINE} ").split()
            if words:
                empty = empty and all(word == END_OF_LINE for word in words)
                last = words[-1]
                yield words
    if empty:
        raise UserError(f"{name} has no words: name a file with text in it")
    if last != END_OF_LINE:
        yield [END_OF_LINE]


def read_blocks(name: str, text: TextIO) -> Iterator[str]:
    """The text in pieces that do not cut a word.

    Raises:
        UserError: it has a zero byte, or no blank for very long: it is not a text.
    """
    rest = ""
    while piece := text.read(BLOCK):
        if "\0" in piece:
            raise UserError(f"{name} is not a text: it has a zero byte; name a text file, or give its --encoding")
        cut = max(piece.rfind(" "), piece.rfind("\n")) + 1
        if cut:
            yield rest + piece[:cut]
            rest = piece[cut:]
        else:
            rest += piece
        if len(rest) > LONGEST:
            raise UserError(f"{name} has {LONGEST:,} characters without a blank: words must stand between blanks")
    yield rest
