"""Text as a sequence of symbols: reading, cleaning, vocabulary, split."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from carrousel.errors import UserError

GZIP_MAGIC = b"\x1f\x8b"


def read(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file, decompressed if it is gzip's.

    Args:
        path: the file.
        encoding: how its bytes stand for characters, by Python's name for it.

    Raises:
        UserError: it cannot be read, is empty, or has bytes that are not of this encoding (says where).
    """
    content = read_bytes(Path(path))
    if not content:
        raise UserError(f"{path} is empty: name a file with text in it")
    try:
        return content.decode(encoding).removeprefix("\ufeff")  # a byte order mark is no character
    except UnicodeDecodeError as error:
        raise UserError(undecodable(path, error)) from None
    except LookupError:
        raise UserError(f"--encoding {encoding} is not a text encoding; try utf-8, latin-1, cp1252 or utf-16") from None
    except UnicodeError as error:
        raise UserError(f"{path} is not {encoding}: {error}; name its encoding with --encoding") from None


def read_bytes(path: Path) -> bytes:
    """A file's bytes, decompressed if it is gzip's."""
    if path.is_dir():
        raise UserError(f"{path} is a directory: name the files in it, for example {path}/*.txt")
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(GZIP_MAGIC) else content
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check the name") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is damaged or not all there (gzip: {error}): fetch it again") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def undecodable(path: str | Path, error: UnicodeDecodeError) -> str:
    """Says where the first byte stands that could not be read."""
    before = error.object[: error.start].decode(error.encoding, errors="ignore")
    place = position(before, len(before))
    other = "latin-1" if error.encoding.replace("-", "") != "latin1" else "utf-8"
    return (
        f"{path} is not {error.encoding}: byte 0x{error.object[error.start]:02x} at {place}, byte {error.start + 1} "
        f"of the file; name its encoding, for example --encoding {other}"
    )


def position(text: str, index: int) -> str:
    """Where a character stands, as an editor counts: from line 1, column 1."""
    return f"line {text.count(chr(10), 0, index) + 1}, column {index - text.rfind(chr(10), 0, index)}"


def letters_only(text: str) -> str:
    """Lower case letters a to z; every run of anything else becomes one blank (27 symbols, as in the d2l book)."""
    return re.sub("[^A-Za-z]+", " ", text).lower()


@dataclass(frozen=True)
class Vocabulary:
    """The symbols a model knows, each one character, numbered by their place in a sorted string."""

    symbols: str

    @classmethod
    def of(cls, text: str) -> Vocabulary:
        """The distinct characters of a text."""
        return cls("".join(sorted(set(text))))

    @cached_property
    def points(self) -> np.ndarray:
        """The symbols as Unicode code points [V], increasing."""
        return code_points(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)

    def encode(self, text: str, name: str = "the text") -> Tensor:
        """The numbers of a text's characters [N], int64.

        Raises:
            UserError: a character that is not in the vocabulary; names it and says where it stands.
        """
        points = code_points(text)
        codes = np.searchsorted(self.points, points)
        codes[codes == len(self)] = 0
        unknown = np.flatnonzero(self.points[codes] != points)
        if unknown.size:
            raise UserError(self.unknown(text, int(unknown[0]), name))
        return torch.from_numpy(codes.astype(np.int64))

    def unknown(self, text: str, index: int, name: str) -> str:
        """Says which character is not known, and where it stands."""
        character = text[index]
        return (
            f"{name} has {character!r} (U+{ord(character):04X}) at {position(text, index)}, which the model never saw "
            f"and gives no probability; it knows {len(self)} symbols: {self.symbols!r}"
        )

    def decode(self, codes: Sequence[int]) -> str:
        """The characters of some numbers."""
        return "".join(self.symbols[code] for code in codes)


def code_points(text: str) -> np.ndarray:
    """A text as Unicode code points [N], uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


@dataclass(frozen=True)
class Corpus:
    """What a run trains on and is measured on."""

    train: Tensor  # [N], int64
    valid: Tensor  # [M], int64; M may be 0
    vocabulary: Vocabulary
    digest: str  # tells whether a resumed run reads what it read before

    @classmethod
    def split(cls, text: str, valid: float | str) -> Corpus:
        """Divide a text; the vocabulary is that of both parts.

        Args:
            text: all of it.
            valid: the fraction at the text's end that is kept for validation: the first floor(N (1 - fraction))
                characters train. Or another text to validate on.
        """
        cut = len(text) if isinstance(valid, str) else int(len(text) * (1 - valid))
        train, held_out = text[:cut], valid if isinstance(valid, str) else text[cut:]
        vocabulary = Vocabulary.of(train + held_out)
        digest = hashlib.sha256(f"{len(train)} {train}{held_out}".encode("utf-8", "surrogatepass")).hexdigest()
        return cls(vocabulary.encode(train), vocabulary.encode(held_out), vocabulary, digest)
