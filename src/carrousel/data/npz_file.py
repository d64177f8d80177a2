"""The arrays of a .npz file, none of which is trusted: checked before memory is allocated for it."""

from __future__ import annotations

import math
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel import memory
from carrousel.errors import UserError

RATIO = 1100  # bytes that zlib can make of one, at most; exactly 1032 for long runs
HEADERS: dict[tuple[int, int], Callable[[Any], tuple[tuple[int, ...], bool, np.dtype[Any]]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
DAMAGE: tuple[type[Exception], ...] = (  # raised by zipfile and numpy for damaged files
    ValueError,
    TypeError,
    OSError,
    EOFError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    AttributeError,
    SyntaxError,
    MemoryError,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
)


def load_arrays(path: str | Path, names: Collection[str]) -> tuple[dict[str, NDArray[Any]], int]:
    """Some arrays of a .npz file, and how many others it has.

    Args:
        path: the file.
        names: the arrays that are loaded if they are there.

    Raises:
        UserError: it is not such a file, is damaged, holds Python objects, or does not fit into memory.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a directory: name a .npz file in it")
    with explained(path), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        found = [name for name in names if name in members]
        memory.require(
            sum(check_member(path, archive, name, members[name]) for name in found), str(path), "take a part of it"
        )
    with explained(path), np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in found}, len(members) - len(found)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Replace what goes wrong while a file is read by a UserError of one line.

    Raises:
        UserError: the file does not exist, cannot be read or is damaged.
    """
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the name") from None
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None and error.strerror:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise UserError(f"{path} is damaged or no .npz file ({reason}): write it again with numpy.savez") from None


def check_member(path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> int:
    """The bytes of an array by its header, which must be those of the file.

    Raises:
        UserError: they are not, or the array holds Python objects.
    """
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise UserError(f"{path}: the array {name} has the .npy format {version}, which is for Python objects only")
        shape, _, dtype = HEADERS[version](file)
        start = file.tell()
    if dtype.hasobject:
        raise UserError(
            f"{path}: the array {name} holds Python objects, which are never loaded: save sequences of different "
            "lengths end to end, x [N, F] with lengths [B]"
        )
    size = math.prod(shape) * dtype.itemsize
    if size != info.file_size - start or info.file_size > RATIO * (info.compress_size + 1):
        raise UserError(
            f"{path} is damaged: the header of {name} says {list(shape)} of {dtype}, {size:,} bytes, and the file has "
            f"{min(info.file_size - start, RATIO * info.compress_size):,}: write it again with numpy.savez"
        )
    return size
