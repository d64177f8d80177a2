"""Damaged checkpoints, and files that are no checkpoints: training, eval and predict refuse them in one line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from every_task import TASKS, words
from torch import Tensor

from carrousel import checkpoint
from carrousel.cli import run

from .children import run_alone
from .damage import damage
from .files import torture_each
from .findings import Findings

DTYPES = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool)
GIANT = (2**31, 2**40, 2**62, 2**63, 2**70, -1, 1.5, "12", None, [])

Rewrite = Callable[[bytes, random.Random], bytes]


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and what follows it."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def join(header: Any, rest: bytes) -> bytes:
    """The inverse of `split`."""
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def damage_anywhere(content: bytes, rng: random.Random) -> bytes:
    """Bytes, blocks and numbers, as in data files."""
    return damage(content, rng.randrange(2**31))


def edit_header(content: bytes, rng: random.Random) -> bytes:
    """Another dtype, a giant shape or another place for one of the tensors."""
    header, rest = split(content)
    entry = header[rng.choice([name for name in header if name != "__metadata__"])]
    field = rng.choice(["dtype", "shape", "data_offsets"])
    if field == "dtype":
        entry["dtype"] = rng.choice(["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "", None, 3])
    elif not entry[field] or rng.random() < 0.2:
        entry[field] = rng.choice([[], None, {}, "x", [rng.choice(GIANT)] * rng.randrange(1, 70)])
    else:
        entry[field][rng.randrange(len(entry[field]))] = rng.choice(GIANT)
    return join(header, rest)


def edit_facts(content: bytes, rng: random.Random) -> bytes:
    """Another value in our own part of the header, or none, or no such part."""
    header, rest = split(content)
    facts = json.loads(header["__metadata__"]["carrousel"])
    key = rng.choice(list(facts))
    facts[key] = rng.choice(GIANT)
    if rng.random() < 0.3:
        del facts[key]
    header["__metadata__"] = rng.choice([{"carrousel": json.dumps(facts)}, {"carrousel": "[]"}, {}, {"carrousel": "{"}])
    return join(header, rest)


def claim_length(content: bytes, rng: random.Random) -> bytes:
    """Another length of the header, mostly giant."""
    number = rng.choice([0, 1, 8, 10**6, 10**8, 10**8 + 1, 2**31, 2**40, 2**63, 2**64 - 1, rng.randrange(len(content))])
    return number.to_bytes(8, "little") + content[8:]


def write_foreign(content: bytes, rng: random.Random) -> bytes:
    """A file of the safetensors library: with names of ours or others, with metadata or without."""
    names = [name for name in split(content)[0] if name != "__metadata__"]
    chosen = rng.sample(names, min(len(names), 3)) if rng.random() < 0.5 else ["weight", "bias"]
    tensors = {name: torch.zeros(rng.randrange(5), 3).to(rng.choice(DTYPES)) for name in chosen}
    metadata = rng.choice([None, {"format": "pt"}, {"carrousel": "1"}, {"carrousel": "null"}])
    return safetensors.torch.save(tensors, metadata)


def seal(content: bytes, rng: random.Random) -> bytes:
    """Other tensors with a right checksum: of another dtype or shape, missing, or under another name."""
    header, _ = split(content)
    facts = json.loads(header["__metadata__"]["carrousel"])
    del facts["sha256"]
    tensors = safetensors.torch.load(content)
    name = rng.choice(list(tensors))
    tensor = tensors.pop(name)
    change = rng.choice(["dtype", "shape", "missing", "renamed", "not a number"])
    if change == "dtype":
        tensors[name] = tensor.to(rng.choice(DTYPES))
    elif change == "shape":
        tensors[name] = rng.choice([tensor.flatten()[:1], tensor[None], tensor.new_zeros(0), tensor.new_zeros(3, 5)])
    elif change == "renamed":
        tensors[f"{rng.choice(['model.', 'optimizer.', 'state.', ''])}{name}"] = tensor
    elif change == "not a number":
        tensors[name] = tensor * float("nan") if tensor.is_floating_point() else tensor * 0 - 1
    return encode(facts, tensors)


def encode(facts: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """The content of a checkpoint with a right checksum."""
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    header = json.dumps({**facts, "sha256": checkpoint.checksum(facts, tensors)}, sort_keys=True)
    return b"".join(bytes(each) for each in checkpoint.tensor_file.encode(tensors, {"carrousel": header}))


KINDS: tuple[Rewrite, ...] = (
    damage_anywhere,
    damage_anywhere,
    edit_header,
    edit_facts,
    claim_length,
    write_foreign,
    seal,
)


def torture(name: str, count: int, seed: int, folder: Path, findings: Findings) -> None:
    """Damaged checkpoints of a task, for `--resume`, `carrousel eval` and `carrousel predict`.

    Args:
        name: of the task.
        count: how many.
        seed: of the damage.
        folder: for the files.
        findings: what is counted and found.
    """
    file, out = TASKS[name].write(folder, 1), folder / "out"
    options = {**TASKS[name].options, **TASKS[name].random}
    run_alone(lambda: run(["train", name, str(file), "--out", str(out), *words(options)]), folder / "errors.txt")
    contents = [(out / kind).read_bytes() for kind in ("last.safetensors", "best.safetensors")]
    damaged = folder / "damaged" / "last.safetensors"
    damaged.parent.mkdir()

    def try_one(number: int) -> tuple[int, str]:
        rng = random.Random(f"{name} {number}")
        for path in damaged.parent.iterdir():
            path.unlink()
        content = rng.choice(KINDS)(contents[0 if number % 2 else rng.randrange(2)], rng)
        damaged.write_bytes(content)
        code = run(choose_command(name, file, damaged, number))
        if code != 0 and damaged.read_bytes() != content:
            checkpoint.read(damaged, "")  # it diverged; the weights before are saved, and good
        return code, ""

    torture_each(f"checkpoints {name}", range(seed, seed + count), try_one, damaged, folder, findings)


def choose_command(name: str, file: Path, damaged: Path, number: int) -> list[str]:
    """Every second checkpoint is resumed; the others are loaded."""
    if number % 2:
        return ["train", name, "--out", str(damaged.parent), "--resume", "--steps", "13"]
    if name in ("text", "words"):
        return [
            "sample" if number % 4 else "eval",
            str(damaged),
            *([str(file)] if number % 4 == 0 else ["--length", "9"]),
        ]
    return ["predict" if number % 4 else "eval", str(damaged), str(file)]
