"""Plain English: words that a reader has to decode are not used in code, comments, messages, names and pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# What is avoided, and what to write instead. A word counts in prose and inside names (`told`, `is_told`, `ToldRow`).
INSTEAD = {
    "sooner": "faster",
    "told": "reported, described, raised, printed; the targets of a network are given",
    "foretell": "predict",
    "foretells": "predicts",
    "foretold": "predicted",
    "foresee": "predict",
    "foreseen": "predicted",
    "mend": "fix",
    "mends": "fixes",
    "mended": "fixed",
    "not to be had": "not available on this machine",
    "alike": "the same, in the same way",
    "once more": "again",
    "that is none": "that is not a ...",
    "that are none": "that are not ...",
    "parted": "split",
    "kept": "saved (for backward), stored, stays",
    "lone": "one_row, single",
    "splat": "set1",
    "load some": "load_n",
    "first lanes": "mask_first_n",
}

# Names only: as an English word each is fine.
INSTEAD_AS_NAME = {
    "blank": "zero_fill",
    "Layout": "Rows and Options in Python, Arena in C++",
    "own_cell": "custom_cell",
    "OwnLayer": "CustomLayer",
}

# Where a word is right: the file (or "*" for any), and a regular expression that the text around the word matches.
ALLOWED = [
    ("*", r"blank lines?"),  # a line without characters
    ("*", r"lone surrogates?"),  # Unicode's term
]

PLACES = ["src", "kernels", "bindings", "bench", "docs", "examples", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
SUFFIXES = {".py", ".pyi", ".hpp", ".cpp", ".h", ".md", ".cmake", ".txt"}


def pattern_of(word: str) -> re.Pattern[str]:
    """Finds a word in prose (also across lines of a comment), in snake_case and in CamelCase, but not inside a word."""
    spaced = r"(?:[\s#/*]+|_)".join(map(re.escape, word.split()))
    return re.compile(rf"(?<![A-Za-z]){spaced}(?![a-z])|{spaced[0].upper()}{spaced[1:]}(?![a-z])")


def pattern_of_name(name: str) -> re.Pattern[str]:
    """Finds a name that is, or begins or ends with, the given one; prose has no `_`, `(`, `=`, `.` or `:` beside it."""
    if name != name.lower() or "_" in name:
        return re.compile(rf"(?<![A-Za-z]){re.escape(name)}(?![a-z])")
    return re.compile(rf"\b{name}(?=_|\(|\s*=)|(?<=_){name}\b|(?<=\bdef ){name}\b")


PATTERNS = [
    *((pattern_of(word), word, instead) for word, instead in INSTEAD.items()),
    *((pattern_of_name(name), name, instead) for name, instead in INSTEAD_AS_NAME.items()),
]


def texts(root: Path) -> Iterator[Path]:
    """Every file whose words are ours to choose."""
    for place in map(root.joinpath, PLACES):
        files = sorted(place.rglob("*")) if place.is_dir() else [place] if place.exists() else []
        yield from (file for file in files if file.is_file() and file.suffix in SUFFIXES)


def bad_words(root: Path) -> list[str]:
    """`file:line: word -> what to write`, for each place in each file."""
    found = []
    for file in texts(root):
        path, text = file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")
        allowed = [expression for name, expression in ALLOWED if name in ("*", path)]
        for pattern, word, instead in PATTERNS:
            for match in pattern.finditer(text):
                around = text[max(0, match.start() - 60) : match.end() + 60].replace("\n", " ")
                if not any(re.search(expression, around) for expression in allowed):
                    found.append((path, text.count("\n", 0, match.start()) + 1, f"{word} -> {instead}"))
    return [f"{path}:{line}: {what}" for path, line, what in sorted(found)]


def test_words_are_plain():
    found = bad_words(ROOT)
    assert not found, f"{len(found)} words to replace:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# done sooner than torch\n", ["sooner -> faster"]),
        ("def told(): ...\n", ["told"]),
        ("is_told = ToldRow\n", ["told", "told"]),
        ("# it is computed once\n# more, for the backward pass\n", ["once more -> again"]),
        ("# stolen, tolds, untold\n", []),
        ("blank = blank_of(x)  # a blank line, filling in blanks\n", []),
        ("Zeros(blank=True)\n", ["blank -> zero_fill"]),
        ("layout = Layout()\n", ["Layout"]),
        ("# None is none of those\n", []),
    ],
)
def test_bad_words_are_found(tmp_path, text, found):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "file.py").write_text(text)
    lines = bad_words(tmp_path)
    assert len(lines) == len(found)
    assert all(line.startswith("src/file.py:1: ") and word in line for line, word in zip(lines, found))
