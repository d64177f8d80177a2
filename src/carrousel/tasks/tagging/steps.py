"""Sequences of numbers with a tag for each step, from .npz files: a sentence is a sequence, and a word is a step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.data.npz import read_npz_steps
from carrousel.data.scaling import Scaling
from carrousel.data.sequences import Sequences, join
from carrousel.errors import UserError
from carrousel.tasks.tagging.sentences import Sentences


@dataclass(frozen=True)
class Steps:
    """The sequences of some files.

    Args:
        sequences: their values.
        tags: the tag of each step [N]; () if none were asked for.
        name: of the files, for messages.
    """

    sequences: Sequences
    tags: tuple[str, ...]
    name: str

    @classmethod
    def read(cls, files: Sequence[str], name: str, needs_tags: bool, reading: dict[str, Any]) -> Steps:
        """Read files, one after another; arguments as for `Words.read`.

        Raises:
            UserError: one cannot be read or has no tags; a column is named.
        """
        for option in ("column", "word_column"):
            if reading[option] is not None:
                typed = f"--{option.replace('_', '-')} {reading[option]}"
                raise UserError(f"{typed} does not fit {name}: leave it out for .npz files")
        parts, tags = [], []
        for file in files:
            sequences, found = read_npz_steps(file)
            if needs_tags and found is None:
                raise UserError(f"{file} has no array y: write it with a tag for each step, as the steps of x")
            parts.append(sequences)
            tags.extend(found or ())
        return cls(join(parts, files), tuple(tags), name)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Steps of each sequence [B]."""
        return self.sequences.lengths

    @property
    def skipped(self) -> dict[str, int]:
        """What was left out of the files."""
        return self.sequences.skipped

    def digest(self) -> str:
        """Differs for different values, tags or sequences."""
        tags = hashlib.sha256("\n".join(self.tags).encode("utf-8", "surrogatepass")).hexdigest()
        return self.sequences.digest() + tags

    def learn(self, targets: NDArray[np.int64], is_train: NDArray[np.bool_]) -> dict[str, Any]:
        """What a model has to know of the numbers; arguments as for `Words.learn`."""
        most_frequent = int(np.bincount(targets[np.repeat(is_train, self.lengths)]).argmax())
        scaling = Scaling.measure(self.sequences, np.flatnonzero(is_train)).to_json()
        return {"channels": self.sequences.channels, "scaling": scaling, "most_frequent": most_frequent}

    def encode(self, targets: NDArray[np.int64], facts: dict[str, Any], impute: str | None) -> tuple[Sentences, int]:
        """The sequences as a model reads them, scaled in place; arguments and what is returned as for `Words.encode`.

        Raises:
            UserError: the model was trained on words or other channels, or a value is missing.
        """
        if "channels" not in facts:
            raise UserError(f"{self.name} has numbers, and the model was trained on words: name a file of words")
        known, found = len(facts["channels"]), len(self.sequences.channels)
        if known != found:
            raise UserError(
                f"{self.name} has {found} channels, and the model was trained on {known}: name data with the same"
            )
        missing = Scaling.from_json(facts["scaling"]).apply(self.sequences, self.name, impute)
        x, lengths = torch.from_numpy(self.sequences.values), torch.from_numpy(self.lengths)
        return Sentences(x, torch.from_numpy(targets), lengths.cumsum(0) - lengths, lengths, None), missing

    def rows(self) -> list[dict[str, Any]]:
        """What stands before each prediction: the sequence, and the number of the step."""
        pairs = zip(self.sequences.names, self.lengths.tolist())
        return [{"sequence": name, "step": step} for name, length in pairs for step in range(1, length + 1)]
