"""Texts as words: blanks, lines' ends, vocabulary."""

from __future__ import annotations

import gzip
from collections import Counter

import numpy as np
import pytest
from data_files import SHARED, error_of, fuzz, needs
from hypothesis import given
from hypothesis import strategies as st

from carrousel.data.words import BLOCK, REPLACED, REPLACED_LATER, read_corpus

WAR_AND_PEACE = SHARED / "warpeace" / "warpeace_input.txt.gz"


def write(tmp_path, content):
    path = tmp_path / "text.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def words_of(corpus):
    return [corpus.vocabulary.words[code] for code in corpus.train]


@needs(WAR_AND_PEACE)
def test_war_and_peace_agrees_with_split():
    text = gzip.decompress(WAR_AND_PEACE.read_bytes()).decode("utf-8-sig")
    expected = text.replace("\n", " <eos> ").split()
    expected += ["<eos>"] if expected[-1] != "<eos>" else []
    corpus = read_corpus([WAR_AND_PEACE], min_count=1)
    assert words_of(corpus) == expected
    assert len(corpus.vocabulary) == len(set(expected)) + 1
    assert corpus.skipped == {}


@pytest.mark.parametrize(
    "content",
    ["a b\n\nc  a", "a b\n\nc\ta\n", "a b\r\n\r\nc a\r\n", "\ufeffa b\n\nc a", gzip.compress(b"a b\n\nc a\n")],
)
def test_a_lines_end_is_a_word(tmp_path, content):
    corpus = read_corpus([write(tmp_path, content)], min_count=1)
    assert words_of(corpus) == ["a", "b", "<eos>", "<eos>", "c", "a", "<eos>"]
    assert corpus.vocabulary.words == ("<unk>", "<eos>", "a", "b", "c")
    assert corpus.train.dtype == np.int32
    assert corpus.vocabulary.decode(corpus.train.tolist()) == "a b\n\nc a\n"


def test_the_vocabulary_has_the_most_frequent_words(tmp_path):
    path = write(tmp_path, "b a c b d <unk> a b")
    corpus = read_corpus([path], vocabulary=4)
    assert corpus.vocabulary.words == ("<unk>", "<eos>", "b", "a")
    assert words_of(corpus) == ["b", "a", "<unk>", "b", "<unk>", "<unk>", "a", "b", "<eos>"]
    assert corpus.skipped == {REPLACED: 2}
    corpus = read_corpus([path], min_count=3)
    assert corpus.vocabulary.words == ("<unk>", "<eos>", "b")
    assert corpus.skipped == {REPLACED: 4}


def test_the_words_to_validate_on_choose_no_vocabulary(tmp_path):
    path = write(tmp_path, "a b a b c\na z <unk> a")
    corpus = read_corpus([path], valid=0.5)
    assert corpus.vocabulary.words == ("<unk>", "<eos>", "a", "b")
    assert corpus.train.tolist() == [2, 3, 2, 3, 0]
    assert corpus.valid.tolist() == [1, 2, 0, 0, 2, 1]
    assert corpus.skipped == {REPLACED: 1, REPLACED_LATER: 1}
    other = tmp_path / "other.txt"
    other.write_text("b q <unk>")
    assert read_corpus([path], valid=other).valid.tolist() == [3, 0, 0, 1]
    assert read_corpus([path], valid=other).skipped == {REPLACED_LATER: 1}


def test_words_that_are_there_once_are_unknown_unless_the_text_has_unknown_words(tmp_path):
    assert read_corpus([write(tmp_path, "a b a c")]).vocabulary.words == ("<unk>", "<eos>", "a")
    assert read_corpus([write(tmp_path, "a b a <unk>")]).vocabulary.words == ("<unk>", "<eos>", "a", "b")


def test_texts_and_splits_have_different_digests(tmp_path):
    path = write(tmp_path, "a b " * 6)
    found = {read_corpus([path], valid=valid, vocabulary=n).digest() for valid in (0.0, 0.2, 0.5) for n in (3, 4)}
    assert len(found) == 6
    assert read_corpus([path], valid=0.2, vocabulary=3).digest() in found


def test_several_files_and_another_text_with_the_same_vocabulary(tmp_path):
    path = write(tmp_path, "a b")
    corpus = read_corpus([path, path], min_count=1)
    assert words_of(corpus) == ["a", "b", "<eos>"] * 2
    assert corpus.vocabulary.encode(write(tmp_path, "b z <unk>\n"))[0].tolist() == [3, 0, 0, 1]
    assert corpus.vocabulary.encode(write(tmp_path, "b z <unk>\n"))[1] == 1


@given(st.text(alphabet="ab \n", min_size=1), st.integers(0, 5))
def test_blocks_cut_no_word(tmp_path_factory, text, place):
    """A piece of text that lies across the border of two blocks."""
    path = tmp_path_factory.mktemp("words") / "text"
    content = "x " * (BLOCK // 2 - place) + text
    path.write_text(content)
    expected = content.replace("\n", " <eos> ").split()
    counts = Counter(words_of(read_corpus([path], min_count=1)))
    if expected[-1] != "<eos>":
        expected.append("<eos>")
    assert counts == Counter(expected)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "has no words"),
        (" \n\n", {}, "has no words"),
        (b"caf\xe9", {}, "is not utf-8: byte 0xe9 at line 1, column 4, byte 4 of the file"),
        (b"a\0b", {}, "is not a text: it has a zero byte"),
        ("ab" * 9_000_000, {}, "has 16,777,216 characters without a blank"),
        (gzip.compress(b"a b", mtime=0)[:-9], {}, "is damaged or incomplete (gzip"),
        ("a b c", {}, "no word to train on is there often enough to be known: use more text, or give --min-count 1"),
        ("a", {"vocabulary": 2}, "--vocabulary 2 is not allowed: give at least 3"),
        ("a", {"min_count": 0}, "--min-count 0 is not allowed: give at least 1"),
    ],
    ids=range(9),
)
def test_what_is_wrong_is_described(tmp_path, content, options, message):
    assert message in error_of(read_corpus, [write(tmp_path, content)], **options)


def test_damaged_files_are_read_or_refused(tmp_path):
    path = tmp_path / "damaged"
    content = "der Großvater\nsaß\n".encode() * 20
    assert fuzz(path, content, lambda: read_corpus([path]), range(300)) > 30
    assert fuzz(path, gzip.compress(content, mtime=0), lambda: read_corpus([path]), range(300)) > 200
