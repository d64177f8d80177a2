"""Training a translator in the same minutes: ours beside torch.nn.LSTM, with the default options of `train translate`.

Both sides start with the same weights, and have the same batches, schedule and optimiser; the recurrent layers and the
loss of the output layer differ. They take turns until each has trained for the same time. Then chrF of both is measured
on sources that did not train, by the same beam search.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from bench.rivals.translator import TorchTranslate, to_ours
from carrousel.bench.measurement import Measurement
from carrousel.tasks.translate import TASK, TranslateOptions
from carrousel.tasks.translation.evaluate import evaluate
from carrousel.training.trainer import Trainer

TITLE = "training a translator for the same time: ratio = our steps / the rival's, and our chrF - the rival's"
TARGET = 1.0  # chrF
TURN = 2.0  # seconds


class Side:
    """One side in training, with its own clock."""

    def __init__(self, task: Any, options: TranslateOptions, data: Any) -> None:
        self.options = options
        self.trainer = Trainer(task, options, data, torch.device("cpu"))
        self.trainer.model.train()
        self.seconds = 0.0

    def train(self, end: float, whole: float) -> None:
        """Train until its clock shows `end`, of a run of `whole` seconds."""
        while self.seconds < end:
            start = time.perf_counter()
            self.trainer.advance(self.seconds / whole)
            self.seconds += time.perf_counter() - start


def measure(files: Sequence[str], seconds: float, **options: Any) -> Iterator[Measurement]:
    """Train both sides for so many seconds each, and measure them.

    Args:
        files: pairs, as for `train translate`.
        seconds: of training, for each side.
        options: of `train translate`, instead of its defaults.

    Raises:
        UserError: the files cannot be read.
    """
    chosen = TranslateOptions(files=tuple(files), **options).complete()
    data = TASK.data(chosen, torch.device("cpu"))
    sides = {"carrousel": Side(TASK, chosen, data), "torch.nn": Side(TorchTranslate(), chosen, data)}
    end = 0.0
    while end < seconds:
        end = min(seconds, end + TURN)
        for side in sides.values():
            side.train(end, seconds)
    shape = f"{data.size} pairs, H{chosen.hidden}-E{chosen.embedding}-V{chosen.vocabulary}-B{chosen.batch}"
    where = (shape, torch.get_num_threads())
    rates = {who: side.trainer.step / side.seconds for who, side in sides.items()}
    for who, rate in rates.items():
        ratio = None if who == "carrousel" else rates["carrousel"] / rate
        yield Measurement("translate", "steps", *where, who, rate, "steps a second", ratio)
    scores = {who: measure_chrf(side, data) for who, side in sides.items()}
    for who, score in scores.items():
        what = f"after {seconds:g} s each"
        more = (None, None) if who == "carrousel" else (scores["carrousel"] - score, TARGET)
        yield Measurement("translate", what, *where, who, score, "chrF", *more)


def measure_chrf(side: Side, data: Any) -> float:
    """chrF of the validation part; both sides translate through our layers."""
    model = TASK.model(side.options, data.facts)
    model.load_state_dict(to_ours(side.trainer.model))  # type: ignore[arg-type]
    return evaluate(model, data.valid).more["chrf"]
