"""`carrousel train words`: a language model that predicts each next word of a text.

Data: files, as words between blanks and <eos> at each line's end, cut into B streams that are read T words at a time.
Model: embedding, recurrent layers, the embedding again. Loss: -ln p(word), in nats. Metrics: perplexity with and
without <eos>, beside the perplexities of counted words and pairs of words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from carrousel.data.batch_streams import BatchStreams
from carrousel.data.text import STDIN
from carrousel.data.words import END_OF_LINE, REPLACED, REPLACED_LATER, WordCorpus, WordVocabulary, read_corpus
from carrousel.errors import UserError
from carrousel.output_layer import LOGITS
from carrousel.tasks.files import FileOptions
from carrousel.tasks.language_model.held_out import HeldOutText
from carrousel.tasks.language_model.improved import draw_improved
from carrousel.tasks.language_model.sample import NO_TABLE, check_arguments, sample
from carrousel.tasks.language_model.word_model import WordModel, WordModelOptions
from carrousel.tasks.language_model.word_scores import LARGEST, measure_words
from carrousel.training.options import DATA, STEP, Options, option
from carrousel.training.task import Data, Score, State, Task
from carrousel.training.trained import Trained

UNK, EOS = 0, 1  # their numbers
NO_BASELINES = "no baselines: the training text is not where it was, or has changed"


@dataclass(frozen=True)
class WordOptions(FileOptions, WordModelOptions):
    """The options of `carrousel train words`."""

    default_budget: ClassVar[dict[str, float]] = {"minutes": 40}

    batch: int = option(20, "Places in the text that are read side by side (B).", least=1, enlarges=STEP)
    length: int = option(35, "Words in a step, through which errors flow back (T).", least=1, enlarges=STEP)
    lr: float | None = option(0.003, "Highest learning rate (sgd: try 1).", least=math.ulp(0.0), range="above 0")
    vocabulary: int | None = option(50_000, "Most words that are known; the others become `<unk>`.", DATA, least=3)
    min_count: int | None = option(
        None, "Words that are there less often become `<unk>` (default: 2; 1 if the text has `<unk>`).", DATA, least=1
    )


class Words(Task):
    """The task `words`."""

    name = "words"
    summary = "Train a word language model on text."
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("book.txt --out runs/book", "trains for 40 minutes and validates on the last tenth of the book"),
        ("train.txt --valid valid.txt --minutes 10 --out runs/words", "validates on another file"),
    )
    unit = "words"
    loss_unit = "nats a word"
    sample = 20_000
    batch_axes: ClassVar[tuple[int, ...]] = (1, 1)
    less_data = "train on a smaller text, or give a lower --vocabulary"
    options: ClassVar[type[Options]] = WordOptions

    def data(self, options: WordOptions, device: torch.device) -> Data:
        """The text that the options name: read, numbered, split."""
        corpus = read_words(options)
        digest = corpus.digest()
        train = torch.from_numpy(corpus.train).to(device)
        streams = BatchStreams(train, options.batch, options.length, self.unit)
        held_out = HeldOutText(torch.from_numpy(corpus.valid).to(device), corpus.train)
        facts = {"words": list(corpus.vocabulary.words), "source": digest}
        return Data(streams.window, len(train), held_out, facts, digest, describe_vocabulary(corpus))

    def model(self, options: WordOptions, facts: dict[str, Any]) -> WordModel:
        """A model with new weights for these words."""
        return WordModel(len(facts["words"]), options)

    def loss(self, model: WordModel, batch: tuple[Tensor, Tensor], state: State) -> tuple[Tensor, State]:
        """The mean of -ln p(word) over a window [T, B], in nats, and the state after it."""
        x, y = batch
        features, state = model.features(x, state)
        return model.losses(features, y), state

    def measure(self, model: WordModel, valid: HeldOutText, sample: int | None = None) -> Score:
        """Loss and perplexity of a model, and the perplexities of the baselines."""
        return measure_words(model, valid, EOS, sample).score()

    def numbers_in_step(self, options: WordOptions, facts: dict[str, Any]) -> int:
        """The outputs of each layer, and the logits of some rows."""
        V = len(facts["words"])
        return options.units * options.layers * options.hidden + V * min(options.units, max(1, LOGITS // V))

    def numbers(self, score: Score) -> dict[str, float]:
        """A score in nats and as perplexities."""
        perplexity = math.exp(min(score.loss, LARGEST))
        return {"nats_per_word": score.loss, "perplexity": perplexity, **score.more, self.unit: score.count}

    def describe(self, numbers: dict[str, float]) -> str:
        """What `numbers` returned, in a few words for people."""
        found = [f"perplexity {numbers['perplexity']:.2f}"]
        if "perplexity_without_eos" in numbers:
            found.append(f"without {END_OF_LINE} {numbers['perplexity_without_eos']:.2f}")
        if "bigram_perplexity" in numbers:
            one, two = numbers["unigram_perplexity"], numbers["bigram_perplexity"]
            found.append(f"(baselines, counted: words {one:.1f}, pairs of words {two:.1f})")
        return "  ".join(found)

    def pictures(self, model: WordModel, data: Data) -> dict[str, bytes]:
        """The words of the validation part that the model predicts better than counted pairs do."""
        if not isinstance(data.valid, HeldOutText) or not len(data.valid):
            return {}
        return {"words.png": draw_improved(measure_words(model, data.valid, EOS), data.facts["words"])}

    def read(self, trained: Trained, file: str, encoding: str, device: torch.device) -> HeldOutText:
        """The words of a file, with the training text, if it is still there, for the baselines.

        Raises:
            UserError: it cannot be read.
        """
        codes, replaced = WordVocabulary(tuple(trained.facts["words"])).encode(file, encoding)
        notes = [f"{replaced:,} of {len(codes):,} words are <unk> to this model"] if replaced else []
        train = read_again(trained)
        if train is None:
            notes.append(NO_BASELINES)
        return HeldOutText(torch.from_numpy(codes).to(device), train, tuple(notes))

    def predict(self, trained: Trained, file: str, encoding: str, device: torch.device) -> Iterator[dict[str, Any]]:
        """Refuse: a language model has no table of predictions."""
        raise UserError(NO_TABLE)

    def generate(self, trained: Trained, prompt: str, length: int, temperature: float, seed: int) -> Iterator[str]:
        """The text after a prompt, word by word, without <unk>; after no prompt, as if a line had just ended.

        Args:
            trained: a model of this task.
            prompt: it is read first, and not returned.
            length: how many words are returned.
            temperature: the logits are divided by it; 0: always the most likely word.
            seed: the same seed gives the same text.

        Raises:
            UserError: a word of the prompt is not in the vocabulary, or a number is not allowed.
        """
        check_arguments(length, temperature, seed)
        vocabulary = WordVocabulary(tuple(trained.facts["words"]))
        codes = encode(vocabulary, prompt)
        return spell(vocabulary, sample(trained.model, codes, length, temperature, seed, never=UNK), prompt)


TASK = Words()


def read_words(options: WordOptions) -> WordCorpus:
    """The text that the options name, as training and validation part.

    Raises:
        UserError: it cannot be read, or a single word is left to validate on.
    """
    valid = options.valid_fraction if options.valid is None else options.valid
    sizes = {"vocabulary": options.vocabulary, "min_count": options.min_count}
    corpus = read_corpus(options.files, valid=valid, encoding=options.encoding, **sizes)
    if len(corpus.valid) == 1:
        raise UserError("1 word is left to validate on, and at least 2 are needed: change --valid-fraction")
    return corpus


def read_again(trained: Trained) -> NDArray[np.int32] | None:
    """The words that a model was trained on; None if their files are gone or have changed."""
    options: Any = trained.options
    if STDIN in (*options.files, options.valid):
        return None
    with suppress(UserError):
        corpus = read_words(options)
        return corpus.train if corpus.digest() == trained.facts["source"] else None
    return None


def describe_vocabulary(corpus: WordCorpus) -> tuple[str, ...]:
    """How many words are known, and how many were replaced, a line each."""
    known = f"{len(corpus.vocabulary):,} different words are known, by the text to train on"
    sizes = {REPLACED: len(corpus.train), REPLACED_LATER: len(corpus.valid)}
    skipped = [f"{name}: {n:,} of {sizes[name]:,} ({n / sizes[name]:.1%})" for name, n in corpus.skipped.items()]
    return (known, *skipped)


def encode(vocabulary: WordVocabulary, prompt: str) -> Tensor:
    """The numbers of a prompt's words [N]; <eos> if there are none.

    Raises:
        UserError: a word is not in the vocabulary.
    """
    words = prompt.replace("\n", f" {END_OF_LINE} ").split() or [END_OF_LINE]
    unknown = [word for word in words if word not in vocabulary.numbers]
    if unknown:
        raise UserError(
            f"the prompt has the word {unknown[0]!r}, which the model does not know: use another; words stand between "
            "blanks, and capital letters count"
        )
    return torch.tensor([vocabulary.numbers[word] for word in words])


def spell(vocabulary: WordVocabulary, codes: Iterator[int], prompt: str) -> Iterator[str]:
    """Words as text, a blank before each that does not start a line."""
    starts_line = not prompt or prompt[-1].isspace()
    for code in codes:
        is_end = code == EOS
        yield "\n" if is_end else vocabulary.words[code] if starts_line else f" {vocabulary.words[code]}"
        starts_line = is_end
