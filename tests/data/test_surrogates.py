"""Surrogates in a text: pairs are one character, one alone is refused, and a vocabulary comes back as it was saved."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import SMALL, sentences, train, write_text

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.data.text import join_surrogates, read
from carrousel.data.vocabulary import Vocabulary
from carrousel.errors import UserError
from carrousel.tasks import ALL
from carrousel.training.trained import load

ROWS = [{"text": f"{line} \U0001f600 \U0001f40d é"} for line in sentences(3000).splitlines()]


@pytest.fixture(scope="module")
def jsonl(tmp_path_factory):
    """JSON lines, in which each emoji is written as two surrogates."""
    path = tmp_path_factory.mktemp("jsonl") / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


@pytest.fixture(scope="module")
def model(jsonl):
    train(jsonl, jsonl.parent / "model", encoding="unicode_escape")
    return jsonl.parent / "model"


def test_pairs_are_one_character(jsonl):
    """Trained on as two, JSON made one of them when the vocabulary was read: "size mismatch", with a traceback."""
    assert "\\ud83d\\ude00" in jsonl.read_text()
    assert read(jsonl, "unicode_escape") == "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)


def test_what_was_trained_on_pairs_samples_and_evaluates(model, jsonl, capsys):
    symbols = load(model, ALL).facts["symbols"]
    assert symbols == Vocabulary.of(read(jsonl, "unicode_escape")).symbols
    assert {"\U0001f600", "\U0001f40d"} < set(symbols)
    assert run(["sample", str(model), "--prompt", "\U0001f600", "--length", "9"]) == 0
    assert capsys.readouterr().out.startswith("\U0001f600")
    assert run(["eval", str(model), str(jsonl), "--encoding", "unicode_escape"]) == 0


@given(st.text(st.characters(), max_size=20))
def test_any_text_is_joined_as_json_joins_it_or_is_refused(text):
    joined = json.loads(json.dumps(text))
    if re.search("[\ud800-\udfff]", joined):
        with pytest.raises(UserError, match=r"page has U\+D[89A-F]\w\w at line \d+, column \d+ of the decoded text"):
            join_surrogates(text, "page")
    else:
        assert join_surrogates(text, "page") == joined
        assert Vocabulary.of(joined) == Vocabulary(json.loads(json.dumps(Vocabulary.of(joined).symbols)))


LONE = {
    "first of two": ("ab\\ncd\\ud83dcd", "U+D83D at line 2, column 3"),
    "second of two": ("ab\\ncd\\ude00", "U+DE00 at line 2, column 3"),
    "turned around": ("\\ude00\\ud83d", "U+DE00 at line 1, column 1"),
    "behind a pair": ("\\ud83d\\ude00\\ud83d", "U+D83D at line 1, column 2"),
}


@pytest.mark.parametrize("name", LONE)
def test_one_alone_is_refused_with_its_place(name, model, tmp_path, capsys):
    content, says = LONE[name]
    text, bad = write_text(tmp_path), tmp_path / "bad.txt"
    bad.write_text(content)
    commands = [
        ["train", "text", str(bad), "--out", str(tmp_path / "out"), *SMALL],
        ["train", "text", str(text), "--valid", str(bad), "--out", str(tmp_path / "out"), *SMALL],
        ["eval", str(model), str(bad)],
    ]
    for command in commands:
        assert run([*command, "--encoding", "unicode_escape"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"bad.txt has {says} of the decoded text, which is half of a surrogate pair" in line
    assert not (tmp_path / "out").exists()


def test_utf_16_with_one_alone_is_no_utf_16(tmp_path):
    (tmp_path / "text").write_bytes("abc\nde\ud800f".encode("utf-16-le", "surrogatepass"))
    with pytest.raises(UserError, match="text is not utf-16-le: byte 0x00 at line 2, column 3, byte 13"):
        read(tmp_path / "text", "utf-16-le")


def test_weights_that_do_not_fit_the_vocabulary_are_one_line(model, tmp_path, capsys):
    facts, tensors = checkpoint.read(model / "best.safetensors", "")
    fewer = facts["data"]["symbols"][1:]
    checkpoint.write(tmp_path / "best.safetensors", {**facts, "data": {"symbols": fewer}}, tensors, "")
    assert run(["sample", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not fit this version of its task: train the model again" in line


def test_a_checkpoint_of_something_else_is_one_line(tmp_path, capsys):
    checkpoint.write(tmp_path / "last.safetensors", {"kind": "lstm1997 learner"}, {}, "")
    for command in (["sample", str(tmp_path)], ["train", "text", "--out", str(tmp_path), "--resume"]):
        assert run(command) == 2
        assert (
            "last.safetensors is a checkpoint, but not one of this version's `carrousel train`"
            in capsys.readouterr().err
        )
