"""Training on sequences of any length: ours through `lengths` or `offsets` beside torch.nn.LSTM on packed sequences.

Both sides start with the same weights, and have the same batches, loss and optimiser; only the recurrent layers and the
way in which they get the lengths differ. They take turns of whole passes over the training data, which are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from carrousel.bench.clock import medians, set_threads
from carrousel.bench.measurement import Measurement
from carrousel.tasks import ALL
from carrousel.training.options import Options
from carrousel.training.task import Task

TITLE = "training on ragged sequences, a pass over the data: ratio = the rival's time / ours, higher is better"
TARGET = 2.0
TAGGED = (".conllu", ".conll")  # names of files for `train tag`, plain or gzip; the others are for `train classify`


class Packed(nn.Module):
    """torch.nn.LSTM on packed sequences, called as our layers are by the models of the tasks."""

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.lstm = lstm
        self.bidirectional = lstm.bidirectional

    def forward(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        offsets: Tensor | None = None,
        padding_value: float = 0.0,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Outputs and the final states.

        Args:
            x: padded [T, B, I] with `lengths`, or end to end [N, I] with `offsets`; the outputs are as the input.
            lengths: steps of each sequence [B].
            offsets: where each sequence begins, and where the last one ends [B + 1].
            padding_value: of the outputs beyond a sequence's end.
        """
        if offsets is None:
            assert lengths is not None
            y, hx = self.lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))
            return pad_packed_sequence(y, padding_value=padding_value)[0], hx
        packed, places = pack(x, offsets)
        y, hx = self.lstm(packed)
        return torch.empty_like(y.data).index_copy(0, places, y.data), hx


def pack(x: Tensor, offsets: Tensor) -> tuple[PackedSequence, Tensor]:
    """Pack sequences end to end [N, I] without padding them, and the place in x of each packed step [N]."""
    lengths, order = offsets.diff().sort(descending=True, stable=True)
    steps = torch.arange(int(lengths[0]))[:, None]
    is_step = steps < lengths
    places = (offsets[:-1][order] + steps)[is_step]
    return PackedSequence(x[places], is_step.sum(1), order, order.argsort()), places


def measure(files: Sequence[str], threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Time passes over the data with the default options of `train classify`, or of `train tag`.

    Args:
        files: labelled sequences; or sentences with tags, in files named .conllu or .conll.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`.

    Raises:
        UserError: the files cannot be read.
    """
    is_tagged = files[0].lower().removesuffix(".gz").endswith(TAGGED)
    task = ALL["tag" if is_tagged else "classify"]
    options: Any = task.options(files=tuple(files), valid_fraction=0.0).complete()  # type: ignore[call-arg]
    data = task.data(options, torch.device("cpu"))
    batches = [data.batch(step) for step in range(max(1, data.size // options.batch))]
    ours, theirs = new_models(task, options, data.facts)
    steps = sum(len(batch.x) if is_tagged else int(batch[1].sum()) for batch in batches)
    shape = f"{data.size} {task.unit}, H{options.hidden}, {steps} {'words' if is_tagged else 'steps'}"
    for count in set_threads(threads):
        times = medians([one_pass(task, model, batches, options) for model in (ours, theirs)], seconds, repeat)
        where = ("ragged", f"{task.name}, {options.cell}", shape, count)
        yield Measurement(*where, "carrousel", times[0], "ms")
        yield Measurement(*where, "torch.nn, packed", times[1], "ms", times[1] / times[0], TARGET)


def new_models(task: Task, options: Options, facts: dict[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Ours, and the same with torch's layers and the same weights."""
    torch.manual_seed(0)
    ours, theirs = task.model(options, facts), task.model(options, facts)
    theirs.load_state_dict(ours.state_dict())
    for name, layer in list(theirs.named_modules()):
        if hasattr(layer, "weight_hh_l0"):
            parent = theirs.get_submodule(name.rpartition(".")[0])
            setattr(parent, name.rpartition(".")[2], Packed(to_torch(layer)))
    return ours, theirs


def to_torch(layer: Any) -> nn.LSTM:
    """torch.nn.LSTM with the sizes and weights of one of ours."""
    sizes = (layer.input_size, layer.hidden_size, layer.num_layers)
    lstm = nn.LSTM(*sizes, dropout=layer.dropout, bidirectional=layer.bidirectional)
    lstm.load_state_dict(layer.state_dict())
    return lstm


def one_pass(task: Task, model: nn.Module, batches: Sequence[Any], options: Any) -> Callable[[], None]:
    """A function that trains a model on all batches once."""
    optimizer = torch.optim.AdamW(model.parameters(), options.lr or 0.0, fused=True)

    def train() -> None:
        for batch in batches:
            optimizer.zero_grad()
            task.loss(model, batch, ())[0].backward()
            nn.utils.clip_grad_norm_(model.parameters(), options.clip)
            optimizer.step()

    return train
