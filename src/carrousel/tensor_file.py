"""The safetensors format, read and written tensor by tensor.

Eight bytes of length, a JSON header, then the bytes of the tensors. The `safetensors` package makes a second copy of
all tensors when it writes, a third when it reads from bytes, and ends the process without memory for one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

import torch
from torch import Tensor

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
NAMED = {name: dtype for dtype, name in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes; the package's own limit
LARGEST = 2**60  # bytes of a tensor; no file is so large


class Malformed(ValueError):
    """A file is not in the safetensors format, or incomplete."""


def encode(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Iterator[Any]:
    """The content of a file, buffer by buffer, in an order in which every tensor is aligned.

    Args:
        tensors: by name, on the CPU.
        metadata: the header's `__metadata__`.

    Returns:
        Buffers; of a contiguous tensor, its own memory.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in names:
        tensor, begin = tensors[name], end
        end += tensor.numel() * tensor.element_size()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        yield buffer(tensors[name])


def decode(file: BinaryIO) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file, from its start to its end; also of a pipe.

    Raises:
        Malformed: the message says how.
    """
    header = read_header(file)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise Malformed(f"its metadata is {metadata}")
    try:
        entries = sorted(header.items(), key=lambda entry: entry[1]["data_offsets"])
        tensors, end = {}, 0
        for name, entry in entries:
            tensors[name], end = read_tensor(file, name, entry, end), entry["data_offsets"][1]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise Malformed(f"its header does not describe tensors: {error}") from None
    if file.read(1):
        raise Malformed("there are bytes after its end")
    return tensors, metadata


def read_header(file: BinaryIO) -> dict[str, Any]:
    """The header, from JSON."""
    length = int.from_bytes(file.read(8), "little")
    text = file.read(length) if length <= LONGEST_HEADER else b""
    try:
        header = json.loads(text) if len(text) == length else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise Malformed("its header is incomplete, or not JSON")
    return header


def read_tensor(file: BinaryIO, name: str, entry: dict[str, Any], begin: int) -> Tensor:
    """The next tensor, which begins there. It has memory of its own: alignment changes how some products round."""
    dtype, shape = NAMED[entry["dtype"]], entry["shape"]
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise Malformed(f"the shape of {name} is {shape}")
    size = math.prod(shape) * dtype.itemsize
    if entry["data_offsets"] != [begin, begin + size] or size > LARGEST:
        raise Malformed(f"{name} takes {size} bytes, and other bytes in its header")
    tensor = torch.empty(shape, dtype=dtype)
    if file.readinto(buffer(tensor)) != size:  # type: ignore[attr-defined]
        raise Malformed(f"{name} is incomplete")
    return tensor


def buffer(tensor: Tensor) -> Any:
    """The bytes of a tensor; writable if it is contiguous."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().data
