"""Pairs from the files that options name: read, split by source, cut into subwords; and what was noticed on the way."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.data.pairs import Pairs, read_pairs, simplify, split_by_source
from carrousel.data.read_sequences import name_file
from carrousel.data.subwords import END, Subwords
from carrousel.data.symbol_pairs import SymbolPairs, SymbolTexts
from carrousel.data.text import STDIN
from carrousel.errors import UserError
from carrousel.tasks.translation.held_out import HeldOut

MOST_TRANSLATED = 2000  # sources of the validation data, at the end of a run


@dataclass(frozen=True)
class Reading:
    """How pairs are read, split, cut and, to measure a model, translated.

    Args:
        columns: of source and target.
        encoding: of the files.
        fraction: the part of the sources to validate on.
        seed: of the split.
        longest: subwords of a side; longer pairs do not train.
        width: hypotheses of the beam search.
    """

    columns: tuple[int, int]
    encoding: str
    fraction: float
    seed: int
    longest: int
    width: int


@dataclass(frozen=True)
class Split:
    """Training data and what is held out of it, with what a model needs to know of them."""

    train: SymbolPairs
    held_out: HeldOut
    facts: dict[str, Any]
    digest: str
    notes: tuple[str, ...]


def read_split(
    files: Sequence[str], valid: str | None, vocabulary: int, reading: Reading, device: torch.device
) -> Split:
    """Read what a run trains on and is validated on.

    Args:
        files: to train on.
        valid: a file to validate on; None: a part of the sources of `files`.
        vocabulary: how many subwords the training part is cut into.
        reading: how.
        device: of the pairs.

    Raises:
        UserError: a file cannot be read, or there is nothing to train on.
    """
    pairs = read_all(files, reading)
    train, rest = split(pairs, valid, reading)
    name = describe(files)
    chosen = take(pairs, train)
    other = (
        take(pairs, rest) if valid is None else read_pairs(valid, columns=reading.columns, encoding=reading.encoding)
    )
    subwords = Subwords.learn(chain(chosen.sources, chosen.targets), vocabulary)
    notes = describe_skipped(pairs.skipped, name)
    if valid is not None:
        notes += describe_skipped(other.skipped, name_file(valid))
        notes += describe_overlap(other.sources, chosen.sources, name_file(valid))
    part, count = leave_out_long(encode(subwords, chosen, device), reading.longest, name)
    if count:
        notes.append(f"{name}: left out {count:,} pairs with a side of over {reading.longest} subwords (--longest)")
    facts = {"subwords": subwords.to_json(), "mean_length": float(part.targets.lengths.double().mean())}
    encoded = encode(subwords, other, device)
    held_out = HeldOut(encoded, other.sources, other.targets, subwords, reading.width, MOST_TRANSLATED)
    return Split(part, held_out, facts, measure_digest(chosen, other, subwords), tuple(notes))


def read_all(files: Sequence[str], reading: Reading) -> Pairs:
    """The pairs of some files, one after another.

    Raises:
        UserError: a file cannot be read.
    """
    found = [read_pairs(file, columns=reading.columns, encoding=reading.encoding) for file in files]
    if len(found) == 1:
        return found[0]
    skipped: Counter[str] = Counter()
    for each in found:
        skipped.update(each.skipped)
    sources, targets = (
        tuple(text for each in found for text in getattr(each, side)) for side in ("sources", "targets")
    )
    return Pairs(sources, targets, np.concatenate([each.lines for each in found]), dict(skipped))


def split(pairs: Pairs, valid: str | None, reading: Reading) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of the pairs to train on, and of those to validate on; there are none of these with `valid`."""
    fraction = reading.fraction if valid is None else 0.0
    train, rest = split_by_source(pairs.sources, (fraction,), reading.seed)
    return train, rest


def take(pairs: Pairs, numbers: NDArray[np.int64]) -> Pairs:
    """Some of the pairs."""
    chosen = numbers.tolist()
    sources, targets = (tuple(side[number] for number in chosen) for side in (pairs.sources, pairs.targets))
    return Pairs(sources, targets, pairs.lines[numbers], {})


def encode(subwords: Subwords, pairs: Pairs, device: torch.device) -> SymbolPairs:
    """Pairs as symbols; each target gets its end."""
    symbols, lengths = subwords.encode(pairs.targets)
    ended = np.insert(symbols, lengths.cumsum(), END).astype(np.int32)
    return SymbolPairs(
        SymbolTexts.join(*subwords.encode(pairs.sources), device), SymbolTexts.join(ended, lengths + 1, device)
    )


def leave_out_long(pairs: SymbolPairs, longest: int, name: str) -> tuple[SymbolPairs, int]:
    """The pairs of which no side has more than so many subwords, and how many others there are.

    Raises:
        UserError: all pairs are longer.
    """
    is_short = torch.maximum(pairs.sources.lengths, pairs.targets.lengths - 1) <= longest
    if not is_short.any():
        raise UserError(f"{name}: no pair has at most {longest} subwords on each side: raise --longest")
    return pairs.select(is_short.nonzero()[:, 0]), int((~is_short).sum())


def measure_digest(train: Pairs, other: Pairs, subwords: Subwords) -> str:
    """Differs for different pairs, and for another vocabulary, which another version of sentencepiece could learn."""
    digest = hashlib.sha256(subwords.content)
    for part in (train.sources, train.targets, other.sources, other.targets):
        digest.update(f"\n{len(part)}\n".encode())
        for text in part:
            digest.update(f"{text}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def find_overlap(
    files: Sequence[str], valid: str | None, reading: Reading, sources: Iterable[str], name: str
) -> list[str]:
    """A note if a model was trained on sources of a file; none if its training data are not where they were."""
    if STDIN in files:
        return []
    with suppress(UserError):
        pairs = read_all(files, reading)
        train, _ = split(pairs, valid, reading)
        return describe_overlap(sources, take(pairs, train).sources, name)
    return []


# ---- what people should know of the data ----


def describe(files: Sequence[str]) -> str:
    """The files, in words."""
    return name_file(files[0]) if len(files) == 1 else f"the {len(files)} files"


def describe_skipped(skipped: dict[str, int], name: str) -> list[str]:
    """What was left out."""
    return [f"{name}: left out {count:,} {what}" for what, count in skipped.items()]


def describe_overlap(sources: Iterable[str], trained: Iterable[str], name: str) -> list[str]:
    """Whether sources are among those that were trained on."""
    known = {simplify(source) for source in trained}
    tested = {simplify(source) for source in sources}
    count = len(tested & known)
    if not count:
        return []
    return [f"{name}: {count:,} of its {len(tested):,} different sources were trained on; the scores flatter the model"]
