"""`carrousel train classify`: the class of a whole sequence.

Data: labelled sequences of any length, each channel scaled by the training part. Model: recurrent layers in one or both
directions, pooling over time, linear. Loss: cross entropy. Metrics: accuracy and macro F1, beside two baselines.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from carrousel.data.examples import UNKNOWN, Examples
from carrousel.data.read_sequences import name_file, read_sequences
from carrousel.data.scaling import IMPUTE
from carrousel.data.text import STDIN
from carrousel.errors import UserError
from carrousel.tasks.classification.evaluate import evaluate
from carrousel.tasks.classification.held_out import HeldOut
from carrousel.tasks.classification.model import Classifier, ClassifierOptions
from carrousel.tasks.classification.sources import hold_out, read_labelled, read_split, scale, to_examples
from carrousel.tasks.confusion import count_confusions, draw_confusions
from carrousel.tasks.files import FileOptions
from carrousel.tasks.network import MOST
from carrousel.tasks.pooled import compute_outputs, numbers_in_step
from carrousel.training.options import DATA, MODEL, WEIGHTS, Options, option
from carrousel.training.task import Data, Score, State, Task
from carrousel.training.trained import Trained

NO_BASELINES = "no baselines: the training data are not where they were, or have changed"


@dataclass(frozen=True)
class ClassifyOptions(FileOptions, ClassifierOptions):
    """The options of `carrousel train classify`."""

    default_budget: ClassVar[dict[str, float]] = {"steps": 10_000, "minutes": 12}

    files: tuple[str, ...] = option(
        (),
        "Labelled sequences: .ts, plain or gzip, a table (CSV, Parquet), .npz, or a folder of WAV files; several are "
        "joined; - is stdin, as .ts.",
        DATA,
        metavar="FILE",
        may_change=True,
    )
    valid: str | None = option(
        None, "File to validate on, instead of a part of the training data.", DATA, may_change=True
    )
    valid_fraction: float = option(
        0.1, "Part of each class to validate on.", DATA, least=0, below=1, range="at least 0 and below 1"
    )
    id: str | None = option(None, "Tables: the column that says to which sequence a row belongs.", DATA)
    time: str | None = option(None, "Tables: the column of times; without it rows stay in their order.", DATA)
    label: str | None = option(None, "Tables: the column of labels.", DATA)
    label_from: str | None = option(
        None, "WAV files: a pattern with a group that finds the label in a name; without it, the folder.", DATA
    )
    impute: str | None = option(
        None, f"What replaces missing values: {', '.join(IMPUTE)}. Without it they are an error.", DATA, choices=IMPUTE
    )
    hidden: int = option(128, "Units of a layer and direction (H).", MODEL, **MOST, enlarges=WEIGHTS)
    layers: int = option(1, "Recurrent layers.", MODEL, **MOST, enlarges=WEIGHTS)
    dropout: float | None = option(
        0.5, "Dropout of each layer's outputs.", MODEL, least=0, below=1, range="at least 0 and below 1"
    )

    @property
    def reading(self) -> dict[str, Any]:
        """The options of `read_sequences`."""
        return {name: getattr(self, name) for name in ("encoding", "id", "time", "label", "label_from")}


class Classify(Task):
    """The task `classify`."""

    name = "classify"
    summary = "Train a classifier of whole sequences of any length."
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("train.ts --out runs/vowels", "validates on a tenth of each class"),
        (
            "sensors.csv --id machine --time hour --label state --out runs/state",
            "reads a table with a row for each hour",
        ),
    )
    unit = "sequences"
    loss_unit = "nats a sequence"
    sample = 2000
    batch_axes: ClassVar[tuple[int, ...]] = (1, 0, 0)
    less_data = "train on fewer or shorter sequences"
    options: ClassVar[type[Options]] = ClassifyOptions

    def data(self, options: ClassifyOptions, device: torch.device) -> Data:
        """The files that the options name: read, numbered, split and scaled."""
        source = (options.files, options.valid, options.valid_fraction, options.seed, options.impute, options.reading)
        return read_split(*source, device).to_data(options.batch, options.seed)

    def model(self, options: ClassifyOptions, facts: dict[str, Any]) -> Classifier:
        """A model with new weights for these channels and classes."""
        return Classifier(len(facts["channels"]), len(facts["classes"]), options)

    def loss(self, model: Classifier, batch: tuple[Tensor, Tensor, Tensor], state: State) -> tuple[Tensor, State]:
        """The mean of -ln p(class) over a batch, in nats."""
        x, lengths, targets = batch
        smoothing = model.smoothing if model.training else 0.0
        return cross_entropy(model(x, lengths), targets, label_smoothing=smoothing), ()

    def measure(self, model: Classifier, valid: HeldOut, sample: int | None = None) -> Score:
        """Loss, accuracy and macro F1 of a model, and the accuracy of the baselines."""
        return evaluate(model, valid, sample)

    def numbers_in_step(self, options: ClassifyOptions, facts: dict[str, Any]) -> int:
        """The outputs of each layer and direction."""
        return numbers_in_step(options, options.units, facts["longest"])

    def describe(self, numbers: dict[str, float]) -> str:
        """What `numbers` returned, in a few words for people."""
        words = [f"loss {numbers['loss']:.4f} {self.loss_unit}"]
        if "accuracy" in numbers:
            words += [f"accuracy {numbers['accuracy']:.2%}", f"macro F1 {numbers['macro_f1']:.4f}"]
        if "most_frequent_accuracy" in numbers:
            most, nearest = numbers["most_frequent_accuracy"], numbers["nearest_neighbour_accuracy"]
            words += [f"(baselines: most frequent class {most:.2%}, nearest neighbour {nearest:.2%})"]
        return "  ".join(words)

    def pictures(self, model: Classifier, data: Data) -> dict[str, bytes]:
        """Which classes of the validation data are taken for which."""
        held_out, classes = data.valid, data.facts["classes"]
        if not isinstance(held_out, HeldOut) or not len(held_out):
            return {}
        examples = held_out.examples
        predicted = compute_outputs(model, examples).argmax(1).cpu().numpy()
        counts = count_confusions(examples.targets.cpu().numpy(), predicted, len(classes))
        title = f"validation, {counts.trace():,} of {len(held_out):,} sequences right"
        return {"confusion.png": draw_confusions(counts, classes, title)}

    def read(self, trained: Trained, file: str, encoding: str, device: torch.device) -> HeldOut:
        """The labelled sequences of a file, with the training data, if they are still there, for the baselines.

        Raises:
            UserError: it cannot be read, or has other channels or other labels.
        """
        options: Any = trained.options
        sequences = read_labelled([file], {**options.reading, "encoding": encoding})
        train = read_again(options, trained.facts, device)
        found = hold_out(sequences, name_file(file), trained.facts, options.impute, device, train)
        return found if train is not None else replace(found, notes=(*found.notes, NO_BASELINES))

    def predict(self, trained: Trained, file: str, encoding: str, device: torch.device) -> Iterator[dict[str, Any]]:
        """For each sequence of a file its name, the most likely class, and the probability of each class."""
        options: Any = trained.options
        sequences = read_sequences(file, **{**options.reading, "encoding": encoding, "needs_label": False})
        scale(sequences, name_file(file), trained.facts, options.impute)
        examples = to_examples(sequences, np.full(len(sequences), UNKNOWN), device)
        probabilities = compute_outputs(trained.model.to(device), examples).softmax(1).cpu()
        classes = trained.facts["classes"]
        for name, row in zip(sequences.names, probabilities):
            columns = {f"p({label})": float(f"{value:.6g}") for label, value in zip(classes, row.tolist())}
            yield {"name": name, "predicted": classes[int(row.argmax())], **columns}


TASK = Classify()


def read_again(options: ClassifyOptions, facts: dict[str, Any], device: torch.device) -> Examples | None:
    """The training part of a trained model's data; None if its files are gone or have changed."""
    if STDIN in options.files:
        return None
    with suppress(UserError):
        source = (options.files, None, options.valid_fraction if options.valid is None else 0.0)
        found = read_split(*source, options.seed, options.impute, options.reading, device)
        return found.train if found.facts["source"] == facts["source"] else None
    return None
