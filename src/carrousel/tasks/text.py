"""`carrousel train text`: a language model that predicts each next character of a text.

Data: files, cut into B streams that are read T characters at a time. Model: one-hot or embedding, recurrent layers,
linear. Loss and metric: -ln p(character), in nats a character.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from carrousel.data.batch_streams import BatchStreams
from carrousel.data.pieces import read_pieces, take_first
from carrousel.data.stdlib import stdlib
from carrousel.data.text import STDIN, read
from carrousel.data.vocabulary import Corpus, Vocabulary, letters_of, letters_only
from carrousel.errors import UserError
from carrousel.output_layer import LOGITS
from carrousel.tasks.files import FileOptions
from carrousel.tasks.language_model.evaluate import evaluate
from carrousel.tasks.language_model.model import LanguageModel
from carrousel.tasks.language_model.sample import NO_TABLE, check_arguments, sample
from carrousel.tasks.network import NetworkOptions
from carrousel.training.options import DATA, STEP, Options, option
from carrousel.training.task import Data, Score, State, Task
from carrousel.training.trained import Trained

Self = TypeVar("Self", bound="TextOptions")


@dataclass(frozen=True)
class TextOptions(FileOptions, NetworkOptions):
    """The options of `carrousel train text`."""

    batch: int = option(32, "Places in the text that are read side by side (B).", least=1, enlarges=STEP)
    length: int = option(64, "Characters in a step, through which errors flow back (T).", least=1, enlarges=STEP)
    stdlib: bool = option(False, "Train on the source of Python's own standard library.", DATA)
    letters: bool = option(False, "Letters only, in lower case; everything else becomes a blank.", DATA)
    characters: int | None = option(None, "Use only so many characters, from the start.", DATA, least=1)

    @property
    def has_data(self) -> bool:
        """Whether the options name a text to train on."""
        return self.stdlib or super().has_data

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open.

        Raises:
            UserError: no text or two kinds of text are named, or a value is not allowed.
        """
        if self.stdlib and self.files:
            raise UserError("--stdlib and files are both texts to train on: give one of them")
        if not self.has_data:
            raise UserError("no text to train on: name one or more files, - for stdin, or give --stdlib")
        return super().complete()


