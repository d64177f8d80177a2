"""Texts to translate: the lines of a file, or the source's column of a file of pairs."""

from __future__ import annotations

from carrousel.data.lines import read_lines
from carrousel.data.read_sequences import name_file
from carrousel.data.text import SURROGATES, join_surrogates
from carrousel.errors import UserError


def read_texts(path: str, column: int, encoding: str) -> list[str]:
    """The text of each line, without blanks around it; "" for an empty line.

    Args:
        path: the file; - is stdin.
        column: of the source, from 1, in lines that have a tab.
        encoding: of the file.

    Raises:
        UserError: the file cannot be read, has no text, or a line has too few columns.
    """
    found: list[str] = []
    for number, line in enumerate(read_lines(path, encoding), start=1):
        if SURROGATES.search(line):
            line = join_surrogates(line, f"{name_file(path)} line {number}")
        cells = line.split("\t")
        if len(cells) > 1 and len(cells) < column:
            raise UserError(
                f"{name_file(path)} line {number} has {len(cells)} columns, and the source is in column {column}: "
                "complete it, or give a file of one column"
            )
        found.append(cells[column - 1 if len(cells) > 1 else 0].strip())
    if not any(found):
        raise UserError(f"{name_file(path)} has no text: give a text to translate in each line")
    return found
