"""Checkpoints: one safetensors file each, complete or absent, with JSON in its header; no pickle.

The header's entry "carrousel" is JSON: {"format": 1, "sha256": ..., ...}. The checksum covers the rest of the JSON and
every tensor's name, type, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from carrousel import tensor_file
from carrousel.errors import UserError

FORMAT = 1  # increases when the format changes; `read` refuses all others


def write(path: Path, facts: dict[str, Any], tensors: dict[str, Tensor], advice: str) -> None:
    """Write a checkpoint, or leave the file as it was.

    Args:
        path: the file.
        facts: in types that JSON has.
        tensors: by name, on any device.
        advice: what to do if it cannot be written.

    Raises:
        UserError: the disk is full, or the file cannot be written for another reason.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    facts = {"format": FORMAT, **facts}
    header = json.dumps({**facts, "sha256": checksum(facts, tensors)}, sort_keys=True)
    replace(path, tensor_file.encode(tensors, {"carrousel": header}), advice)


def read(path: Path, advice: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and the tensors of a checkpoint.

    Args:
        path: the file.
        advice: what to do if there is none.

    Raises:
        UserError: there is none; it is truncated, edited, of another format, or not a checkpoint.
    """
    try:
        with open(path, "rb") as file:  # stays this file even if a run that is training replaces it
            tensors, metadata = tensor_file.decode(file)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {advice}") from None
    except tensor_file.Malformed as error:
        raise UserError(f"{path} is truncated or not a checkpoint ({error}): restore it or use another") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    return verify(path, metadata.get("carrousel"), tensors), tensors


def verify(path: Path, header: str | None, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The facts in a header, if its format and its checksum are right."""
    if header is None:
        raise UserError(f"{path} is a safetensors file, but not one that carrousel wrote: name a checkpoint")
    try:
        facts = json.loads(header)
        written, expected = facts.pop("format"), facts.pop("sha256")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise UserError(f"{path} was edited after it was written (its header): restore it or use another") from None
    if written != FORMAT:
        raise UserError(f"{path} has format {written}, this carrousel reads {FORMAT}: use the version that wrote it")
    if checksum({"format": FORMAT, **facts}, tensors) != expected:
        raise UserError(f"{path} was edited after it was written (its checksum): restore it or use another")
    return facts


def checksum(facts: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """The sha256 of everything in a checkpoint."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor_file.buffer(tensor))
    return digest.hexdigest()


def named(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def replace(path: Path, content: Iterable[Any], advice: str) -> None:
    """Replace a file in one step: nobody sees half of it, not even after a power cut.

    Args:
        path: the file. A link stays a link, and the file that it leads to is replaced. A folder or a device is left
            alone.
        content: buffers, written one after another.
        advice: what to do if it cannot be written.

    Raises:
        UserError: it could not be written; the old file is unchanged.
    """
    whole = Path(os.path.realpath(path))
    partial = Path(f"{whole}.partial")
    try:
        if whole.exists() and not whole.is_file():
            raise OSError(0, "Is a directory" if whole.is_dir() else "Not a regular file")
        with open(partial, "wb") as file:
            for piece in content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, whole)
        sync_folder(whole.parent)
    except OSError as error:
        raise UserError(f"{path} could not be saved ({error.strerror or error}); {advice}") from None
    finally:  # also after Ctrl-C, or without memory
        with suppress(OSError):  # without a folder there is nothing to remove
            partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make sure that the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
