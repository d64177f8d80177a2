"""Pairs of texts, and how they are split."""

from __future__ import annotations

import gzip
import random

import numpy as np
import pytest
from data_files import SHARED, error_of, fuzz, needs
from hypothesis import given
from hypothesis import strategies as st

from carrousel.data.pairs import EMPTY_LINES, EMPTY_SIDES, MORE_COLUMNS, read_pairs, simplify, split_by_source

TATOEBA = SHARED / "tatoeba" / "fra-eng.txt.gz"


def write(tmp_path, content):
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@needs(TATOEBA)
def test_tatoeba_has_its_published_size_and_no_source_is_in_two_parts():
    pairs = read_pairs(TATOEBA)
    assert len(pairs.sources) == len(pairs.targets) == 167_130
    assert len(set(pairs.sources)) == 116_830
    assert pairs.skipped == {}
    assert any("\u202f" in target for target in pairs.targets)
    parts = split_by_source(pairs.sources, (0.05, 0.05), seed=0)
    train, valid, test = ({pairs.sources[number] for number in part} for part in parts)
    assert not train & valid
    assert not (train | valid) & test
    assert sum(map(len, parts)) == 167_130
    assert 0.04 < len(valid) / 116_830 < 0.06


@pytest.mark.parametrize(
    "change", [str, lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text.rstrip()]
)
def test_pairs(tmp_path, change):
    pairs = read_pairs(write(tmp_path, change("Go.\tVa\u202f!\n\nHi. \t Salut\u2028 !\n")))
    assert pairs.sources == ("Go.", "Hi.")
    assert pairs.targets == ("Va\u202f!", "Salut\u2028 !")
    assert pairs.lines.tolist() == [1, 3]
    assert pairs.skipped == {EMPTY_LINES: 1}


def test_surrogates_of_one_character_are_joined(tmp_path):
    path = write(tmp_path, "\\ud83d\\ude00\tb\n")
    assert read_pairs(path, encoding="unicode_escape").sources == ("\U0001f600",)
    message = error_of(read_pairs, write(tmp_path, "a\tb\\ud83d\n"), encoding="unicode_escape")
    assert "pairs.tsv line 1 has U+D83D" in message


def test_what_is_left_out_is_counted(tmp_path):
    pairs = read_pairs(write(tmp_path, gzip.compress(b"a\tb\tCC BY\n\tc\nd\t \ne\tf\n")))
    assert (pairs.sources, pairs.targets) == (("a", "e"), ("b", "f"))
    assert pairs.skipped == {MORE_COLUMNS: 1, EMPTY_SIDES: 2}


def test_other_columns(tmp_path):
    pairs = read_pairs(write(tmp_path, "7\ta\tb\n8\tc\td\n"), columns=(3, 2))
    assert (pairs.sources, pairs.targets) == (("b", "d"), ("a", "c"))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a\tb\nc d\n", {}, "line 2 has no tab, and needs 2 columns: 'c d'; complete it"),
        ("a\tb\n", {"columns": (1, 3)}, "line 1 has 2 columns, and needs 3 columns"),
        ("a\tb\n", {"columns": (1, 1)}, "columns 1 and 1 are not allowed"),
        ("\n", {}, "has no pair: give two texts a line"),
        ("", {}, "has no pair"),
        (b"a\tcaf\xe9\n", {}, "is not utf-8: byte 0xe9 at line 1, column 6, byte 6 of the file"),
        (gzip.compress(b"a\tb\n", mtime=0)[:-9], {}, "is damaged or incomplete (gzip"),
    ],
)
def test_what_is_wrong_is_described_with_its_line(tmp_path, content, options, message):
    assert message in error_of(read_pairs, write(tmp_path, content), **options)


def test_damaged_files_are_read_or_refused(tmp_path):
    path = tmp_path / "damaged"
    content = "Go.\tVa\u202f!\nHi.\tSalut\n".encode() * 20
    assert fuzz(path, content, lambda: read_pairs(path), range(300)) > 30
    assert fuzz(path, gzip.compress(content, mtime=0), lambda: read_pairs(path), range(300)) > 200


# ---- split ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1), st.integers(0, 9))
def test_each_source_is_in_one_part(letters, seed):
    sources = [letter.upper() if place % 2 else f" {letter}" for place, letter in enumerate([*"abcdefgh", *letters])]
    parts = split_by_source(sources, (0.25, 0.125), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(sources)))
    assert [len({sources[number].strip().lower() for number in part}) for part in parts] == [5, 2, 1]


def test_sources_that_differ_in_punctuation_only_are_in_one_part():
    assert [simplify(text) for text in ("Who?", "who", " WHO \u2013 \u00abme\u00bb!", "...", "a.b-c")] == [
        "who", "who", "who me", "...", "abc"
    ]  # fmt: skip
    sources = [text for number in range(40) for text in (f"Source {number}.", f"source {number} !")]
    for part in split_by_source(sources, (0.5,), 3):
        assert {number ^ 1 for number in part} == set(part.tolist())


def test_a_split_depends_on_the_seed_and_not_on_the_order():
    sources = [f"source {number}" for number in range(100)]
    shuffled = random.Random(0).sample(sources, 100)
    names = [{names[number] for number in split_by_source(names, [0.3], 1)[1]} for names in (sources, shuffled)]
    assert names[0] == names[1]
    assert names[0] != {sources[number] for number in split_by_source(sources, [0.3], 2)[1]}


def test_a_part_without_a_pair_is_refused():
    assert "2 different sources cannot be split into parts of 0.5, 0.5" in error_of(
        split_by_source, ["a", "b", "a"], (0.5, 0.5, 0.1), 0
    )
    assert "1 different sources cannot be split" in error_of(split_by_source, ["a"], [0.1], 0)
    assert split_by_source(["a"], [0.0], 0)[0].tolist() == [0]