class Text(Task):
    """The task `text`."""

    name = "text"
    summary = "Train a character language model on text."
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("book.txt --out runs/book", "trains for 12 minutes and validates on the last tenth of the book"),
        ("--stdlib --epochs 3 --cell gru --out runs/gru", "trains a GRU on Python's standard library"),
    )
    unit = "characters"
    loss_unit = "nats a character"
    batch_axes: ClassVar[tuple[int, ...]] = (1, 1)
    less_data = "train on a smaller text"
    options: ClassVar[type[Options]] = TextOptions

    def data(self, options: TextOptions, device: torch.device) -> Data:
        """The text that the options name: read, cleaned, cut to its first characters, split."""
        return new_data(read_corpus(options), options, device)

    def model(self, options: TextOptions, facts: dict[str, Any]) -> LanguageModel:
        """A model with new weights for these symbols."""
        return LanguageModel(len(facts["symbols"]), options)

    def loss(self, model: LanguageModel, batch: tuple[Tensor, Tensor], state: State) -> tuple[Tensor, State]:
        """The mean of -ln p(character) over a window [T, B], in nats, and the state after it."""
        x, y = batch
        features, state = model.features(x, state)
        return model.losses(features, y), state

    def measure(self, model: LanguageModel, valid: Tensor, sample: int | None = None) -> Score:
        """How well a model predicts a text [N]."""
        return evaluate(model, valid, sample, self.unit)

    def numbers_in_step(self, options: TextOptions, facts: dict[str, Any]) -> int:
        """The outputs of each layer, and the logits of some rows."""
        V = len(facts["symbols"])
        return options.units * options.layers * options.hidden + V * min(options.units, max(1, LOGITS // V))

    def numbers(self, score: Score) -> dict[str, float]:
        """A score in nats, in bits and as perplexity: how many equally likely characters would be as hard."""
        return {
            "nats_per_char": score.loss,
            "bits_per_char": score.loss / math.log(2),
            "perplexity": math.exp(min(score.loss, 700.0)),  # 700: the end of float64
            "characters": score.count,
        }

    def describe(self, numbers: dict[str, float]) -> str:
        """What `numbers` returned, in a few words for people."""
        words = "{nats_per_char:.4f} nats a character  {bits_per_char:.4f} bits  perplexity {perplexity:.3f}"
        return words.format(**numbers)

    def read(self, trained: Trained, file: str, encoding: str, device: torch.device) -> Tensor:
        """The text of a file [N] in the model's symbols.

        Raises:
            UserError: it cannot be read, or has a character that the model does not know.
        """
        return encode(trained, read(file, encoding), "stdin" if file == STDIN else file).to(device)

    def predict(self, trained: Trained, file: str, encoding: str, device: torch.device) -> Iterator[dict[str, Any]]:
        """Refuse: a language model has no table of predictions."""
        raise UserError(NO_TABLE)

    def generate(self, trained: Trained, prompt: str, length: int, temperature: float, seed: int) -> Iterator[str]:
        """The text after a prompt, character by character; after no prompt, as if a line had just ended.

        Args:
            trained: a model of this task.
            prompt: it is read first, and not returned.
            length: how many characters are returned.
            temperature: the logits are divided by it: below 1 text is more likely, above 1 less. 0: always the most
                likely character.
            seed: the same seed gives the same text.

        Raises:
            UserError: the prompt has a character that the model does not know, or a number is not allowed.
        """
        check_arguments(length, temperature, seed)
        vocabulary = Vocabulary(trained.facts["symbols"])
        codes = encode(trained, prompt or first_symbol(vocabulary), "the prompt")
        return (vocabulary.decode([code]) for code in sample(trained.model, codes, length, temperature, seed))


TASK = Text()


def read_corpus(options: TextOptions) -> Corpus:
    """The text that the options name, as train and validation part.

    Raises:
        UserError: it cannot be read, or a single character is left to validate on.
    """
    text, valid = read_texts(options)
    corpus = Corpus.split(text, options.valid_fraction if valid is None else valid)
    if len(corpus.valid) == 1:
        raise UserError("1 character is left to validate on, and at least 2 are needed: change --valid-fraction")
    return corpus


def read_texts(options: TextOptions) -> tuple[Iterator[str], Iterator[str] | None]:
    """The text that the options name, cleaned and cut, and the one to validate on, if there is one; in pieces."""
    files = (read_pieces(file, options.encoding) for file in options.files)
    text = iter([stdlib()]) if options.stdlib else chain.from_iterable(files)
    valid = None if options.valid is None else read_pieces(options.valid, options.encoding)
    if options.letters:
        text, valid = letters_of(text), valid and letters_of(valid)
    return text if options.characters is None else take_first(text, options.characters), valid


def new_data(corpus: Corpus, options: TextOptions, device: torch.device) -> Data:
    """A corpus as data: windows of B streams to train on, the rest to validate on."""
    streams = BatchStreams(corpus.train.to(device), options.batch, options.length)
    facts = {"symbols": corpus.vocabulary.symbols}
    return Data(streams.window, len(corpus.train), corpus.valid.to(device), facts, corpus.digest)


def encode(trained: Trained, text: str, name: str) -> Tensor:
    """The numbers of a text's characters [N], after it was cleaned as the training text was.

    Raises:
        UserError: a character that the model does not know.
    """
    cleaned = letters_only(text) if getattr(trained.options, "letters", False) else text
    return Vocabulary(trained.facts["symbols"]).encode(cleaned, name)


def first_symbol(vocabulary: Vocabulary) -> str:
    """What is read before a text without a prompt: the end of a line, a blank, or the first symbol."""
    return next(symbol for symbol in "\n " + vocabulary.symbols if symbol in vocabulary.symbols)
