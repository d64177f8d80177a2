"""Reading, cleaning, splitting and streaming of text."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carrousel.data.batch_streams import BatchStreams
from carrousel.data.pieces import BLOCK, read_pieces, take_first
from carrousel.data.stdlib import stdlib
from carrousel.data.text import read
from carrousel.data.vocabulary import Corpus, Vocabulary, letters_of, letters_only
from carrousel.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
SHAKESPEARE = SHARED / "tinyshakespeare" / "input.txt.gz"
TIME_MACHINE = SHARED / "timemachine" / "timemachine.txt"
needs_shakespeare = pytest.mark.skipif(not SHAKESPEARE.exists(), reason=f"{SHAKESPEARE} is not here")
needs_time_machine = pytest.mark.skipif(not TIME_MACHINE.exists(), reason=f"{TIME_MACHINE} is not here")

# ---- reading --------------------------------------------------------------------------------------------------------


def test_read_gives_the_file_to_the_letter(tmp_path):
    text = "dos\r\nunix\n\ttab \u00e9\u4e2d\U0001f40d"
    (tmp_path / "a.txt").write_bytes(text.encode())
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.txt").write_bytes(text.encode("utf-8-sig"))
    (tmp_path / "d.txt").write_bytes(text.encode("utf-16"))
    assert [read(tmp_path / name) for name in ("a.txt", "b.txt.gz", "c.txt")] == [text] * 3
    assert read(tmp_path / "d.txt", "utf-16") == text


def test_read_says_where_it_cannot_decode(tmp_path):
    (tmp_path / "latin.txt").write_bytes("one\ntwo é caf".encode() + b"\xe9 three")
    with pytest.raises(
        UserError, match=r"latin\.txt is not utf-8: byte 0xe9 at line 2, column 10, byte 15 .*--encoding"
    ):
        read(tmp_path / "latin.txt")
    assert read(tmp_path / "latin.txt", "latin-1").endswith("caf\xe9 three")


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"", "utf-8", "is empty"),
        (b"text", "klingon", "--encoding klingon is not a text encoding"),
        (b"text", "rot13", "--encoding rot13 is not a text encoding"),
        (b"\x00\xd8\x00", "utf-16-le", "is not utf-16-le: byte 0x00 at line 1, column 1"),
        (gzip.compress(b"text" * 99, mtime=0)[:-9], "utf-8", "is damaged"),
        (gzip.compress(b"text" * 99, mtime=0)[:12] + b"junk" * 9, "utf-8", "is damaged"),
        (gzip.compress(b"", mtime=0), "utf-8", "is empty"),
    ],
)
def test_read_refuses_what_is_no_text(tmp_path, content, encoding, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(tmp_path / "file", encoding)


def test_read_refuses_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.txt does not exist"):
        read(tmp_path / "nothing.txt")
    with pytest.raises(UserError, match="is a directory"):
        read(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(UserError, match="cannot be read: Not a directory"):
        read(tmp_path / "file" / "in it")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "unicode_escape"]
)
@pytest.mark.parametrize("shift", range(4))
def test_pieces_are_the_whole_text(tmp_path, encoding, shift):
    """Characters of several bytes, and halves of surrogate pairs, lie across the border of two blocks."""
    character = "\u00e9" if encoding == "cp1252" else "\U0001f40d"
    text = ("x" * shift + f"{character}\r\n" * (BLOCK // 2))[: BLOCK + BLOCK // 2]
    content = text.encode(encoding)
    if encoding == "unicode_escape":
        content = content.replace(b"\\U0001f40d", b"\\ud83d\\udc0d")
    (tmp_path / "text").write_bytes(content)
    pieces = list(read_pieces(tmp_path / "text", encoding))
    assert len(pieces) > 1
    assert "".join(pieces) == text == read(tmp_path / "text", encoding)
    (tmp_path / "text").write_bytes(gzip.compress(content, 1))
    assert list(read_pieces(tmp_path / "text", encoding)) == pieces


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"", "utf-8", "is empty"),
        (b"\n" * BLOCK + b"caf\xe9 x", "utf-8", f"is not utf-8: byte 0xe9 at line {BLOCK + 1:d}, column 4"),
        (b"x", "klingon", "--encoding klingon is not a text encoding"),
        (b"x", "rot13", "--encoding rot13 is not a text encoding"),
        (b"\n" * BLOCK + b"\\ud83d x", "unicode_escape", f"has U\\+D83D at line {BLOCK + 1:d}, column 1"),
        (gzip.compress(b"text" * 99, mtime=0)[:-9], "utf-8", "is damaged"),
    ],
    ids=range(6),
)
def test_pieces_say_what_is_wrong_as_the_whole_does(tmp_path, content, encoding, message):
    (tmp_path / "file").write_bytes(content)
    for function in (read, lambda *arguments: list(read_pieces(*arguments))):
        with pytest.raises(UserError, match=message):
            function(tmp_path / "file", encoding)


# ---- cleaning and vocabulary ----------------------------------------------------------------------------------------


def test_letters_only():
    assert letters_only("The Time-Machine,\n by H. G. Wells [1898]\u00e9") == "the time machine by h g wells "


@given(st.lists(st.text(alphabet="aB .\n")))
def test_letters_of_pieces_are_those_of_the_whole(pieces):
    assert "".join(letters_of(pieces)) == letters_only("".join(pieces))
    assert "".join(take_first(pieces, 5)) == "".join(pieces)[:5]


@needs_time_machine
def test_letters_of_the_time_machine_are_27_symbols():
    assert len(Vocabulary.of(letters_only(read(TIME_MACHINE)))) == 27


@given(st.text(min_size=1))
def test_vocabulary_brings_back_what_it_encoded(text):
    vocabulary = Vocabulary.of(text)
    codes = vocabulary.encode(text)
    assert len(vocabulary) == len(set(text)) == int(codes.max()) + 1
    assert vocabulary.decode(codes.tolist()) == text


@pytest.mark.parametrize(
    ("character", "place"), [("A", "line 1, column 3"), ("z", "line 3, column 1"), ("\U0001f40d", "line 2, column 1")]
)
def test_vocabulary_names_the_character_it_does_not_know(character, place):
    text = {"A": "abA", "z": "ab\nb\nz", "\U0001f40d": "ab\n\U0001f40d"}[character]
    with pytest.raises(
        UserError, match=rf"page has '{character}' \(U\+{ord(character):04X}\) at {place}, .* 3 symbols"
    ):
        Vocabulary.of("ab\n").encode(text, "page")


# ---- split ----------------------------------------------------------------------------------------------------------


@needs_shakespeare
def test_tiny_shakespeare_splits_as_published():
    corpus = Corpus.split([read(SHAKESPEARE)], 0.1)
    assert (len(corpus.train), len(corpus.valid), len(corpus.vocabulary)) == (1_003_854, 111_540, 65)


def test_split_is_exact_and_knows_the_symbols_of_both_parts():
    corpus = Corpus.split(["abcabcabcz"], 0.1)
    assert corpus.vocabulary.decode(corpus.train.tolist()) == "abcabcabc"
    assert corpus.vocabulary.decode(corpus.valid.tolist()) == "z"
    assert len(Corpus.split(["abc"], 0.0).valid) == 0


def test_split_takes_another_text_to_validate_on():
    corpus = Corpus.split(["abc"], "cd")
    assert corpus.vocabulary.symbols == "abcd"
    assert corpus.vocabulary.decode(corpus.valid.tolist()) == "cd"


def test_digest_tells_texts_and_splits_apart():
    digests = [Corpus.split([text], valid).digest for text in ("abcd", "abce") for valid in (0.0, 0.25, 0.5, "d")]
    assert len(set(digests)) == len(digests)
    assert Corpus.split(["abcd"], 0.25).digest == digests[1]


@pytest.mark.parametrize(("symbols", "bytes"), [(256, 1), (257, 2), (2**15, 2), (2**15 + 1, 4)])
def test_symbols_take_as_few_bytes_as_they_can(symbols, bytes):
    """They are sorted, although the last come first and the text arrives in pieces."""
    text = "".join(map(chr, range(0x10000 + symbols, 0x10000, -1)))
    corpus = Corpus.split([text[:100], text[100:], text], 0.5)
    assert corpus.train.element_size() == bytes
    assert corpus.train.tolist() == corpus.valid.tolist() == list(range(symbols - 1, -1, -1))
    assert corpus.vocabulary.symbols == text[::-1]


# ---- streams --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 60), st.data())
def test_streams_never_jump(batch, length, more, data):
    N = batch * length + more
    streams = BatchStreams(torch.arange(N), batch, length)
    index = data.draw(st.integers(0, 50))
    x, y = streams.window(index)
    next_x, _ = streams.window(index + 1)
    assert x.shape == y.shape == (length, batch)
    assert torch.equal(y, (x + 1) % N)
    assert torch.equal(next_x[0], y[-1])


def test_streams_read_everything_once_in_a_round():
    streams = BatchStreams(torch.arange(24), batch=4, length=3)
    seen = torch.cat([streams.window(index)[0].flatten() for index in range(2)])
    assert sorted(seen.tolist()) == list(range(24))


def test_streams_need_more_than_one_batch():
    with pytest.raises(UserError, match=r"12 characters to train on, .* more than 12 \(--batch 4 x --length 3\)"):
        BatchStreams(torch.arange(12), batch=4, length=3)
    assert BatchStreams(torch.arange(13), batch=4, length=3).window(5)[0].shape == (3, 4)


# ---- the standard library -------------------------------------------------------------------------------------------


def test_stdlib_is_python_and_always_the_same():
    text = stdlib()
    assert text == stdlib()
    assert text.isascii()
    assert 2_000_000 < len(text) < 8_000_000
    assert "class JSONDecodeError" not in text, "packages are left out"
    assert "def namedtuple" not in text
    assert "class HTMLParser" not in text
    assert "class TextWrapper:" in text


def test_stdlib_without_source(tmp_path):
    (tmp_path / "_private.py").write_text("")
    with pytest.raises(UserError, match="holds no Python source"):
        stdlib(tmp_path)


def test_stdlib_leaves_out_what_is_not_ascii(tmp_path):
    (tmp_path / "b.py").write_text("b\n")
    (tmp_path / "a.py").write_text("a\n")
    (tmp_path / "c.py").write_text("\u00e9\n")
    assert stdlib(tmp_path) == "a\nb\n"
