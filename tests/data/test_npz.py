"""Sequences from .npz files, and files that are not what they say."""

from __future__ import annotations

import io
import pickle
import resource
import struct
import zipfile

import numpy as np
import pytest
from data_files import damage, error_of

from carrousel import memory
from carrousel.data.npz import OTHERS, read_npz, read_npz_steps
from carrousel.errors import UserError

X = np.arange(24, dtype=np.float32).reshape(2, 4, 3)


def save(tmp_path, **arrays):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return path


# ---- shapes and types -----------------------------------------------------------------------------------------------


def test_sequences_of_one_length(tmp_path):
    found = read_npz(save(tmp_path, x=X, y=["up", "down"]))
    assert found.values.dtype == np.float32
    assert np.array_equal(found.values, X.reshape(8, 3))
    assert found.lengths.tolist() == [4, 4]
    assert found.labels == ("up", "down")
    assert found.names == ("x[0]", "x[1]")
    assert found.channels == ("x0", "x1", "x2")
    assert found.skipped == {}


def test_steps_beyond_a_length_are_padding(tmp_path):
    found = read_npz(save(tmp_path, x=X, lengths=[1, 3]))
    assert np.array_equal(found.values, np.concatenate([X[0, :1], X[1, :3]]))
    assert found.lengths.tolist() == [1, 3]
    assert found.labels is None


def test_steps_end_to_end(tmp_path):
    found = read_npz(save(tmp_path, x=X.reshape(8, 3), lengths=np.array([1, 7], np.uint8), y=[1, 0]))
    assert np.array_equal(found.values, X.reshape(8, 3))
    assert found.lengths.tolist() == [1, 7]
    assert found.labels == ("1", "0")


def test_one_channel(tmp_path):
    assert np.array_equal(read_npz(save(tmp_path, x=X[:, :, 0])).values, X[:, :, 0].reshape(8, 1))
    found = read_npz(save(tmp_path, x=X[:, :, 0], lengths=[2, 3]))
    assert found.values[:, 0].tolist() == [0, 3, 12, 15, 18]


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4", "int64", "uint8", "bool"])
def test_each_type_of_number(tmp_path, dtype):
    x = np.asfortranarray((X % 2).astype(dtype))
    assert np.array_equal(read_npz(save(tmp_path, x=x)).values, (X % 2).reshape(8, 3))


@pytest.mark.parametrize(
    ("y", "labels"),
    [([3, 4], "3 4"), ([3.0, 4.5], "3 4.5"), ([True, False], "True False"), ([b"a", "é".encode()], "a é")],
)
def test_each_type_of_label(tmp_path, y, labels):
    assert read_npz(save(tmp_path, x=X, y=y)).labels == tuple(labels.split())


def test_nan_stays_and_other_arrays_are_counted(tmp_path):
    found = read_npz(save(tmp_path, x=np.where(X == 5, np.nan, X), note=[1], more=[2]))
    assert np.isnan(found.values[1, 2])
    assert found.skipped == {OTHERS: 2}


def test_labels_of_steps(tmp_path):
    y = np.arange(8).reshape(2, 4)
    found, tags = read_npz_steps(save(tmp_path, x=X, y=y, lengths=[1, 3]))
    assert tags == ("0", "4", "5", "6")
    assert found.labels is None
    assert found.lengths.tolist() == [1, 3]
    _, tags = read_npz_steps(save(tmp_path, x=X.reshape(8, 3), y=y.flatten(), lengths=[5, 3]))
    assert tags == tuple("01234567")
    assert read_npz_steps(save(tmp_path, x=X))[1] is None


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": [1]}, "has no array x: write it with numpy.savez"),
        ({"x": X, "y": [1, 2, 3]}, "has y [3] for 2 sequences: give a label for each, y [B]"),
        ({"x": X, "y": X[:, :, 0]}, "has y [2, 4] for 2 sequences: give a label for each, y [B]; labels of steps are"),
        ({"x": X, "lengths": [4]}, "has lengths [1], at most 4 and 4 in all, which do not fit x [2, 4, 3]"),
        ({"x": X, "lengths": [4, 5]}, "has lengths [2], at most 5 and 9 in all"),
        ({"x": X[0], "lengths": [4, 5]}, "which do not fit x [4, 3, 1]"),
        ({"x": X, "lengths": [4, 0]}, "lengths[1] is 0: each sequence needs at least 1 step"),
        ({"x": X, "lengths": [4.0, 1.0]}, "has lengths [2] of float64: give whole numbers"),
        ({"x": X[0, 0]}, "has x [3]: give [B, T, F]"),
        ({"x": X[:0]}, "has x [0, 4, 3]: give [B, T, F]"),
        ({"x": X.astype(str)}, "has x of <U32: give numbers"),
        ({"x": X + 1j}, "has x of complex64: give numbers"),
        ({"x": np.where(X == 5, np.inf, X)}, "x[0, 1, 2] is inf, beyond float32"),
        ({"x": np.where(X == 5, 1e300, X.astype(np.float64))}, "x[0, 1, 2] is 1e+300, beyond float32"),
        ({"x": X, "y": ["up", ""]}, "y[1] is '', which is no label"),
        ({"x": X, "y": [1, np.nan]}, "y[1] is 'nan', which is no label"),
        ({"x": X, "y": [b"up", b"\xff"]}, "has a label in y that is not utf-8"),
        ({"x": X, "y": np.array(["2020-01-01", "2020-01-02"], "datetime64[D]")}, "has y of datetime64[D]: give texts"),
        ({"x": np.array([[1, 2], [3]], object)}, "the array x holds Python objects, which are never loaded"),
    ],
)
def test_what_is_wrong_is_described(tmp_path, arrays, message):
    assert message in error_of(read_npz, save(tmp_path, **arrays))


