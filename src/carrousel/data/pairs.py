"""Pairs of texts, one in each line with a tab between them; split so that no source is in two parts."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carrousel.data.lines import read_lines
from carrousel.data.text import SURROGATES, join_surrogates
from carrousel.errors import UserError

EMPTY_LINES = "empty lines"
EMPTY_SIDES = "pairs with an empty side"
MORE_COLUMNS = "lines with other columns, which are not read"
MOST_PRINTED = 60  # characters of a line, in an error message


@dataclass(frozen=True)
class Pairs:
    """Pairs of texts.

    sources: the texts to translate [B].
    targets: their translations [B].
    lines: the line of each pair [B], int64, from 1.
    skipped: what was left out and how often, for people; never silent.
    """

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    lines: NDArray[np.int64]
    skipped: dict[str, int]


def read_pairs(path: str | Path, *, columns: tuple[int, int] = (1, 2), encoding: str = "utf-8") -> Pairs:
    """The pairs of a file, in its order, without blanks around a text.

    Args:
        path: the file, plain or gzip.
        columns: those of the source and of the target, from 1; others are not read.
        encoding: Python's name of the file's encoding.

    Raises:
        UserError: the file cannot be read, a line has too few columns, or no pair is there; says which line.
    """
    if min(columns) < 1 or columns[0] == columns[1]:
        raise UserError(f"columns {columns[0]} and {columns[1]} are not allowed: give two different ones, from 1")
    skipped: Counter[str] = Counter()
    pairs = list(read_sides(path, columns, encoding, skipped))
    if not pairs:
        raise UserError(f"{path} has no pair: give two texts a line with a tab between them")
    lines, sources, targets = zip(*pairs)
    return Pairs(sources, targets, np.array(lines, np.int64), dict(skipped))


def read_sides(
    path: str | Path, columns: tuple[int, int], encoding: str, skipped: Counter[str]
) -> Iterator[tuple[int, str, str]]:
    """The line, the source and the target of each pair; what is left out is counted.

    Raises:
        UserError: a line has too few columns.
    """
    for number, line in enumerate(read_lines(path, encoding), start=1):
        if not line.strip():
            skipped[EMPTY_LINES] += 1
            continue
        if SURROGATES.search(line):
            line = join_surrogates(line, f"{path} line {number}")
        cells = line.split("\t")
        if len(cells) < max(columns):
            found = "no tab" if len(cells) == 1 else f"{len(cells)} columns"
            shown = repr(line if len(line) <= MOST_PRINTED else f"{line[:MOST_PRINTED]}...")
            raise UserError(f"{path} line {number} has {found}, and needs {max(columns)} columns: {shown}; complete it")
        if len(cells) > 2:
            skipped[MORE_COLUMNS] += 1
        source, target = (cells[column - 1].strip() for column in columns)
        if source and target:
            yield number, source, target
        else:
            skipped[EMPTY_SIDES] += 1


def split_by_source(sources: Sequence[str], parts: Sequence[float], seed: int) -> tuple[NDArray[np.int64], ...]:
    """Divide pairs at random so that all pairs of a source are in the same part.

    Sources that differ only in capitals, blanks and punctuation count as the same. A source's place depends on the seed
    and on the other sources, not on their order.

    Args:
        sources: the source of each pair [B].
        parts: the fraction of the different sources in each part after the first, for example (0.1, 0.1) to validate
            and to test.
        seed: another seed gives other parts.

    Returns:
        The numbers of the pairs in the first part, which has the rest, and in each of the others, increasing.

    Raises:
        UserError: a part has no pair.
    """
    keys = list(map(simplify, sources))
    order = sorted(set(keys), key=lambda key: hashlib.blake2b(f"{seed} {key}".encode(), digest_size=16).digest())
    part_of: dict[str, int] = {}
    for number, fraction in enumerate(parts, start=1):
        chosen = order[len(part_of) : len(part_of) + math.ceil(fraction * len(order))]
        part_of |= dict.fromkeys(chosen, number)
    numbers = np.array([part_of.get(key, 0) for key in keys], np.int64)
    found = tuple(np.flatnonzero(numbers == part) for part in range(len(parts) + 1))
    for fraction, part in zip((1 - sum(parts), *parts), found):
        if not part.size and fraction != 0:
            fractions = ", ".join(f"{each:g}" for each in parts)
            raise UserError(
                f"{len(order)} different sources cannot be split into parts of {fractions} and the rest: use more "
                "pairs, or smaller parts"
            )
    return found


def simplify(text: str) -> str:
    """A text in small letters, with single blanks and without punctuation; one of punctuation only stays."""
    lower = text.casefold()
    return " ".join(lower.translate(WITHOUT_PUNCTUATION).split()) or " ".join(lower.split())


class WithoutPunctuation(dict[int, "int | None"]):
    """For `str.translate`: no character in place of those that Unicode has among the punctuation marks."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code)).startswith("P") else code
        return self[code]


WITHOUT_PUNCTUATION = WithoutPunctuation()
