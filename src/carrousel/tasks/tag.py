"""`carrousel train tag`: a tag for each word of a sentence, or for each step of a sequence.

Data: CoNLL-U, other files with a word in each line, or .npz. Model: embeddings of words and of their characters,
recurrent layers in both directions, linear or a conditional random field. Loss: cross entropy, the mean over words.
Metrics: accuracy, also of unknown words, and F1 over spans, beside the most frequent tag.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from carrousel.data.scaling import IMPUTE
from carrousel.tasks.confusion import count_confusions, draw_confusions
from carrousel.tasks.files import FileOptions
from carrousel.tasks.network import MOST
from carrousel.tasks.tagging.evaluate import evaluate, tag
from carrousel.tasks.tagging.model import LR, Tagger, TaggerOptions
from carrousel.tasks.tagging.sentences import Batch
from carrousel.tasks.tagging.sources import HeldOut, Split, hold_out, move, read, read_split
from carrousel.training.options import DATA, MODEL, STEP, WEIGHTS, Options, option
from carrousel.training.ranks import Ranks
from carrousel.training.task import Data, Score, State, Task
from carrousel.training.trained import Trained


@dataclass(frozen=True)
class TagOptions(FileOptions, TaggerOptions):
    """The options of `carrousel train tag`."""

    default_budget: ClassVar[dict[str, float]] = {"epochs": 15, "minutes": 15}

    files: tuple[str, ...] = option(
        (),
        "Sentences with tags: CoNLL-U, or columns with a word in each line and an empty line after each sentence, "
        "plain or gzip; or .npz with a tag for each step. Several are joined; - is stdin.",
        DATA,
        metavar="FILE",
        may_change=True,
    )
    valid: str | None = option(
        None, "File to validate on, instead of a part of the training data.", DATA, may_change=True
    )
    valid_fraction: float = option(
        0.1,
        "Part of the sentences to validate on: runs of neighbours, from all over the file.",
        DATA,
        least=0,
        below=1,
        range="at least 0 and below 1",
    )
    column: str | None = option(
        None, "Column of the tags: in CoNLL-U a name (default: UPOS), otherwise a number (default: the last).", DATA
    )
    word_column: int | None = option(None, "Column of the words, from 1 (default: 1; CoNLL-U: 2).", DATA, least=1)
    impute: str | None = option(
        None,
        f".npz: what replaces missing values: {', '.join(IMPUTE)}. Without it they are an error.",
        DATA,
        choices=IMPUTE,
    )
    batch: int = option(32, "Sentences side by side in a step (B).", least=1, enlarges=STEP)
    hidden: int = option(200, "Units of a layer and direction (H).", MODEL, **MOST, enlarges=WEIGHTS)
    layers: int = option(1, "Recurrent layers.", MODEL, **MOST, enlarges=WEIGHTS)
    dropout: float | None = option(
        0.5,
        "Dropout of the embeddings and of each layer's outputs.",
        MODEL,
        least=0,
        below=1,
        range="at least 0 and below 1",
    )
    lr: float | None = option(
        None, f"Highest learning rate (default: {LR:g}; sgd: 1).", least=math.ulp(0.0), range="above 0"
    )

    @property
    def reading(self) -> dict[str, Any]:
        """The options of the readers."""
        return {name: getattr(self, name) for name in ("encoding", "column", "word_column")}


class Tag(Task):
    """The task `tag`."""

    name = "tag"
    summary = "Train a tagger: a tag for each word of a sentence, or for each step of a sequence."
    details = "In .npz files a sequence is what is called a sentence here, and a step is a word."
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("train.conllu --valid dev.conllu --out runs/pos", "learns the parts of speech (UPOS)"),
        ("train.conll --crf --out runs/names", "learns the last column, for example B-PER, and prints F1 over spans"),
    )
    unit = "sentences"
    loss_unit = "nats a word"
    sample = 1000
    less_data = "train on fewer or shorter sentences"
    options: ClassVar[type[Options]] = TagOptions

    def data(self, options: TagOptions, device: torch.device) -> Data:
        """The files that the options name: read, numbered and split."""
        source = (options.files, options.valid, options.valid_fraction, options.seed, options.impute, options.reading)
        found: Split = read_split(*source, device)
        return found.to_data(options.batch, options.seed)

    def model(self, options: TagOptions, facts: dict[str, Any]) -> Tagger:
        """A model with new weights for these words, characters and tags."""
        return Tagger(facts, options)

    def loss(self, model: Tagger, batch: Batch, state: State) -> tuple[Tensor, State]:
        """The mean of -ln p(tag) over the words of a batch, in nats; with a CRF, of -ln p(tags of a sentence)."""
        return model.head.loss(model(batch), batch.targets, batch.offsets) / len(batch.targets), ()

    def share(self, batch: Batch, ranks: Ranks) -> tuple[Batch, float]:
        """The sentences of a batch that one of several processes trains on, and their part of the words."""
        part = batch.part(*ranks.part(len(batch.offsets) - 1))
        return part, len(part.targets) / len(batch.targets)

    def measure(self, model: Tagger, valid: HeldOut, sample: int | None = None) -> Score:
        """Loss, accuracy and F1 over spans of a model, and those of the most frequent tag."""
        return evaluate(model, valid, sample)

    def numbers_in_step(self, options: TagOptions, facts: dict[str, Any]) -> int:
        """The outputs of each layer and direction for sentences of mean length; with a CRF each pair of tags there."""
        pairs = len(facts["tags"]) ** 2 if options.crf else 0
        return math.ceil(options.units * facts["mean_length"]) * (2 * options.layers * options.hidden + pairs)

    def describe(self, numbers: dict[str, float]) -> str:
        """What `numbers` returned, in a few words for people."""
        words = [f"loss {numbers['loss']:.4f} {self.loss_unit}"]
        if "accuracy" in numbers:
            unknown = f" (unknown words {numbers['unknown_accuracy']:.2%})" if "unknown_accuracy" in numbers else ""
            words.append(f"accuracy {numbers['accuracy']:.2%}{unknown}")
        if "span_f1" in numbers:
            words.append(f"F1 over spans {numbers['span_f1']:.2%}")
        if "most_frequent_accuracy" in numbers:
            f1 = f", F1 {numbers['most_frequent_span_f1']:.2%}" if "most_frequent_span_f1" in numbers else ""
            words.append(f"(baseline: most frequent tag {numbers['most_frequent_accuracy']:.2%}{f1})")
        return "  ".join(words)

    def pictures(self, model: Tagger, data: Data) -> dict[str, bytes]:
        """Which tags of the validation data are taken for which."""
        held_out, tags = data.valid, data.facts["tags"]
        if not isinstance(held_out, HeldOut) or not len(held_out):
            return {}
        batch, predicted, _, _ = tag(model, held_out.sentences)
        counts = count_confusions(batch.targets.cpu().numpy(), predicted.cpu().numpy(), len(tags))
        title = f"validation, {counts.trace():,} of {len(predicted):,} words right"
        return {"confusion.png": draw_confusions(counts, tags, title)}

    def read(self, trained: Trained, file: str, encoding: str, device: torch.device) -> HeldOut:
        """The sentences of a file with their tags.

        Raises:
            UserError: it cannot be read, is of another kind than the training data, or has other tags.
        """
        options: Any = trained.options
        return hold_out(read([file], {**options.reading, "encoding": encoding}), trained.facts, options.impute, device)

    def predict(self, trained: Trained, file: str, encoding: str, device: torch.device) -> Iterator[dict[str, Any]]:
        """For each word of a file the number of its sentence, its most likely tag, and the probability of the tag."""
        options: Any = trained.options
        found = read([file], {**options.reading, "encoding": encoding}, needs_tags=False)
        nothing = np.zeros(int(found.lengths.sum()), np.int64)
        sentences, _ = found.encode(nothing, trained.facts, options.impute)
        model: Any = trained.model.to(device)
        _, predicted, probability, _ = tag(model, move(sentences, device), with_probability=True)
        tags = trained.facts["tags"]
        for row, number, chance in zip(found.rows(), predicted.tolist(), probability.tolist()):
            yield {**row, "predicted": tags[number], "probability": float(f"{chance:.6g}")}


TASK = Tag()
