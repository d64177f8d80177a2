"""Subwords: a text comes back as it was, and a vocabulary as it was saved."""

from __future__ import annotations

import json

import numpy as np
import pytest
from data_files import error_of
from hypothesis import given
from hypothesis import strategies as st
from translations import pairs_text

from carrousel.data.subwords import END, LEAST, START, Subwords

LINES = pairs_text(300).replace("\t", "\n").splitlines()
SUBWORDS = Subwords.learn(LINES, 400)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581\0")).map(str.strip)


@given(st.lists(TEXTS))
def test_any_text_comes_back(texts):
    numbers, lengths = SUBWORDS.encode(texts)
    assert (numbers.dtype, lengths.dtype) == (np.int32, np.int64)
    rows = [row.tolist() for row in np.split(numbers, lengths.cumsum())]
    assert SUBWORDS.decode(rows[:-1]) == texts
    assert rows[-1] == []
    assert not {0, START, END} & set(numbers.tolist())


@pytest.mark.parametrize(
    "text",
    ["Vraiment\u202f?", "\u00ab\u00a0Oui\u2009!\u00a0\u00bb", "a  b", "\U0001f600 \u4f60\u597d", "</s> <unk>", "I'm"],
)
def test_blanks_before_french_punctuation_and_signs_come_back(text):
    numbers, _ = SUBWORDS.encode([text])
    assert SUBWORDS.decode([numbers.tolist()]) == [text]


def test_the_sign_for_a_blank_becomes_a_blank():
    assert SUBWORDS.decode([SUBWORDS.encode(["a\u2581b"])[0].tolist()]) == ["a b"]


def test_bytes_that_are_no_character_are_replaced():
    first, *_ = SUBWORDS.encode(["\u4f60"])[0][-3:].tolist()
    assert SUBWORDS.decode([[first]]) == ["\ufffd"]


def test_a_vocabulary_comes_back_from_json():
    again = Subwords.from_json(json.loads(json.dumps(SUBWORDS.to_json())))
    assert len(again) == len(SUBWORDS) <= 400
    assert again.encode(LINES)[0].tolist() == SUBWORDS.encode(LINES)[0].tolist()


def test_the_same_texts_give_the_same_subwords():
    assert Subwords.learn(LINES, 400).content == SUBWORDS.content
    assert Subwords.learn(LINES, 350).content != SUBWORDS.content


def test_frequent_words_are_one_symbol():
    assert SUBWORDS.spell(SUBWORDS.encode(["chien"])[0].tolist()) == ["_chien"]


def test_few_texts_give_few_subwords():
    assert len(Subwords.learn(["a"], 8000)) < LEAST


def test_more_characters_than_subwords_are_one_line():
    texts = ["".join(map(chr, range(0x4E00, 0x4E00 + 500)))]
    assert "--vocabulary 300 is too small for the different characters" in error_of(Subwords.learn, texts, 300)
    assert len(Subwords.learn(texts, 1000)) > 500
