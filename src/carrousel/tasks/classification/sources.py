"""Examples from the files that options name, or from sequences in memory: numbered, split, scaled; and what was noticed
on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carrousel.data.classes import sort_labels, split_by_class
from carrousel.data.examples import UNKNOWN, Examples, Shuffled
from carrousel.data.read_sequences import name_file, read_all
from carrousel.data.scaling import Scaling
from carrousel.data.sequences import Sequences
from carrousel.errors import UserError
from carrousel.tasks.classification.held_out import HeldOut
from carrousel.training.task import Data

MOST_NAMED = 10  # labels in a message


@dataclass(frozen=True)
class Split:
    """Training data and what is held out of it, with what a model needs to know of them."""

    train: Examples
    held_out: HeldOut
    facts: dict[str, Any]
    digest: str
    notes: tuple[str, ...]

    def to_data(self, batch: int, seed: int) -> Data:
        """What a run trains on: shuffled batches of so many sequences [T, B, F], with lengths and targets [B]."""
        order = Shuffled(len(self.train), seed)
        device = self.train.starts.device

        def select(step: int) -> tuple[Tensor, Tensor, Tensor]:
            part = self.train.select(order.take(step * batch, batch).to(device))
            return part.pad(), part.lengths, part.targets

        return Data(select, len(self.train), self.held_out, self.facts, self.digest, self.notes)


def read_labelled(files: Sequence[str], reading: dict[str, Any]) -> Sequences:
    """The sequences of some files that have a label.

    Raises:
        UserError: they cannot be read, or none has a label.
    """
    found = read_all(files, **reading)
    labelled = found.with_labels_only()
    if not len(labelled):
        raise UserError(f"{describe(files)} has no labels: name a file with a label for each sequence")
    return labelled


def read_split(files: Sequence[str], valid: str | None, fraction: float, seed: int, impute: str | None,
               reading: dict[str, Any], device: torch.device) -> Split:  # fmt: skip
    """Read what a run trains on and is validated on.

    Args:
        files: to train on.
        valid: a file to validate on; None: a part of each class of `files`.
        fraction: of that part.
        seed: of the split.
        impute: what replaces missing values, a key of `scaling.IMPUTE`; None: no value may be missing.
        reading: options of `read_sequences`.
        device: of the examples.

    Raises:
        UserError: a file cannot be read, or there is nothing to learn.
    """
    sequences, name = read_labelled(files, reading), describe(files)
    classes = sort_labels(sequences.labels or ())
    if len(classes) == 1:
        raise UserError(f"all sequences in {name} have the label {classes[0]!r}: name data with two labels or more")
    targets, everything = number(sequences, classes), np.arange(len(sequences))
    train, rest = split_by_class(targets, fraction, seed) if valid is None else (everything, everything[:0])
    digest = f"{sequences.digest()} {len(train)} {seed if len(rest) else ''}"
    notes = describe_skipped(sequences, name)
    if valid is None and fraction:
        notes += describe_validated(classes, targets, rest)
    found = split(sequences, targets, train, rest, name, impute, device)
    facts = {**found.facts, "classes": classes, "source": digest}
    held_out = found.held_out
    if valid is not None:
        other = read_labelled([valid], reading)
        digest += other.digest()
        held_out = hold_out(other, name_file(valid), facts, impute, device, found.train)
    return Split(found.train, held_out, facts, digest, (*notes, *found.notes, *held_out.notes))


def split(sequences: Sequences, targets: NDArray[Any], train: NDArray[np.int64], rest: NDArray[np.int64], name: str,
          impute: str | None, device: torch.device, scaling: Scaling | None = None) -> Split:  # fmt: skip
    """Split sequences that are in memory, and scale them in place.

    Args:
        sequences: their values are changed.
        targets: a target for each [B, ...].
        train, rest: the indices of those that train and of those that are held out.
        name: where they are from, for messages.
        impute, device: as for `read_split`.
        scaling: of the channels. Default: that of the part that trains.

    Raises:
        UserError: a value is missing, and `impute` is None.
    """
    scaling = scaling or Scaling.measure(sequences, train)
    notes = describe_imputed(scaling.apply(sequences, name, impute), impute, name)
    facts = {
        "channels": sequences.channels,
        "scaling": scaling.to_json(),
        "longest": int(sequences.lengths.max()),
    }
    examples = to_examples(sequences, targets, device)
    part, held_out = (examples.select(torch.from_numpy(indices).to(device)) for indices in (train, rest))
    return Split(part, HeldOut(held_out, part), facts, "", tuple(notes))


def hold_out(sequences: Sequences, name: str, facts: dict[str, Any], impute: str | None, device: torch.device,
             train: Examples | None) -> HeldOut:  # fmt: skip
    """Sequences of a file of their own, in the classes of a model.

    Args:
        sequences: with labels; their values are scaled in place.
        name: of their file.
        facts: of the model's data.
        impute, device: as for `read_split`.
        train: what the baselines learn from; None: not available.

    Raises:
        UserError: the channels are others, or the model knows none of the labels.
    """
    targets = number(sequences, facts["classes"])
    if (targets == UNKNOWN).all():
        raise UserError(
            f"{name} has none of the labels that the model was trained on: they are {shorten(facts['classes'])}, the "
            f"file has {shorten(sort_labels(sequences.labels or ()))}; name a file with the same labels"
        )
    notes = describe_skipped(sequences, name) + describe_unknown(sequences, targets, name)
    notes += describe_imputed(scale(sequences, name, facts, impute), impute, name)
    return HeldOut(to_examples(sequences, targets, device), train, tuple(notes))


def scale(sequences: Sequences, name: str, facts: dict[str, Any], impute: str | None) -> int:
    """Scale sequences of a file in place, as a model's training data were; return how many values were missing.

    Raises:
        UserError: the file has other channels, or missing values that nothing replaces.
    """
    known, found = tuple(facts["channels"]), sequences.channels
    if found != known:
        raise UserError(
            f"{name} has {len(found)} channels ({shorten(found)}), the model was trained on {len(known)} "
            f"({shorten(known)}): name data with the same channels"
        )
    return Scaling.from_json(facts["scaling"]).apply(sequences, name, impute)


def number(sequences: Sequences, classes: Sequence[str]) -> NDArray[np.int64]:
    """The number of each sequence's class [B], or UNKNOWN."""
    numbers = {label: index for index, label in enumerate(classes)}
    return np.array([numbers.get(label, UNKNOWN) for label in sequences.labels or ()], np.int64)


