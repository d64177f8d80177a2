"""What each kind of layer takes of our plain LSTM's time, forward+backward; and torch's way of doing the same.

A kind is an entry of `KINDS`: whoever adds an option to the layers adds one here.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from carrousel import odyssey
from carrousel.bench.clock import medians
from carrousel.bench.layer_norm import InTorch
from carrousel.bench.layers import Scanned, forward_backward
from carrousel.bench.loops import Loop
from carrousel.bench.shapes import Shape
from carrousel.errors import UserError
from carrousel.layers import GRU, LSTM, LSTM1997, SLSTM, CoupledLSTM, LayerNormLSTM, MinGRU, MinLSTM, PeepholeLSTM

# Where a loop in torch operations does not take minutes, and is one layer in one direction.
SMALL = ("paper-T100", "forecast", "d2l")


@dataclass(frozen=True)
class Kind:
    """A layer that is measured.

    Args:
        make: the layer; called as torch.nn.LSTM is, with num_layers and bidirectional by keyword.
        target: how many times our plain LSTM's time it may take at each of the ten shapes.
        in_torch: what computes the same in torch operations, from the layer of one layer and direction. Default: its
            cell by `carrousel.scan`.
    """

    make: Callable[..., nn.Module]
    target: float = 1.3
    in_torch: Callable[[Any], nn.Module] = Scanned


def regularized(make: Callable[..., nn.Module], **rates: Any) -> Kind:
    """A layer with random masks."""
    return Kind(partial(make, **rates), in_torch=Loop)


# The probabilities are the papers'.
KINDS: dict[str, Kind] = {
    "gru": Kind(GRU),
    "peephole": Kind(PeepholeLSTM),
    "lstm1997": Kind(LSTM1997),
    "layer-norm": Kind(LayerNormLSTM, target=1.6, in_torch=InTorch),
    "coupled": Kind(CoupledLSTM),
    "mingru": Kind(MinGRU),
    "minlstm": Kind(MinLSTM),
    "slstm": Kind(SLSTM),
    "slstm-2-heads": Kind(partial(SLSTM, num_heads=2)),
    "learned-initial": Kind(partial(LSTM, learn_initial=True)),
    "recurrent-dropout": regularized(LSTM, recurrent_dropout=0.25),
    "variational-dropout": regularized(LSTM, variational_dropout=0.5),
    "zoneout": regularized(LSTM, zoneout=(0.5, 0.05)),
    "drop-connect": regularized(LSTM, drop_connect=0.5),
    "all-four": regularized(
        LSTM, recurrent_dropout=0.25, variational_dropout=0.5, zoneout=(0.5, 0.05), drop_connect=0.5
    ),
    "gru-recurrent-dropout": regularized(GRU, recurrent_dropout=0.25),
    "gru-zoneout": regularized(GRU, zoneout=0.05),
    **{name: Kind(partial(getattr(odyssey, name), compile=True)) for name in odyssey.__all__ if name != "FGR"},
}


@dataclass(frozen=True)
class Row:
    """Forward+backward of a kind of layer.

    Args:
        ours_ms: its time.
        lstm_ms: our plain LSTM's, in turns with it.
        ratio: ours_ms / lstm_ms; lower is better.
        target: what the ratio should be at most.
        torch_ms: the time in torch operations, at small shapes.
    """

    kind: str
    shape: str
    threads: int
    ours_ms: float
    lstm_ms: float
    ratio: float
    target: float
    torch_ms: float | None = None

    def json(self) -> dict[str, Any]:
        """The fields that say something."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def chosen(names: Sequence[str]) -> list[str]:
    """The kinds of these names; all of them for none.

    Raises:
        UserError: there is no such kind.
    """
    if unknown := [name for name in names if name not in KINDS]:
        raise UserError(f"--kind {unknown[0]} is no kind of layer: take some of {', '.join(KINDS)}")
    return list(names or KINDS)


def measure(kind: str, shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Row]:
    """The rows of a kind and shape: one for each number of threads, which torch is left with as it was.

    Args:
        kind: its name in KINDS.
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as `clock.medians` takes them, for each row.
    """
    before, found = torch.get_num_threads(), KINDS[kind]
    torch.manual_seed(0)
    options = {"num_layers": shape.layers, "bidirectional": shape.bidirectional}
    layer, lstm = found.make(shape.I, shape.H, **options), LSTM(shape.I, shape.H, **options)
    in_torch = [found.in_torch(layer)] if shape.name in SMALL else []
    x = torch.randn(shape.T, shape.B, shape.I)
    try:
        for count in threads:
            torch.set_num_threads(count)
            ours_ms, lstm_ms = medians([forward_backward(run, x) for run in (layer, lstm)], seconds, repeat)
            # Not in turns with them: the memory that a loop leaves made the next one's calls half as slow again.
            torch_ms = [medians([forward_backward(run, x)], seconds / 3, repeat)[0] for run in in_torch]
            yield Row(kind, shape.name, count, ours_ms, lstm_ms, ours_ms / lstm_ms, found.target, *torch_ms)
    finally:
        torch.set_num_threads(before)
