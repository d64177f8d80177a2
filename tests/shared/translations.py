"""Small files of pairs for the tests: each word of a source has one translation, in reverse order."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = {
    "the": "le",
    "dog": "chien",
    "cat": "chat",
    "sees": "voit",
    "eats": "mange",
    "red": "rouge",
    "big": "grand",
    "apple": "pomme",
}


def sentence(draw: random.Random) -> tuple[str, str]:
    """A source and its translation, which ends with a narrow blank and a question mark."""
    words = draw.choices(list(WORDS), k=draw.randint(1, 6))
    return " ".join(words).capitalize() + "?", " ".join(WORDS[word] for word in reversed(words)) + "\u202f?"


def pairs_text(count: int = 120, seed: int = 1) -> str:
    """Lines of source, tab, translation."""
    draw = random.Random(seed)
    return "".join("\t".join(sentence(draw)) + "\n" for _ in range(count))


def write_pairs(folder: Path, name: str = "pairs.tsv", **arguments) -> Path:
    """A file of `pairs_text`."""
    path = folder / name
    path.write_text(pairs_text(**arguments), encoding="utf-8")
    return path
