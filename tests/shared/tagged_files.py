"""Small files of tagged sentences for the tests."""

from __future__ import annotations

import random
from pathlib import Path

TAGS = {"the": "DET", "a": "DET", "cat": "NOUN", "dog": "NOUN", "sees": "VERB", "eats": "VERB", ".": "PUNCT"}
NAMES = ("PER", "LOC")


def pairs(words: int, draw: random.Random) -> list[tuple[str, str]]:
    """Words and their tags: each word has one, and only the characters of a number say what it is."""
    chosen = draw.choices(list(TAGS), k=words)
    return [(str(draw.randrange(10**6)), "NUM") if draw.random() < 0.2 else (word, TAGS[word]) for word in chosen]


def conllu_text(count: int = 60, seed: int = 1, tags: dict[str, str] | None = None, multiword: bool = True) -> str:
    """CoNLL-U sentences of 1 to 9 words.

    Args:
        count: sentences.
        seed: of the words.
        tags: other names of tags.
        multiword: whether each sentence has a line of a multiword token, which is left out.
    """
    draw, lines = random.Random(seed), []
    for number in range(count):
        lines += [f"# sent_id = {number}", *(["\t".join(["1-2", "both", *"________"])] if multiword else [])]
        for place, (word, tag) in enumerate(pairs(draw.randint(1, 9), draw), start=1):
            tag = (tags or {}).get(tag, tag)
            lines.append("\t".join([str(place), word, word, tag, tag[:1], *"_____"]))
        lines.append("")
    return "\n".join([*lines, ""])


def spans_text(count: int = 60, seed: int = 1) -> str:
    """Columns of words and IOB2 labels: after "mr" or "in" a name of two words follows."""
    draw, lines = random.Random(seed), []
    for _ in range(count):
        for _ in range(draw.randint(1, 4)):
            kind = draw.randrange(3)
            if kind < 2:
                first, second = (f"{draw.choice('ABC')}{draw.randrange(9)}" for _ in range(2))
                name = NAMES[kind]
                lines += [f"{('mr', 'in')[kind]} O", f"{first} B-{name}", f"{second} I-{name}"]
            lines.append(f"{draw.choice(list(TAGS))} O")
        lines.append("")
    return "\n".join([*lines, ""])


def write_conllu(folder: Path, name: str = "train.conllu", **arguments) -> Path:
    """A file of `conllu_text`."""
    path = folder / name
    path.write_text(conllu_text(**arguments), encoding="utf-8")
    return path
