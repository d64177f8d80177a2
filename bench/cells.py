"""Every kind of layer beside our plain LSTM, forward+backward, and at small shapes beside torch operations.

A kind is an entry of `KINDS`: a new layer, or a new option of the layers, gets one here.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from bench.rivals.layer_norm import InTorch
from bench.rivals.regularized import Loop
from carrousel import odyssey
from carrousel.bench.clock import medians, set_threads
from carrousel.bench.layers import forward_backward
from carrousel.bench.measurement import Measurement
from carrousel.bench.scanned import Scanned
from carrousel.bench.shapes import Shape
from carrousel.errors import UserError
from carrousel.layers import GRU, LSTM, LSTM1997, SLSTM, CoupledLSTM, LayerNormLSTM, MinGRU, MinLSTM, PeepholeLSTM

TITLE = "kinds of layers, forward+backward: ratio = time / our plain LSTM's time, lower is better"
# Shapes of one layer in one direction at which a loop in torch operations does not take minutes.
SMALL = ("paper-T100", "forecast", "d2l")


@dataclass(frozen=True)
class Kind:
    """A layer that is measured.

    Args:
        make: makes the layer; takes the arguments of torch.nn.LSTM.
        target: how many times our plain LSTM's time it may take.
        in_torch: makes a module in torch operations that computes the same, from a layer with one layer and direction.
            Default: its cell by `carrousel.scan`.
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


def choose(names: Sequence[str]) -> list[str]:
    """The kinds of these names; all of them for none.

    Raises:
        UserError: one of them does not exist.
    """
    if unknown := [name for name in names if name not in KINDS]:
        raise UserError(f"--kind {unknown[0]} is not a kind of layer: give some of {', '.join(KINDS)}")
    return list(names or KINDS)


def measure(kind: str, shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Measure a kind at a shape with each number of threads.

    Args:
        kind: its name in KINDS.
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`, for each number of threads.
    """
    found = KINDS[kind]
    torch.manual_seed(0)
    layer, lstm = found.make(shape.I, shape.H, **shape.options), LSTM(shape.I, shape.H, **shape.options)
    in_torch = [found.in_torch(layer)] if shape.name in SMALL else []
    x = torch.randn(shape.T, shape.B, shape.I)
    for count in set_threads(threads):
        where = ("cells", kind, shape.name, count)
        ours_ms, lstm_ms = medians([forward_backward(run, x) for run in (layer, lstm)], seconds, repeat)
        yield Measurement(*where, "carrousel", ours_ms, "ms", ours_ms / lstm_ms, found.target, "ratio at most")
        yield Measurement(*where, "carrousel.LSTM", lstm_ms, "ms")
        for run in in_torch:  # not in turns with the others: memory that a loop leaves slows the next call by half
            (torch_ms,) = medians([forward_backward(run, x)], seconds / 3, repeat)
            yield Measurement(*where, "torch operations", torch_ms, "ms", torch_ms / lstm_ms)
