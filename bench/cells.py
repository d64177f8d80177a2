"""What each kind of layer takes of our plain LSTM's time, forward+backward; and torch's way of doing the same.

A kind is an entry of `KINDS`: whoever adds an option to the layers adds one here.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from rich.table import Table
from torch import nn

from bench.rivals.layer_norm import InTorch
from bench.rivals.regularized import Loop
from carrousel import odyssey
from carrousel.bench.clock import each_number_of_threads, medians
from carrousel.bench.layers import forward_backward
from carrousel.bench.scanned import Scanned
from carrousel.bench.shapes import Shape
from carrousel.bench.table import Result, as_markdown, empty_table, milliseconds, verdict
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
    **{name: Kind(partial(getattr(odyssey, name), compile=True)) for name in odyssey.__all__},
}


@dataclass(frozen=True)
class Row(Result):
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


def chosen(names: Sequence[str]) -> list[str]:
    """The kinds of these names; all of them for none.

    Raises:
        UserError: there is no such kind.
    """
    if unknown := [name for name in names if name not in KINDS]:
        raise UserError(f"--kind {unknown[0]} is no kind of layer: take some of {', '.join(KINDS)}")
    return list(names or KINDS)


def measure(kind: str, shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Row]:
    """The rows of a kind and shape: one for each number of threads.

    Args:
        kind: its name in KINDS.
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as `clock.medians` takes them, for each row.
    """
    found = KINDS[kind]
    torch.manual_seed(0)
    layer, lstm = found.make(shape.I, shape.H, **shape.options), LSTM(shape.I, shape.H, **shape.options)
    in_torch = [found.in_torch(layer)] if shape.name in SMALL else []
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in each_number_of_threads(threads):
        ours_ms, lstm_ms = medians([forward_backward(run, x) for run in (layer, lstm)], seconds, repeat)
        # Not in turns with them: the memory that a loop leaves made the next one's calls half as slow again.
        torch_ms = [medians([forward_backward(run, x)], seconds / 3, repeat)[0] for run in in_torch]
        yield Row(kind, shape.name, count, ours_ms, lstm_ms, ours_ms / lstm_ms, found.target, *torch_ms)


def table(rows: Sequence[Row]) -> Table:
    """What each kind of layer takes of our plain LSTM's time, and what it should take at most."""
    title = "forward+backward: ratio = its time / our plain LSTM's, lower is better"
    figures = ("threads", "ms", "plain LSTM ms", "ratio", "target", "in torch operations, ms")
    table = empty_table(title, ("kind", "shape"), figures)
    for row in rows:
        table.add_row(
            *(row.kind, row.shape, str(row.threads), milliseconds(row.ours_ms), milliseconds(row.lstm_ms)),
            *(f"{row.ratio:.2f}", verdict(row.ratio <= row.target, f"at most {row.target:g}")),
            milliseconds(row.torch_ms),
        )
    return table


def markdown(rows: Sequence[Row]) -> str:
    """A line for each kind, a column for each shape: the ratio with each number of threads."""
    shapes, counts = list(dict.fromkeys(row.shape for row in rows)), sorted({row.threads for row in rows})
    lines = []
    for kind in dict.fromkeys(row.kind for row in rows):
        found = {(row.shape, row.threads): f"{row.ratio:.2f}" for row in rows if row.kind == kind}
        lines.append([kind, *(" / ".join(found[shape, count] for count in counts) for shape in shapes)])
    return as_markdown([f"kind, {' / '.join(map(str, counts))} threads"], shapes, lines)
