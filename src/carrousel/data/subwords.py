"""Subwords: frequent words are one symbol, rare ones several, and no text is unknown.

The library is sentencepiece (pip: 4 MB, needs nothing else). It learns the 8,000 subwords of 334,000 sentences in a
second, the same in each run, and a text comes back as it was: also the narrow blank U+202F before a French "!", and,
byte by byte, characters that were never seen. The one exception is U+2581, sentencepiece's own sign for a blank.
`tokenizers` is as exact and as fast; it is 12 MB and needs huggingface_hub, and takes a text like "</s>" for a symbol.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.libraries import load_library
from carrousel.errors import UserError

PURPOSE = "a model of subwords"
START, END = 1, 2  # the symbols before and after a text; 0 is sentencepiece's sign for the unknown, which never occurs
LEAST = 300  # subwords: 256 single bytes, the signs above, and some characters
COVERAGE = 0.9999  # the part of all characters that have a symbol of their own; the rest are bytes
PIECE = 4096  # texts that are encoded at a time


class Subwords:
    """A vocabulary of subwords.

    Args:
        content: what sentencepiece has learned.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Subwords:
        """The subwords that write texts briefly, found by byte pair encoding (Sennrich et al., 2016).

        Args:
            texts: to learn from.
            size: how many subwords; of few texts fewer are found.

        Raises:
            UserError: sentencepiece is not installed, or the texts have more different characters than `size` allows.
        """
        library, content = load_library("sentencepiece", PURPOSE), io.BytesIO()
        try:
            library.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=content,
                model_type="bpe",
                vocab_size=size,
                hard_vocab_limit=False,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                byte_fallback=True,
                character_coverage=COVERAGE,
                max_sentence_length=1 << 20,
                num_threads=1,  # more of them add up in another order each time
                minloglevel=3,
            )
        except RuntimeError as error:
            if "required_chars" not in str(error):
                raise
            raise UserError(
                f"--vocabulary {size} is too small for the different characters of the texts: give a larger one"
            ) from None
        return cls(content.getvalue())

    @cached_property
    def processor(self) -> Any:
        """sentencepiece's object for this vocabulary."""
        return load_library("sentencepiece", PURPOSE).SentencePieceProcessor(model_proto=self.content)

    def to_json(self) -> str:
        """The vocabulary in a type that JSON has."""
        return base64.b64encode(self.content).decode()

    @classmethod
    def from_json(cls, text: str) -> Subwords:
        """The inverse of `to_json`."""
        return cls(base64.b64decode(text))

    def __len__(self) -> int:
        return self.processor.get_piece_size()

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The numbers of all texts' subwords, one text after another [N], and how many each text has [B]."""
        parts, lengths = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
        for first in range(0, len(texts), PIECE):
            found: list[list[int]] = self.processor.encode(list(texts[first : first + PIECE]))
            parts.append(np.fromiter(chain.from_iterable(found), np.int32))
            lengths.append(np.fromiter(map(len, found), np.int64))
        return np.concatenate(parts), np.concatenate(lengths)

    def decode(self, numbers: Sequence[Sequence[int]]) -> list[str]:
        """The texts of some rows of numbers; bytes that are not a character become U+FFFD."""
        return [self.processor.decode(list(row)) for row in numbers]

    def spell(self, numbers: Sequence[int]) -> list[str]:
        """The text of each subword, for pictures; a blank is a low line."""
        return [self.processor.id_to_piece(number).replace("\u2581", "_") for number in numbers]
