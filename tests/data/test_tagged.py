"""Sentences with tags from CoNLL-U and other columns."""

from __future__ import annotations

import gzip

import pytest
from data_files import SHARED, error_of, fuzz, needs

from carrousel.data.tagged import read_tagged

EWT = SHARED / "ud_ewt"
CONLLU = (
    "# text = I don't know.\n"
    + "".join(
        "\t".join(line.split()) + "\n"
        for line in (
            "1 I I PRON PRP _ 4 nsubj _ _",
            "2-3 don't _ _ _ _ _ _ _ _",
            "2 do do AUX VBP _ 4 aux _ _",
            "3 n't not PART RB _ 4 advmod _ _",
            "4 know know VERB VB _ 0 root _ _",
            "4.1 it it PRON PRP _ _ _ 4:obj _",
            "5 . . PUNCT . _ 4 punct _ _",
        )
    )
    + "\n# newpar\n1\tNew York\t_\tPROPN\tNNP\t_\t0\troot\t_\t_\n\n"
)
COLUMNS = "-DOCSTART- -X- O O\n\nEU NNP I-NP S-ORG\n#  # I-NP O\n\n\n. . O O"


def write(tmp_path, content):
    path = tmp_path / "data.conll"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---- CoNLL-U --------------------------------------------------------------------------------------------------------


@needs(EWT)
@pytest.mark.parametrize(
    ("part", "sentences", "words"), [("train", 12_544, 204_577), ("dev", 2_001, 25_147), ("test", 2_077, 25_094)]
)
def test_ewt_has_its_published_size(part, sentences, words):
    found = read_tagged(EWT / f"en_ewt-ud-{part}.conllu.gz")
    assert found.tags is not None
    assert (len(found.lengths), len(found.words), len(found.tags)) == (sentences, words, words)
    assert found.lengths.sum() == words
    assert len(set(found.tags)) == 17
    assert set(found.skipped) <= {"multiword lines", "empty nodes"}
    assert found.skipped["multiword lines"] > 100


@pytest.mark.parametrize(
    "change", [str, lambda text: text.replace("\n", "\r\n"), lambda text: "\ufeff" + text.rstrip()]
)
def test_conllu(tmp_path, change):
    found = read_tagged(write(tmp_path, change(CONLLU)))
    assert found.words == ("I", "do", "n't", "know", ".", "New York")
    assert found.tags == ("PRON", "AUX", "PART", "VERB", "PUNCT", "PROPN")
    assert found.lengths.tolist() == [5, 1]
    assert found.names == ("line 2", "line 11")
    assert found.skipped == {"multiword lines": 1, "empty nodes": 1}


def test_another_column_or_none(tmp_path):
    path = write(tmp_path, gzip.compress(CONLLU.encode()))
    assert read_tagged(path, "xpos").tags == ("PRP", "VBP", "RB", "VB", ".", "NNP")
    assert read_tagged(path, "5").tags == read_tagged(path, "XPOS").tags
    assert read_tagged(path, None).tags is None


# ---- other columns --------------------------------------------------------------------------------------------------


def test_columns_between_blanks(tmp_path):
    found = read_tagged(write(tmp_path, COLUMNS))
    assert found.words == ("EU", "#", ".")
    assert found.tags == ("S-ORG", "O", "O")
    assert found.lengths.tolist() == [2, 1]
    assert found.skipped == {"lines with -DOCSTART-": 1}
    assert read_tagged(write(tmp_path, COLUMNS), "2").tags == ("NNP", "#", ".")


def test_columns_between_tabs(tmp_path):
    content = "New York\tB-LOC\n# id 7\n\n1\tB-X\n"
    found = read_tagged(write(tmp_path, content))
    assert found.words == ("New York", "1")
    assert found.skipped == {"comments": 1}
    assert read_tagged(write(tmp_path, "B-LOC\tBonn\nO\tis"), "1", word_column=2).words == ("Bonn", "is")


def test_a_word_may_have_an_unbreakable_blank_in_it(tmp_path):
    assert read_tagged(write(tmp_path, "10\xa0000 NUM\n\u2028 X\n")).words == ("10\xa0000", "\u2028")


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            CONLLU.replace("\tVB\t", "\t"),
            {},
            "line 6 has 9 columns between tabs and the first line of a word 10: '4\\tknow",
        ),
        (COLUMNS.replace(". . O O", ". . O"), {}, "line 7 has 3 columns between blanks and the first line of a word 4"),
        (CONLLU.replace("\n5\t", "\nfive\t"), {}, "line 8, column ID: 'five' is not a number"),
        (CONLLU.replace("\tPART\t", "\t\t"), {}, "line 5, column 4 is empty"),
        (CONLLU, {"column": "POS"}, "has no column 'POS': name one with --column: ID, FORM, LEMMA"),
        (COLUMNS, {"column": "UPOS"}, "has no column 'UPOS': name one with --column: 1 to 4"),
        (COLUMNS, {"column": "5"}, "has no column '5'"),
        (COLUMNS, {"column": "1"}, "column 1 holds the words, and cannot hold the tags too"),
        (COLUMNS, {"word_column": 9}, "has no column 9 for the words: it has 4 columns"),
        ("just\nwords\n", {}, "column 1 holds the words, and cannot hold the tags too"),
        ("", {}, "has no sentence"),
        ("# nothing\n\n", {}, "has no sentence"),
        (b"caf\xe9 X\n", {}, "is not utf-8: byte 0xe9 at line 1, column 4, byte 4 of the file"),
        (b"a X\n\nb X\ncaf\xe9 X\n", {}, "is not utf-8: byte 0xe9 at line 4, column 4, byte 13 of the file"),
        (b"a X\n\0 X\n", {}, "line 2 has a zero byte"),
        (gzip.compress(CONLLU.encode(), mtime=0)[:-9], {}, "is damaged or incomplete (gzip"),
        (COLUMNS, {"encoding": "klingon"}, "--encoding klingon is not a text encoding"),
        (b"a X\n", {"encoding": "utf-16"}, "is not utf-16"),
    ],
)
def test_what_is_wrong_is_described_with_its_line(tmp_path, content, options, message):
    assert message in error_of(read_tagged, write(tmp_path, content), **options)


def test_what_is_no_file(tmp_path):
    assert "nothing does not exist: check the name" in error_of(read_tagged, tmp_path / "nothing")
    assert "is a directory: name a file in it" in error_of(read_tagged, tmp_path)


def test_damaged_files_are_read_or_refused(tmp_path):
    path = tmp_path / "damaged"
    assert fuzz(path, CONLLU.encode(), lambda: read_tagged(path), range(400)) > 50
    assert fuzz(path, gzip.compress(CONLLU.encode(), mtime=0), lambda: read_tagged(path), range(400)) > 300
