"""Data files for tests of readers: those in shared/data, damaged files, and the check of an error's message."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from carrousel.errors import UserError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skips a test whose file is not on this machine, and says which."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path} is not here")


def error_of(function: Callable[..., object], *arguments: object, **options: object) -> str:
    """The message of the UserError that a function raises: one line, without what a program would print."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search(r"Traceback|<class|0x[0-9a-f]{6}", message), message
    return message


def damage(content: bytes, seed: int) -> bytes:
    """A file after an accident: cut off, bits flipped, bytes replaced, a piece repeated or removed, junk added."""
    rng = random.Random(seed)
    kind, at = rng.randrange(6), rng.randrange(len(content))
    if kind == 0:
        return content[:at]
    if kind == 1:
        flipped = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8, 64])):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if kind == 2:
        return content[:at] + rng.randbytes(rng.choice([1, 4, 16])) + content[at + 1 :]
    if kind == 3:
        return content[:at] + content[at + rng.randrange(1, 64) :]
    if kind == 4:
        return content[:at] + content[at : at + rng.randrange(1, 64)] * rng.randrange(2, 9) + content[at:]
    return content + rng.randbytes(rng.randrange(1, 64))


def fuzz(path: Path, content: bytes, read: Callable[[], object], seeds: range) -> int:
    """Read damaged copies of a file; each must be read or raise a UserError of one line. Returns how many raised."""
    messages = []
    for seed in seeds:
        path.write_bytes(damage(content, seed))
        try:
            read()
        except UserError as error:
            messages.append(str(error))
    assert not [message for message in messages if "\n" in message]
    return len(messages)
