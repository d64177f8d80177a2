"""Sentences with a tag for each word: CoNLL-U, and other files with a word in each line."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carrousel.data.lines import read_lines
from carrousel.errors import UserError

CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
IDS = {r"\d+": "", r"\d+-\d+": "multiword lines", r"\d+\.\d+": "empty nodes"}  # what is left out is named
DOCUMENT = "-DOCSTART-"
MOST_PRINTED = 60  # characters of a line, in an error message


@dataclass(frozen=True)
class TaggedSentences:
    """Sentences with a tag for each word, end to end.

    words: the words of all sentences [N], as the file spells them.
    tags: one for each word [N]; None: none were asked for.
    lengths: words of each sentence [B], int64; the sum is N.
    names: where each sentence begins [B], for messages: "line 12".
    skipped: which lines were left out and how many, for people; never silent.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    lengths: NDArray[np.int64]
    names: tuple[str, ...]
    skipped: dict[str, int]


@dataclass(frozen=True)
class Form:
    """The form of a file, seen in its first line of a word.

    width: columns of a line.
    delimiter: what stands between them: a tab, or blanks.
    is_conllu: whether it is CoNLL-U.
    """

    width: int
    delimiter: str
    is_conllu: bool

    @classmethod
    def of(cls, line: str) -> Form:
        """The form of this line: CoNLL-U has ten columns between tabs, the first a number."""
        delimiter = "\t" if "\t" in line else " "
        cells = split(line, delimiter)
        return cls(len(cells), delimiter, len(cells) == len(CONLLU) and any(re.fullmatch(ID, cells[0]) for ID in IDS))

    def is_comment(self, line: str) -> bool:
        """Whether a line that begins with # is a comment: in files other than CoNLL-U, # may be a word."""
        return self.is_conllu or len(split(line, self.delimiter)) != self.width


def read_tagged(
    path: str | Path, column: str | None = "", *, word_column: int | None = None, encoding: str = "utf-8"
) -> TaggedSentences:
    """The sentences of a CoNLL-U file, or of any file with a word in each line and an empty line after each sentence.

    In CoNLL-U, lines of multiword tokens (3-4) and empty nodes (8.1) are left out. In other files, columns stand
    between tabs or blanks, and lines that begin with -DOCSTART- are left out.

    Args:
        path: the file, plain or gzip.
        column: the column of the tags: in CoNLL-U a name ("XPOS"), otherwise a number from 1. "": UPOS in CoNLL-U,
            otherwise the last. None: the words only.
        word_column: the column of the words, from 1. None: 2 in CoNLL-U, otherwise 1.
        encoding: Python's name of the file's encoding.

    Raises:
        UserError: the file cannot be read, has no sentence, or a line has another number of columns; says which.
    """
    skipped: Counter[str] = Counter()
    words: list[str] = []
    tags: list[str] = []
    lengths: list[int] = []
    names: list[str] = []
    columns: list[tuple[int, list[str]]] = []  # the place of a column in a line, and where its cells go
    ended = True  # whether the next word begins a sentence
    for number, form, cells in read_rows(path, encoding, skipped):
        if not cells:
            ended = True
            continue
        columns = columns or list(zip(choose_places(path, form, column, word_column), (words, tags)))
        if ended:
            lengths.append(0)
            names.append(f"line {number}")
            ended = False
        lengths[-1] += 1
        for place, texts in columns:
            texts.append(sys.intern(cell_of(path, number, cells, place)))
    if not words:
        raise UserError(f"{path} has no sentence: name a file with a word and its columns in each line")
    found = None if column is None else tuple(tags)
    return TaggedSentences(tuple(words), found, np.array(lengths, np.int64), tuple(names), dict(skipped))


def read_rows(path: str | Path, encoding: str, skipped: Counter[str]) -> Iterator[tuple[int, Form, list[str]]]:
    """The columns of each word, with the number of its line and the file's form; none for the end of a sentence.

    Args:
        path: the file.
        encoding: of the file.
        skipped: what is left out is counted here.

    Raises:
        UserError: a line has another number of columns than the first.
    """
    form = None
    for number, line in enumerate(read_lines(path, encoding), start=1):
        if line.startswith(DOCUMENT):
            skipped[f"lines with {DOCUMENT}"] += 1
        elif line.startswith("#") and (form is None or form.is_comment(line)):
            if form is not None and not form.is_conllu:  # in CoNLL-U comments are nothing special
                skipped["comments"] += 1
        elif line.strip(" \t"):
            form = form or Form.of(line)
            cells = split_row(path, number, line, form)
            if not form.is_conllu or is_word(path, number, cells[0], skipped):
                yield number, form, cells
        elif form is not None:
            yield number, form, []


def split_row(path: str | Path, number: int, line: str, form: Form) -> list[str]:
    """The columns of a line.

    Raises:
        UserError: there are more or fewer than in the first.
    """
    cells = split(line, form.delimiter)
    if len(cells) != form.width:
        between = "tabs" if form.delimiter == "\t" else "blanks"
        raise UserError(
            f"{path} line {number} has {len(cells)} columns between {between} and the first line of a word "
            f"{form.width}: {shorten(line)}; complete the line"
        )
    return cells


def split(line: str, delimiter: str) -> list[str]:
    """The columns of a line; several blanks count as one, several tabs do not."""
    return line.split("\t") if delimiter == "\t" else re.split("[ \t]+", line.strip(" \t"))


def is_word(path: str | Path, number: int, id: str, skipped: Counter[str]) -> bool:
    """Whether a line of CoNLL-U is a word, and not a multiword token or an empty node, which are counted.

    Raises:
        UserError: it has no id.
    """
    for pattern, what in IDS.items():
        if re.fullmatch(pattern, id):
            if what:
                skipped[what] += 1
            return not what
    raise UserError(f"{path} line {number}, column ID: {shorten(id)} is not a number, nor as 3-4 or 8.1: correct it")


def choose_places(path: str | Path, form: Form, column: str | None, word_column: int | None) -> tuple[int, ...]:
    """The places of the word and of the tag, if one is asked for, in a line, from 0.

    Raises:
        UserError: there is no such column.
    """
    word = (2 if form.is_conllu else 1) if word_column is None else word_column
    if not 1 <= word <= form.width:
        raise UserError(f"{path} has no column {word} for the words: it has {form.width} columns")
    if column is None:
        return (word - 1,)
    column = column or ("UPOS" if form.is_conllu else str(form.width))
    if form.is_conllu and column.upper() in CONLLU:
        return word - 1, CONLLU.index(column.upper())
    if not (column.isdecimal() and 1 <= int(column) <= form.width):
        names = f"{', '.join(CONLLU)}, or " if form.is_conllu else ""
        raise UserError(f"{path} has no column {column!r}: name one with --column: {names}1 to {form.width}")
    if int(column) == word:
        raise UserError(
            f"{path}: column {word} holds the words, and cannot hold the tags too: name another by --column"
        )
    return word - 1, int(column) - 1


def cell_of(path: str | Path, number: int, cells: list[str], place: int) -> str:
    """A cell of a line.

    Raises:
        UserError: it is empty.
    """
    if not cells[place]:
        raise UserError(
            f"{path} line {number}, column {place + 1} is empty: {shorten(chr(9).join(cells))}; complete it"
        )
    return cells[place]


def shorten(text: str) -> str:
    """A text as it is printed in a message, in quotes."""
    return repr(text if len(text) <= MOST_PRINTED else f"{text[:MOST_PRINTED]}...")
