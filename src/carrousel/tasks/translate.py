"""`carrousel train translate`: texts of one language into another.

Data: pairs of texts, a tab between them, cut into subwords of both languages. Model: recurrent layers that read the
source in both directions, recurrent layers that write the translation, and attention. Loss: cross entropy of each next
subword. Metrics: chrF and BLEU, beside those of copying the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from carrousel.data.buckets import Buckets
from carrousel.data.pairs import read_pairs
from carrousel.data.read_sequences import name_file
from carrousel.data.subwords import Subwords
from carrousel.data.symbol_pairs import PairBatch, SymbolTexts
from carrousel.output_layer import linear_cross_entropy
from carrousel.tasks.files import FileOptions
from carrousel.tasks.translation.attention import draw_attention, measure_attention
from carrousel.tasks.translation.evaluate import evaluate, load_metrics
from carrousel.tasks.translation.held_out import HeldOut
from carrousel.tasks.translation.model import Translator, TranslatorOptions
from carrousel.tasks.translation.sources import Reading, describe_skipped, encode, find_overlap, read_split
from carrousel.tasks.translation.texts import read_texts
from carrousel.tasks.translation.translate import translate
from carrousel.training.options import DATA, RUN, STEP, Options, option
from carrousel.training.ranks import Ranks
from carrousel.training.task import Data, Score, State, Task
from carrousel.training.trained import Trained


@dataclass(frozen=True)
class TranslateOptions(FileOptions, TranslatorOptions):
    """The options of `carrousel train translate`."""

    default_budget: ClassVar[dict[str, float]] = {"epochs": 40, "minutes": 12}  # a small file is learned in less time

    files: tuple[str, ...] = option(
        (),
        "Pairs, one a line with a tab between them, plain or gzip; several files are joined; - is stdin.",
        DATA,
        metavar="FILE",
        may_change=True,
    )
    columns: tuple[int, int] = option((1, 2), "The columns of source and translation, from 1.", DATA)
    valid: str | None = option(
        None, "File of pairs to validate on, instead of a part of the sources.", DATA, may_change=True
    )
    valid_fraction: float = option(
        0.05,
        "Part of the different sources to validate on; capitals, blanks and punctuation make no difference.",
        DATA,
        least=0,
        below=1,
        range="at least 0 and below 1",
    )
    longest: int = option(100, "Pairs with more subwords on a side do not train.", DATA, least=1)
    batch: int = option(64, "Pairs side by side in a step (B).", least=1, enlarges=STEP)
    beam: int = option(
        5, "Hypotheses of beam search, where texts are translated; 1: greedy search.", RUN, least=1, below=1001,
        range="from 1 to 1,000", may_change=True,
    )  # fmt: skip

    @property
    def reading(self) -> Reading:
        """How pairs are read."""
        return Reading(self.columns, self.encoding, self.valid_fraction, self.seed, self.longest, self.beam)


class Translate(Task):
    """The task `translate`."""

    name = "translate"
    summary = "Train a translator on pairs of texts."
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("fra-eng.txt --out runs/french", "translates the first column into the second"),
        ("fra-eng.txt --columns 2 1 --out runs/english", "translates the second column into the first"),
    )
    unit = "pairs"
    loss_unit = "nats a subword"
    sample = 2000
    batch_axes: ClassVar[tuple[int, ...]] = (1, 0, 1, 0)
    less_data = "train on fewer pairs"
    options: ClassVar[type[Options]] = TranslateOptions

    def data(self, options: TranslateOptions, device: torch.device) -> Data:
        """The files that the options name: read, split by source, cut into subwords."""
        load_metrics()  # a library that is missing is reported before the minutes of training
        found = read_split(options.files, options.valid, options.vocabulary, options.reading, device)
        buckets = Buckets(found.train.order_by_length().cpu(), options.batch, options.seed)

        def batch(step: int) -> PairBatch:
            return found.train.select(buckets.take(step).to(device)).to_batch()

        return Data(batch, len(found.train), found.held_out, found.facts, found.digest, found.notes)

    def model(self, options: TranslateOptions, facts: dict[str, Any]) -> Translator:
        """A model with new weights for these subwords."""
        return Translator(len(Subwords.from_json(facts["subwords"])), options)

    def loss(self, model: Translator, batch: PairBatch, state: State) -> tuple[Tensor, State]:
        """The mean of -ln p(subword) over the targets of a batch, in nats."""
        features, targets = model.features(batch)
        smoothing = model.smoothing if model.training else 0.0
        return linear_cross_entropy(features, model.table, targets, model.bias, label_smoothing=smoothing), ()

    def share(self, batch: PairBatch, ranks: Ranks) -> tuple[PairBatch, float]:
        """The pairs of a batch that one of several processes trains on, and their part of the target's subwords."""
        parts, _ = super().share(batch, ranks)
        part = PairBatch(*parts)
        return part, (part.target_lengths.sum() / batch.target_lengths.sum()).item()

    def measure(self, model: Translator, valid: HeldOut, sample: int | None = None) -> Score:
        """The loss of a model; of all data also chrF and BLEU, beside those of copying the source."""
        return evaluate(model, valid, sample)

    def numbers_in_step(self, options: TranslateOptions, facts: dict[str, Any]) -> int:
        """The outputs of each layer for targets of the mean length."""
        return int(options.units * facts["mean_length"] * options.layers * options.hidden)

    def describe(self, numbers: dict[str, float]) -> str:
        """What `numbers` returned, in a few words for people."""
        words = [f"loss {numbers['loss']:.4f} {self.loss_unit}"]
        if "chrf" in numbers:
            words += [f"chrF {numbers['chrf']:.1f}", f"BLEU {numbers['bleu']:.1f}"]
            words += ["({translated:,} sources translated; copying them: chrF {copy_chrf:.1f}, BLEU {copy_bleu:.1f})"
                      .format(**numbers)]  # fmt: skip
        return "  ".join(words)

    def pictures(self, model: Translator, data: Data) -> dict[str, bytes]:
        """Where the translations of three validation sources look."""
        if not isinstance(data.valid, HeldOut) or not len(data.valid):
            return {}
        return {"attention.png": draw_attention(measure_attention(model, data.valid))}

    def read(self, trained: Trained, file: str, encoding: str, device: torch.device) -> HeldOut:
        """The pairs of a file, and whether the model was trained on some of them.

        Raises:
            UserError: it cannot be read.
        """
        options: Any = trained.options
        pairs = read_pairs(file, columns=options.columns, encoding=encoding)
        subwords, name = Subwords.from_json(trained.facts["subwords"]), name_file(file)
        notes = describe_skipped(pairs.skipped, name)
        notes += find_overlap(options.files, options.valid, options.reading, pairs.sources, name)
        encoded = encode(subwords, pairs, device)
        return HeldOut(encoded, pairs.sources, pairs.targets, subwords, options.beam, notes=tuple(notes))

    def predict(self, trained: Trained, file: str, encoding: str, device: torch.device) -> Iterator[dict[str, Any]]:
        """For each line of a file the source, its translation, and the mean of ln p of a subword of it."""
        options: Any = trained.options
        model: Any = trained.model.to(device)
        texts = read_texts(file, options.columns[0], encoding)
        subwords = Subwords.from_json(trained.facts["subwords"])
        symbols, lengths = subwords.encode(texts)
        sources = SymbolTexts.join(symbols, lengths, device)
        filled = torch.from_numpy(np.flatnonzero(lengths)).to(device)
        found = translate(model, sources.select(filled), options.beam)
        translated = dict(zip(filled.tolist(), zip(subwords.decode([each.symbols for each in found]), found)))
        for index, text in enumerate(texts):
            if index in translated:
                translation, hypothesis = translated[index]
                yield {"source": text, "translation": translation, "score": float(f"{hypothesis.score:.6g}")}
            else:  # an empty line: rows and lines stay side by side
                yield {"source": "", "translation": "", "score": None}


TASK = Translate()
