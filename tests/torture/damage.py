"""What happens to files: to the accidents of tests/shared/data_files.py it adds blocks and giant numbers."""

from __future__ import annotations

import random
import re

import data_files

GIANT = (b"99999999999999999999", b"2147483648", b"-9223372036854775808", b"1e999", b"-1", b"0", b"nan", b"1e-320")
GIANT_BINARY = (2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1, 2**64 - 1, 2**40, 0)


def damage(content: bytes, seed: int) -> bytes:
    """A damaged copy, the same for the same seed."""
    rng = random.Random(seed)
    kinds = (damage_bytes, damage_bytes, swap_blocks, overwrite_block, write_giant_number, write_giant_integer, cut_off)
    return rng.choice(kinds)(content, rng)


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """An accident of a few bytes."""
    return data_files.damage(content, rng.randrange(2**31))


def choose_block(content: bytes, rng: random.Random) -> tuple[int, int]:
    """Where a block begins and ends; blocks are those of a disk, or smaller where the file is."""
    size = min(rng.choice([16, 512, 4096]), max(1, len(content) // 4))
    first = rng.randrange(max(1, len(content) // size)) * size
    return first, min(len(content), first + size)


def swap_blocks(content: bytes, rng: random.Random) -> bytes:
    """Two blocks in each other's place."""
    (a, b), (c, d) = sorted((choose_block(content, rng), choose_block(content, rng)))
    return content if c < b else content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def overwrite_block(content: bytes, rng: random.Random) -> bytes:
    """A block of zeros, of ones, or of another place of the file."""
    first, last = choose_block(content, rng)
    a, b = choose_block(content, rng)
    filled = rng.choice([b"\0" * (last - first), b"\xff" * (last - first), content[a:b]])
    return content[:first] + filled + content[last:]


def write_giant_number(content: bytes, rng: random.Random) -> bytes:
    """Another number in place of one that is written in digits."""
    numbers = list(re.finditer(rb"\d+", content))
    if not numbers:
        return content
    chosen = rng.choice(numbers)
    return content[: chosen.start()] + rng.choice(GIANT) + content[chosen.end() :]


def write_giant_integer(content: bytes, rng: random.Random) -> bytes:
    """Another number in place of four or eight bytes; mostly in the first or last bytes, where headers are."""
    width = rng.choice([4, 8])
    number = (rng.choice(GIANT_BINARY) & (2 ** (8 * width) - 1)).to_bytes(width, "little")
    last = max(0, len(content) - width)
    at = rng.choice([rng.randint(0, last), min(last, rng.randrange(64)), max(0, last - rng.randrange(128))])
    return content[:at] + number + content[at + width :]


def cut_off(content: bytes, rng: random.Random) -> bytes:
    """The first part, mostly a short one, or none."""
    return content[: rng.choice([0, rng.randrange(64), rng.randrange(len(content)), len(content) - 1])]
