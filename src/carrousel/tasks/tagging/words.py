"""Sentences from files of words and their tags: CoNLL-U, and other files with a word in each line."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.data.tagged import TaggedSentences, read_tagged
from carrousel.errors import UserError
from carrousel.tasks.tagging.lexicon import Lexicon
from carrousel.tasks.tagging.sentences import Sentences


@dataclass(frozen=True)
class Words:
    """The sentences of some files.

    Args:
        sentences: their words and tags.
        name: of the files, for messages.
    """

    sentences: TaggedSentences
    name: str

    @classmethod
    def read(cls, files: Sequence[str], name: str, needs_tags: bool, reading: dict[str, Any]) -> Words:
        """Read files, one after another.

        Args:
            files: - is stdin.
            name: of all, for messages.
            needs_tags: without, only the words are read.
            reading: encoding, column and word_column, as for `read_tagged`.

        Raises:
            UserError: one cannot be read; says which.
        """
        column = (reading["column"] or "") if needs_tags else None
        options = {"word_column": reading["word_column"], "encoding": reading["encoding"]}
        return cls(join([read_tagged(file, column, **options) for file in files]), name)

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Words of each sentence [B]."""
        return self.sentences.lengths

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag of each word [N]."""
        return self.sentences.tags or ()

    @property
    def skipped(self) -> dict[str, int]:
        """What was left out of the files."""
        return self.sentences.skipped

    def digest(self) -> str:
        """Differs for different words, tags or sentences."""
        found = hashlib.sha256(self.lengths.tobytes())
        for texts in (self.sentences.words, self.tags):
            found.update("\n".join(texts).encode("utf-8", "surrogatepass"))
        return found.hexdigest()

    def learn(self, targets: NDArray[np.int64], is_train: NDArray[np.bool_]) -> dict[str, Any]:
        """What a model has to know of the words.

        Args:
            targets: the number of each word's tag [N].
            is_train: which sentences train [B].
        """
        steps = np.repeat(is_train, self.lengths)
        words = [word for word, chosen in zip(self.sentences.words, steps) if chosen]
        return {"lexicon": Lexicon.count(words, targets[steps]).to_json()}

    def encode(self, targets: NDArray[np.int64], facts: dict[str, Any], impute: str | None) -> tuple[Sentences, int]:
        """The sentences as a model reads them.

        Args:
            targets: the number of each word's tag [N].
            facts: of the model's data.
            impute: what replaces missing values; words are never missing.

        Returns:
            The sentences on the CPU, and how many values were missing.

        Raises:
            UserError: the model was trained on numbers, or a value is to be replaced.
        """
        if "lexicon" not in facts:
            raise UserError(f"{self.name} has words, and the model was trained on numbers: name a .npz file")
        if impute is not None:
            raise UserError(f"--impute {impute} does not fit {self.name}: no word is missing, leave it out")
        distinct = {word: number for number, word in enumerate(dict.fromkeys(self.sentences.words))}
        x = torch.tensor([distinct[word] for word in self.sentences.words])
        lengths = torch.from_numpy(self.lengths)
        spellings = Lexicon.from_json(facts["lexicon"]).encode(distinct)
        return Sentences(x, torch.from_numpy(targets), lengths.cumsum(0) - lengths, lengths, spellings), 0

    def rows(self) -> list[dict[str, Any]]:
        """What stands before each prediction: the number of the sentence, and the word."""
        numbers = np.repeat(np.arange(1, len(self.lengths) + 1), self.lengths).tolist()
        return [{"sentence": number, "word": word} for number, word in zip(numbers, self.sentences.words)]


def join(parts: Sequence[TaggedSentences]) -> TaggedSentences:
    """The sentences of several files, one file after another."""
    if len(parts) == 1:
        return parts[0]
    skipped: Counter[str] = Counter()
    for part in parts:
        skipped.update(part.skipped)
    return TaggedSentences(
        words=tuple(word for part in parts for word in part.words),
        tags=tuple(tag for part in parts for tag in part.tags or ()),
        lengths=np.concatenate([part.lengths for part in parts]),
        names=tuple(name for part in parts for name in part.names),
        skipped=dict(skipped),
    )
