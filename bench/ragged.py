"""Training a classifier on labelled sequences: ours through `lengths` beside torch.nn.LSTM on packed sequences.

Both sides start with the same weights, and have the same batches, loss and optimiser; only the recurrent layer and the
way in which it gets the lengths differ. They take turns of whole passes over the training data, which are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carrousel.bench.clock import medians, set_threads
from carrousel.bench.measurement import Measurement
from carrousel.tasks.classification.model import Classifier
from carrousel.tasks.classify import TASK, ClassifyOptions

TITLE = "training on ragged sequences, a pass over the data: ratio = the rival's time / ours, higher is better"
TARGET = 2.0

Batch = tuple[Tensor, Tensor, Tensor]  # x [T, B, F], lengths [B], classes [B]


class Packed(nn.Module):
    """torch.nn.LSTM on packed sequences, called as our layers are by `tasks/classification/model.py`."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm
        self.bidirectional = lstm.bidirectional

    def forward(self, x: Tensor, lengths: Tensor, padding_value: float = 0.0) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs [T, B, D*H], padded, and the final states."""
        y, hx = self.lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y, padding_value=padding_value)[0], hx


def measure(files: Sequence[str], threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Time passes over the data with the default options of `train classify`.

    Args:
        files: labelled sequences.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`.

    Raises:
        UserError: the files cannot be read.
    """
    options = ClassifyOptions(files=tuple(files), valid_fraction=0.0).complete()
    data = TASK.data(options, torch.device("cpu"))
    batches: list[Batch] = [data.batch(step) for step in range(max(1, data.size // options.batch))]
    ours, theirs = new_models(options, data.facts)
    steps = sum(int(lengths.sum()) for _, lengths, _ in batches)
    shape = f"{data.size} sequences, {len(data.facts['channels'])} channels, H{options.hidden}, {steps} steps"
    for count in set_threads(threads):
        times = medians([one_pass(model, batches, options) for model in (ours, theirs)], seconds, repeat)
        where = ("ragged", f"{options.cell}, {options.directions} directions", shape, count)
        yield Measurement(*where, "carrousel", times[0], "ms")
        yield Measurement(*where, "torch.nn, packed", times[1], "ms", times[1] / times[0], TARGET)


def new_models(options: ClassifyOptions, facts: dict[str, Any]) -> tuple[Classifier, Classifier]:
    """Ours, and the same with torch's layer and the same weights."""
    torch.manual_seed(0)
    ours, theirs = TASK.model(options, facts), TASK.model(options, facts)
    theirs.load_state_dict(ours.state_dict())
    lstm = nn.LSTM(len(facts["channels"]), options.hidden, options.layers, bidirectional=options.directions == "both")
    lstm.load_state_dict(ours.recurrent.state_dict())
    theirs.recurrent = Packed(lstm)
    return ours, theirs


def one_pass(model: Classifier, batches: Sequence[Batch], options: ClassifyOptions) -> Callable[[], None]:
    """A function that trains a model on all batches once."""
    optimizer = torch.optim.AdamW(model.parameters(), options.lr or 0.0, fused=True)

    def train() -> None:
        for x, lengths, targets in batches:
            optimizer.zero_grad()
            cross_entropy(model(x, lengths), targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), options.clip)
            optimizer.step()

    return train
