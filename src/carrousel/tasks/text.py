"""The character language model: one-hot or embedding -> recurrent layers -> dropout -> linear."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from carrousel.layers import GRU, LSTM, LSTM1997, RNN, PeepholeLSTM

CELLS = {"lstm": LSTM, "gru": GRU, "rnn": RNN, "peephole": PeepholeLSTM, "lstm1997": LSTM1997}

WIDEST_ONE_HOT = 256  # symbols; more of them get an embedding that is learned
State = Tensor | tuple[Tensor, ...] | None


class CharModel(nn.Module):
    """Predicts each next character of a text from all those before it.

    Args:
        symbols: V, the size of the vocabulary.
        cell: one of `CELLS`.
        hidden: H, units of a layer.
        layers: number of recurrent layers.
        dropout: probability of zeroing an output of a layer, the last one's included; not within the recurrence.
    """

    table: Tensor  # [V, I]  what each symbol is to the first layer

    def __init__(self, symbols: int, cell: str, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        if symbols <= WIDEST_ONE_HOT:
            self.register_buffer("table", torch.eye(symbols) * symbols**0.5, persistent=False)
        else:
            self.table = nn.Parameter(torch.randn(symbols, hidden))
        between = dropout if layers > 1 else 0.0  # torch's layers warn of dropout that has nowhere to go
        self.recurrent = CELLS[cell](self.table.shape[1], hidden, layers, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, symbols)
        # The outputs of fresh recurrent layers are near 0.1: with torch's weights here, hundreds of steps pass before
        # an error reaches the layers below.
        nn.init.normal_(self.output.weight, std=2 / hidden**0.5)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Logits [T, B, V] for the characters after x [T, B], and the state to go on with (None at a text's start)."""
        y, state = self.recurrent(embedding(x, self.table), state)
        return self.output(self.dropout(y)), state

    def size(self) -> int:
        """The number of weights that are learned."""
        return sum(p.numel() for p in self.parameters())


def parts(state: State) -> tuple[Tensor, ...]:
    """A state as a tuple of tensors [L, B, H], whatever the cell: (h, c), (h,), or () at a text's start."""
    if state is None:
        return ()
    return (state,) if isinstance(state, Tensor) else tuple(state)


def joined(tensors: tuple[Tensor, ...]) -> State:
    """The inverse of `parts`."""
    return tensors if len(tensors) > 1 else tensors[0] if tensors else None