def to_examples(sequences: Sequences, targets: NDArray[Any], device: torch.device) -> Examples:
    """Sequences as tensors on a device; on the CPU they share the memory of the values."""
    arrays = (sequences.values, sequences.offsets[:-1], sequences.lengths, targets)
    return Examples(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))


# ---- what people should know of the data ----


def describe(files: Sequence[str]) -> str:
    """The files, in words."""
    return name_file(files[0]) if len(files) == 1 else f"the {len(files)} files"


def shorten(labels: Sequence[str]) -> str:
    """As many labels as fit into a message."""
    return ", ".join(labels[:MOST_NAMED]) + (", ..." if len(labels) > MOST_NAMED else "")


def describe_skipped(sequences: Sequences, name: str) -> list[str]:
    """What was left out."""
    return [f"{name}: left out {count:,} {what}" for what, count in sequences.skipped.items()]


def describe_imputed(missing: int, impute: str | None, name: str) -> list[str]:
    """Which values were replaced."""
    return [f"{name}: {missing:,} missing values were replaced (--impute {impute})"] if missing else []


def describe_validated(classes: Sequence[str], targets: NDArray[np.int64], valid: NDArray[np.int64]) -> list[str]:
    """Which classes have no sequence to validate on."""
    if not len(valid):
        return [f"all {len(targets):,} sequences train: they are too few to validate on a part of them"]
    single = [classes[index] for index, count in enumerate(np.bincount(targets)) if count == 1]
    return [f"a class with a single sequence is trained on and not validated: {shorten(single)}"] if single else []


def describe_unknown(sequences: Sequences, targets: NDArray[np.int64], name: str) -> list[str]:
    """Which labels the model was not trained on."""
    found = [label for label, target in zip(sequences.labels or (), targets) if target == UNKNOWN]
    if not found:
        return []
    return [f"{name}: {len(found):,} sequences have labels without training data, and count as errors: "
            f"{shorten(sort_labels(found))}"]  # fmt: skip
