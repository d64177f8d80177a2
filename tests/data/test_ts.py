"""Reading .ts files: the format as files in the archives have it, and one line for each thing that is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carrousel.data.read_sequences import read_sequences
from carrousel.errors import UserError

VOWELS = Path(__file__).resolve().parents[3] / "shared" / "data" / "japanese_vowels"
needs_vowels = pytest.mark.skipif(not VOWELS.exists(), reason=f"{VOWELS} is not here")

HEADER = "# a comment\n@problemName small\n@classLabel true yes no\n@data\n"


def write(folder: Path, text: str | bytes, name: str = "small.ts") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_sequences_of_several_lengths_and_dimensions(tmp_path):
    found = read_sequences(write(tmp_path, HEADER + "1,2,3:4,5,6:yes\n\n# between\n7:-8e-1:no\n"))
    assert found.values.tolist() == [[1, 4], [2, 5], [3, 6], [7, np.float32(-0.8)]]
    assert (found.values.dtype, found.lengths.dtype) == (np.float32, np.int64)
    assert found.lengths.tolist() == [3, 1]
    assert found.labels == ("yes", "no")
    assert found.names == ("line 5", "line 8")
    assert found.channels == ("dimension 1", "dimension 2")
    assert found.skipped == {}


@pytest.mark.parametrize(
    "header", ["@data\n", "\n# short\n@DATA\n", "@classLabel TRUE\n@data\n", "@classlabel true 1\n@data\n"]
)
def test_a_short_header_is_enough(header, tmp_path):
    assert read_sequences(write(tmp_path, header + "1,2:1\n")).labels == ("1",)


def test_a_file_without_labels(tmp_path):
    found = read_sequences(write(tmp_path, "@classLabel false\n@data\n1,2:3,4\n5:6\n"))
    assert found.labels is None
    assert found.values.tolist() == [[1, 3], [2, 4], [5, 6]]
    assert len(found.with_labels_only()) == 0


def test_what_is_missing_is_nan_or_an_empty_label(tmp_path):
    found = read_sequences(write(tmp_path, HEADER + "1,?,NaN:yes\n2:\n3:?\n4:no\n"))
    assert np.isnan(found.values[:, 0]).tolist() == [False, True, True, False, False, False]
    assert found.labels == ("yes", "", "", "no")
    with_labels = found.with_labels_only()
    assert with_labels.names == ("line 5", "line 8")
    assert with_labels.values[:, 0].tolist()[-1] == 4
    assert with_labels.skipped == {"sequences without a label": 2}


def test_other_ends_of_lines_encodings_and_gzip(tmp_path):
    text = HEADER.replace("yes", "\u00e9t\u00e9") + "1:2:\u00e9t\u00e9\n3:4:no"
    plain = read_sequences(write(tmp_path, text))
    for name, content, encoding in (
        ("crlf.ts", text.replace("\n", "\r\n").encode(), "utf-8"),
        ("bom.TS", text.encode("utf-8-sig"), "utf-8"),
        ("latin.ts", text.encode("latin-1"), "latin-1"),
        ("packed.ts.gz", gzip.compress(text.encode()), "utf-8"),
    ):
        found = read_sequences(write(tmp_path, content, name), encoding=encoding)
        assert (
            (found.labels, found.names)
            == (plain.labels, plain.names)
            == (("\u00e9t\u00e9", "no"), ("line 5", "line 6"))
        )
        assert np.array_equal(found.values, plain.values)


BAD = {
    "no data": ("@classLabel true a\n", "small.ts is not a .ts file: it has no line @data"),
    "no sequence": (HEADER, "has no sequence after @data"),
    "a csv file": ("a,b\n1,2\n", "is not a .ts file: line 1 is 'a,b', before a line @data"),
    "a word": (HEADER + "1,2:yes\n1,2x:no\n", r"line 6, column 3: '2x' is not a number; write \? where .* missing"),
    "a word in another dimension": (HEADER + "1,2:3,four,5:yes\n", "line 5, column 7: 'four' is not a number"),
    "no value": (HEADER + "1,,2:yes\n", "line 5, column 3: '' is not a number"),
    "no value at all": (HEADER + ":yes\n", "line 5, column 1: '' is not a number"),
    "infinity": (HEADER + "1,inf:yes\n", "line 5, column 3: 'inf' is not a number"),
    "beyond float32": (HEADER + "1e300:yes\n", "line 5, column 1: '1e300' is not a number"),
    "python's digits": (HEADER + "1_0:yes\n", "line 5, column 1: '1_0' is not a number"),
    "unequal dimensions": (HEADER + "1,2:1:yes\n", "line 5: dimension 2 has 1 values and dimension 1 has 2"),
    "other dimensions": (HEADER + "1:2:yes\n1:yes\n", "line 6: 1 dimensions, and line 5 has 2"),
    "no label": (HEADER + "1,2\n", "line 5, column 1: '1,2' has no label; write it after a colon"),
    "unknown label": (HEADER + "1,2:yess\n", r"line 5, column 5: 'yess' is not a label that @classLabel names \(yes"),
    "time stamps": ("@timeStamps true\n@data\n(0,1):1\n", "line 1: @timeStamps true is not read"),
    "numbers as labels": ("@targetLabel true\n@data\n1:0.5\n", "line 1: @targetLabel true, labels are numbers"),
    "a word in the header": ("@problemName a\nhello\n@data\n1:1\n", "line 2 is 'hello', before a line @data"),
    "empty": ("", "is empty"),
    "not utf-8": (HEADER.encode() + b"1:caf\xe9\n", "byte 0xe9 at line 5, column 6, .*--encoding latin-1"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(case, tmp_path):
    text, message = BAD[case]
    with pytest.raises(UserError, match=message):
        read_sequences(write(tmp_path, text))


def test_files_that_nothing_reads_are_named(tmp_path):
    for path, message in (
        (tmp_path / "nothing.ts", "nothing.ts does not exist: check the name"),
        (tmp_path / "nothing.wav", r"nothing.wav does not exist: name a file \(\.ts"),
        (write(tmp_path, "1", "a.txt"), r"a.txt is not a kind of file that is read here: name a file \(\.ts"),
    ):
        with pytest.raises(UserError, match=message):
            read_sequences(path)
    with pytest.raises(UserError, match=r"--horizon 5 does not fit .*small\.ts: leave it out"):
        read_sequences(write(tmp_path, HEADER + "1:yes\n"), horizon=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="@data#:,?\n\r 0123456789.eE+-_xnaif\ufeff\x00", max_size=60), st.booleans())
def test_any_text_gives_sequences_or_one_line(tmp_path, text, has_header):
    path = write(tmp_path, HEADER + text if has_header else text)
    try:
        found = read_sequences(path)
    except UserError as error:
        message = str(error)
    else:
        message = f"{path}"
        assert found.lengths.sum() == len(found.values)
        assert (found.lengths >= 1).all()
        assert len(found.labels) == len(found.names) == len(found)
        assert not np.isinf(found.values).any()
    assert message.startswith(str(path))
    assert "\n" not in message


@needs_vowels
def test_japanese_vowels_are_as_published():
    for name, count, longest in (("TRAIN", 270, 26), ("TEST", 370, 29)):
        found = read_sequences(VOWELS / f"JapaneseVowels_{name}.ts.gz")
        assert (len(found), found.values.shape[1]) == (count, 12)
        assert (found.lengths.min(), found.lengths.max(), found.lengths.sum()) == (7, longest, len(found.values))
        assert set(found.labels) == set("123456789")
