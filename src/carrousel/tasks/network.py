"""Recurrent layers chosen by options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from torch import nn

from carrousel.layers import GRU, LSTM, LSTM1997, RNN, PeepholeLSTM
from carrousel.training.options import MODEL, WEIGHTS, Options, option

CELLS: dict[str, Callable[..., nn.Module]] = {
    "lstm": LSTM,
    "gru": GRU,
    "rnn": RNN,
    "peephole": PeepholeLSTM,
    "lstm1997": LSTM1997,
}

MOST: dict[str, Any] = {"least": 1, "below": 10**6 + 1, "range": "at least 1 and at most 1,000,000"}
Self = TypeVar("Self", bound="NetworkOptions")


@dataclass(frozen=True)
class NetworkOptions(Options):
    """The options of recurrent layers."""

    cell: str = option("lstm", f"One of {', '.join(CELLS)}.", MODEL, choices=CELLS)
    hidden: int = option(384, "Units of a layer (H).", MODEL, **MOST, enlarges=WEIGHTS)
    layers: int = option(2, "Recurrent layers.", MODEL, **MOST, enlarges=WEIGHTS)
    dropout: float | None = option(
        None,
        "Dropout of each layer's outputs (default: 0.2; one layer: 0).",
        MODEL,
        least=0,
        below=1,
        range="at least 0 and below 1",
    )

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open."""
        dropout = (0.2 if self.layers > 1 else 0.0) if self.dropout is None else self.dropout
        return replace(super().complete(), dropout=dropout)


def new_layers(
    options: NetworkOptions, inputs: int, is_bidirectional: bool = False, hidden: int | None = None
) -> nn.Module:
    """Recurrent layers with new weights.

    Args:
        options: complete.
        inputs: I, the size of an input.
        is_bidirectional: each layer reads a sequence in both directions.
        hidden: H, units of a layer and direction. Default: those of the options.
    """
    between = (options.dropout or 0.0) if options.layers > 1 else 0.0  # torch warns of dropout without a next layer
    sizes = (inputs, hidden or options.hidden, options.layers)
    return CELLS[options.cell](*sizes, dropout=between, bidirectional=is_bidirectional)
