"""The safetensors format: the same bytes as the package's, read by both, without copies, and never half read."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest
import torch
from runs import ENVIRONMENT
from safetensors.torch import load, save

from carrousel import tensor_file
from carrousel.tensor_file import Malformed, decode, encode

METADATA = {"carrousel": json.dumps({"text": "é\U0001f40d\0", "number": 0.1})}


def tensors():
    torch.manual_seed(0)
    of_dtype = {str(dtype): torch.arange(5).to(dtype) for dtype in tensor_file.DTYPES}
    shapes = {"number": torch.tensor(7.0), "nothing": torch.empty(0, 3), "turned": torch.randn(4, 6).t()}
    return of_dtype | shapes | {'a name, "é"': torch.randn(3, 1, 2, dtype=torch.float64)}


def content(of=None, metadata=METADATA) -> bytes:
    return b"".join(map(bytes, encode(tensors() if of is None else of, metadata)))


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(found[name], tensor)


def test_the_package_reads_what_we_write():
    assert_same(load(content()), tensors())


def test_we_read_what_the_package_writes():
    found, metadata = decode(io.BytesIO(save({name: t.contiguous() for name, t in tensors().items()}, METADATA)))
    assert_same(found, tensors())
    assert metadata == METADATA


def test_what_we_write_comes_back():
    found, metadata = decode(io.BytesIO(content()))
    assert_same(found, tensors())
    assert metadata == METADATA
    assert all(tensor.data_ptr() % 64 == 0 for tensor in found.values() if tensor.numel())
    assert decode(io.BytesIO(content({}, {}))) == ({}, {})


def with_header(header, data=b"\0" * 12) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


GOOD = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
BAD = {
    "nothing": b"",
    "seven bytes": b"\0" * 7,
    "a text": b"some words, and more of them" * 99,
    "a length beyond the end": (2**40).to_bytes(8, "little") + b"{}",
    "no JSON": with_header(b"{"),
    "deep JSON": with_header(b"[" * 10**6),
    "a list": with_header([]),
    "metadata of another kind": with_header({"__metadata__": 3, "a": GOOD}),
    "an entry of another kind": with_header({"a": 3}),
    "an unknown type": with_header({"a": GOOD | {"dtype": "F33"}}),
    "a type of another kind": with_header({"a": GOOD | {"dtype": []}}),
    "a negative size": with_header({"a": GOOD | {"shape": [-3]}}),
    "a fraction": with_header({"a": GOOD | {"shape": [1.5]}}),
    "a shape of another kind": with_header({"a": GOOD | {"shape": 3}}),
    "no offsets": with_header({"a": {"dtype": "F32", "shape": [3]}}),
    "one offset": with_header({"a": GOOD | {"data_offsets": [0]}}),
    "offsets of another kind": with_header({"a": GOOD | {"data_offsets": "ab"}, "b": GOOD}),
    "a gap": with_header({"a": GOOD | {"data_offsets": [4, 16]}}, b"\0" * 16),
    "two in one place": with_header({"a": GOOD, "b": GOOD}),
    "fewer bytes than the shape": with_header({"a": GOOD | {"data_offsets": [0, 8]}}, b"\0" * 8),
    "fewer bytes than offsets": with_header({"a": GOOD}, b"\0" * 11),
    "more bytes": with_header({"a": GOOD}, b"\0" * 13),
    "a size beyond all": with_header({"a": GOOD | {"shape": [2**70], "data_offsets": [0, 2**72]}}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_malformed_is_refused(name):
    assert len(decode(io.BytesIO(with_header({"a": GOOD})))[0]) == 1
    with pytest.raises(Malformed):
        decode(io.BytesIO(BAD[name]))


# A hundred megabytes, where thirty more can be allocated: neither side may hold a second copy.
COPIES = """
import resource, sys, torch
from pathlib import Path
from carrousel import checkpoint

def allow(megabytes):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + megabytes * 2**20, resource.RLIM_INFINITY))

path, tensor = Path(sys.argv[1]), torch.full((25 * 2**20,), 3.0)
checkpoint.write(path, {}, {"small": tensor[:9]}, "")
checkpoint.read(path, "")
allow(30)
checkpoint.write(path, {}, {"large": tensor}, "")
allow(130)
print(checkpoint.read(path, "")[1]["large"].equal(tensor))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")
def test_no_second_copy_is_made(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", COPIES, str(tmp_path / "file")], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")
