"""The text of a file in pieces, so that a large one is never in memory as a whole."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from carrousel import memory
from carrousel.data.lines import open_bytes
from carrousel.data.text import STDIN, join_surrogates, read
from carrousel.errors import UserError

BLOCK = 1 << 20  # bytes that are read at a time
HALF = re.compile("[\ud800-\udbff]$")  # the first half of a surrogate pair, at the end


def read_pieces(path: str | Path, encoding: str = "utf-8") -> Iterator[str]:
    """The text of a file, piece after piece; together they are what `read` returns, and what it raises is raised.

    Args:
        path: the file, plain or gzip; - is stdin, which is one piece.
        encoding: Python's name of its encoding.

    Raises:
        UserError: as for `read`.
    """
    if str(path) == STDIN:
        yield read(path, encoding)
        return
    is_empty = True
    try:
        for piece in decode(path, encoding):
            is_empty = False
            yield piece
    except (UserError, UnicodeError, LookupError, OSError, EOFError, zlib.error):
        read(path, encoding)  # as a whole: it says what is wrong, and in which line
        raise
    if is_empty:
        read(path, encoding)


def decode(path: str | Path, encoding: str) -> Iterator[str]:
    """The pieces of a file that are not empty, without a byte order mark, surrogate pairs joined."""
    "".encode(encoding)  # rot13, hex and others are codecs, but not of text
    decoder = codecs.getincrementaldecoder(encoding)()
    mark, rest = "\ufeff", ""
    with open_bytes(path) as file:
        memory.require(Path(path).stat().st_size, str(path), "take a part of it")
        block = file.read(BLOCK)
        while block or rest:
            following = file.read(BLOCK)
            text = rest + decoder.decode(block, final=not following)
            rest = text[-1] if following and HALF.search(text) else ""
            text = join_surrogates(text.removesuffix(rest), str(path)).removeprefix(mark)
            block, mark = following, ""
            if text:
                yield text


def take_first(pieces: Iterable[str], count: int) -> Iterator[str]:
    """The first characters of a text in pieces, at most so many."""
    for piece in pieces:
        yield piece[:count]
        count -= len(piece)
        if count <= 0:
            return
