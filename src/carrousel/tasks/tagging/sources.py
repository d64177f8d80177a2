"""What a run trains on and is validated on: files read, tags numbered, sentences split; and what was noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.data.buckets import Buckets
from carrousel.data.classes import sort_labels
from carrousel.data.read_sequences import name_file
from carrousel.errors import UserError
from carrousel.tasks.tagging.sentences import Batch, Sentences, Spellings
from carrousel.tasks.tagging.steps import Steps
from carrousel.tasks.tagging.words import Words
from carrousel.training.task import Data

LONGEST_RUN = 50  # sentences, side by side in the file, that are held out together
LEAST_RUNS = 100  # in a file
MOST_NAMED = 10  # tags in a message


@dataclass(frozen=True)
class HeldOut:
    """Sentences that did not train.

    Args:
        sentences: with tags.
        tags: what the numbers of the tags mean: those that the model knows, then those that it does not.
        most_frequent: the number of the most frequent tag in the training data.
        notes: what people should know of the data, a line each.
    """

    sentences: Sentences
    tags: tuple[str, ...]
    most_frequent: int
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True)
class Split:
    """Training data and what is held out of it, with what a model needs to know of them."""

    train: Sentences
    held_out: HeldOut
    facts: dict[str, Any]
    digest: str
    notes: tuple[str, ...]

    def to_data(self, batch: int, seed: int) -> Data:
        """Batches of so many sentences, those of about one length together."""
        buckets, device = Buckets(self.train.lengths.cpu(), batch, seed), self.train.starts.device

        def gather(step: int) -> Batch:
            return self.train.select(buckets.take(step).to(device)).gather()

        return Data(gather, len(self.train), self.held_out, self.facts, self.digest, self.notes)


def read(files: Sequence[str], reading: dict[str, Any], needs_tags: bool = True) -> Words | Steps:
    """Read files of one kind.

    Args:
        files: .npz files, or files of words; - is stdin, with words.
        reading: as for `Words.read`.
        needs_tags: whether their tags are read.

    Raises:
        UserError: they are not of one kind, or cannot be read.
    """
    kinds = [Steps if file.lower().endswith(".npz") else Words for file in files]
    other = next((file for file, kind in zip(files, kinds) if kind is not kinds[0]), None)
    if other is not None:
        raise UserError(f"{files[0]} and {other} are not of one kind: train on words, or on numbers in .npz files")
    return kinds[0].read(files, describe(files), needs_tags, reading)


def read_split(files: Sequence[str], valid: str | None, fraction: float, seed: int, impute: str | None,
               reading: dict[str, Any], device: torch.device) -> Split:  # fmt: skip
    """Read what a run trains on and is validated on.

    Args:
        files: to train on.
        valid: a file to validate on; None: a part of the sentences of `files`.
        fraction: of that part.
        seed: of the split.
        impute: what replaces missing values, a key of `scaling.IMPUTE`; None: no value may be missing.
        reading: as for `Words.read`.
        device: of the sentences.

    Raises:
        UserError: a file cannot be read, or there is nothing to learn.
    """
    found = read(files, reading)
    is_train = ~hold_out_runs(len(found.lengths), fraction if valid is None else 0.0, seed)
    if not tags_of(found, is_train) & tags_of(found, ~is_train):  # nothing could be validated
        is_train[:] = True
    known = sort_labels(tuple(tags_of(found, is_train)))
    if len(known) < 2:
        raise UserError(
            f"all words to train on in {found.name} have the tag {shorten(known)}: name data with two tags or more"
        )
    targets, tags = number(found.tags, known)
    digest = f"{found.digest()} {int(is_train.sum())} {'' if is_train.all() else seed}"
    facts = {"tags": known, "mean_length": float(found.lengths.mean()), **found.learn(targets, is_train)}
    sentences, missing = found.encode(targets, facts, impute)
    sentences = move(sentences, device)
    notes = [*describe_skipped(found), *describe_imputed(missing, impute, found.name)]
    if valid is None:
        notes += describe_unknown(targets, tags, len(known), f"what is held out of {found.name}")
        if fraction and is_train.all():
            notes.append(f"all {len(is_train):,} sentences train: they are too few to validate on a part of them")
        rest = sentences.select(torch.from_numpy(np.flatnonzero(~is_train)).to(device))
        held_out = HeldOut(rest, tags, most_frequent(facts))
    else:
        other = read([valid], reading)
        digest += other.digest()
        held_out = hold_out(other, facts, impute, device)
    train = sentences.select(torch.from_numpy(np.flatnonzero(is_train)).to(device))
    return Split(train, held_out, facts, digest, (*notes, *held_out.notes))


def hold_out(found: Words | Steps, facts: dict[str, Any], impute: str | None, device: torch.device) -> HeldOut:
    """The sentences of a file of their own, with the tags of a model.

    Args:
        found: with tags; values are scaled in place.
        facts: of the model's data.
        impute, device: as for `read_split`.

    Raises:
        UserError: the model reads other data, or knows none of the tags.
    """
    known = tuple(facts["tags"])
    targets, tags = number(found.tags, known)
    sentences, missing = found.encode(targets, facts, impute)
    if targets.min() >= len(known):
        raise UserError(
            f"{found.name} has none of the tags that the model was trained on: they are {shorten(known)}, the file "
            f"has {shorten(sort_labels(found.tags))}; name a file with the same tags, or their column"
        )
    notes = [*describe_skipped(found), *describe_imputed(missing, impute, found.name)]
    notes += describe_unknown(targets, tags, len(known), found.name)
    return HeldOut(move(sentences, device), tags, most_frequent(facts), tuple(notes))


def hold_out_runs(count: int, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which sentences are held out [count]: runs of neighbours, from all over the file.

    Sentences side by side are of the same text, and share its rare words. Single sentences at random would be tagged
    better than a new text is; the end of a file may be of another kind than the rest.
    """
    length = max(1, min(LONGEST_RUN, count // LEAST_RUNS))
    runs = -(-count // length)
    chosen = np.random.default_rng(seed).permutation(runs)[: min(round(fraction * runs), runs - 1)]
    is_chosen = np.zeros(runs, bool)
    is_chosen[chosen] = True
    return np.repeat(is_chosen, length)[:count]


def tags_of(found: Words | Steps, is_chosen: NDArray[np.bool_]) -> set[str]:
    """The tags in some of the sentences."""
    return {tag for tag, chosen in zip(found.tags, np.repeat(is_chosen, found.lengths)) if chosen}


def number(tags: Sequence[str], known: Sequence[str]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The number of each tag [N], and what the numbers mean: the tags that are known, then the others."""
    all_tags = (*known, *sort_labels(tuple(set(tags) - set(known))))
    numbers = {tag: index for index, tag in enumerate(all_tags)}
    return np.array([numbers[tag] for tag in tags], np.int64), all_tags


def most_frequent(facts: dict[str, Any]) -> int:
    """The number of the most frequent tag in a model's training data."""
    return facts["lexicon"]["most_frequent"] if "lexicon" in facts else facts["most_frequent"]


def move(sentences: Sentences, device: torch.device) -> Sentences:
    """The same sentences on a device; on the CPU they share their memory."""
    spellings = sentences.spellings and Spellings(*(part.to(device) for part in vars(sentences.spellings).values()))
    parts = {name: getattr(sentences, name).to(device) for name in ("x", "targets", "starts", "lengths")}
    return replace(sentences, **parts, spellings=spellings)


# ---- what people should know of the data ----


def describe(files: Sequence[str]) -> str:
    """The files, in words."""
    return name_file(files[0]) if len(files) == 1 else f"the {len(files)} files"


def shorten(tags: Sequence[str]) -> str:
    """As many tags as fit into a message."""
    return ", ".join(tags[:MOST_NAMED]) + (", ..." if len(tags) > MOST_NAMED else "")


def describe_skipped(found: Words | Steps) -> list[str]:
    """What was left out."""
    return [f"{found.name}: left out {count:,} {what}" for what, count in found.skipped.items()]


def describe_imputed(missing: int, impute: str | None, name: str) -> list[str]:
    """Which values were replaced."""
    return [f"{name}: {missing:,} missing values were replaced (--impute {impute})"] if missing else []


def describe_unknown(targets: NDArray[np.int64], tags: Sequence[str], known: int, name: str) -> list[str]:
    """Which tags the model was not trained on."""
    if len(tags) == known:
        return []
    count = int((targets >= known).sum())
    return [f"{name}: {count:,} words have tags without training data, and count as errors: {shorten(tags[known:])}"]