def test_labels_of_steps_that_do_not_fit(tmp_path):
    assert "has y [2] for steps x [2, 4, 3]: give a label for each step, y [2, 4]" in error_of(
        read_npz_steps, save(tmp_path, x=X, y=[1, 2])
    )


def test_what_is_no_file(tmp_path):
    (tmp_path / "text").write_text("x")
    (tmp_path / "empty").write_bytes(b"")
    assert "nothing does not exist: check the name" in error_of(read_npz, tmp_path / "nothing")
    assert "is a directory" in error_of(read_npz, tmp_path)
    assert "is damaged or no .npz file" in error_of(read_npz, tmp_path / "text")
    assert "is damaged or no .npz file" in error_of(read_npz, tmp_path / "empty")
    assert "cannot be read: Not a directory" in error_of(read_npz, tmp_path / "text" / "in it")


# ---- files that are not what they say -------------------------------------------------------------------------------


def npy(shape, content, descr="<f4"):
    """An array with a header that says what it likes."""
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + content


class Trap:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return print, ("loaded",)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy((2**40, 2**20), b"\0" * 96), "is damaged: the header of x says [1099511627776, 1048576] of float32"),
        (npy((-1, 4, 3), b""), "is damaged"),
        (
            npy((2, 4, 4), X.tobytes()),
            "is damaged: the header of x says [2, 4, 4] of float32, 128 bytes, and the file has 96",
        ),
        (npy((1,), pickle.dumps([Trap()]), "|O"), "holds Python objects, which are never loaded"),
        (npy((2,), b"", "<f4,O"), "holds Python objects, which are never loaded"),
        (npy("[" * 5000, b""), "is damaged"),
        (b"\x93NUMPY\3\0" + npy((1,), b"1234")[8:], "has the .npy format (3, 0)"),
        (b"\x93NUMPY\1\0\xff\xff{", "is damaged"),
        (b"no array", "is damaged"),
    ],
    ids=range(9),
)
def test_a_header_that_lies(tmp_path, content, message, compression, capsys):
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", content)
    assert message in error_of(read_npz, path)
    assert capsys.readouterr().out == ""


def test_a_file_size_that_lies(tmp_path):
    """The directory of the archive says 40 GB for 40 kB of zeros; nothing is allocated for them."""
    path, size = tmp_path / "data.npz", 40_000_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy((10, 10**9), b"\0" * 40_000))
    content = path.read_bytes()
    place = content.index(b"PK\1\2")
    forged = content[: place + 24] + struct.pack("<I", 2**32 - 2) + content[place + 28 :]
    path.write_bytes(forged)
    assert f"says [10, 1000000000] of float32, {size:,} bytes" in error_of(read_npz, path)


def read_damaged(folder: str, first: int, count: int) -> None:
    """In another process: read damaged files in at most 2 GB more memory; what is read is what was saved."""
    most = memory.kilobytes("/proc/self/status")["VmSize"] + 2 * 10**9
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    messages = []
    for seed in range(first, first + count):
        buffer = io.BytesIO()
        (np.savez if seed % 2 else np.savez_compressed)(buffer, x=X, y=np.array(["up", "down"]), lengths=[3, 4])
        path = f"{folder}/damaged.npz"
        with open(path, "wb") as file:
            file.write(damage(buffer.getvalue(), seed))
        try:
            found = read_npz(path)
        except UserError as error:
            messages.append(str(error))
        else:
            values = np.concatenate([X[0, :3], X[1]]) if found.lengths.tolist() == [3, 4] else X.reshape(8, 3)
            assert np.array_equal(found.values, values), seed
            assert found.labels in (None, ("up", "down")), seed
    assert len(messages) > count // 2
    assert not [message for message in messages if "\n" in message]


def test_damaged_files_are_read_or_refused(tmp_path, separately):
    separately(read_damaged, str(tmp_path), 0, 300)


@pytest.mark.full
def test_2000_damaged_files_are_read_or_refused(tmp_path, separately):
    separately(read_damaged, str(tmp_path), 1000, 2000)


def test_damaged_headers_are_read_or_refused(tmp_path):
    path = tmp_path / "damaged.npz"
    content = npy((2, 4, 3), X.tobytes())
    messages = []
    for seed in range(400):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", damage(content[:128], seed) + content[128:])
        try:
            read_npz(path)
        except UserError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert not [message for message in messages if "\n" in message]
