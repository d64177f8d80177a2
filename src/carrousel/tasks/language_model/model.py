"""The network: one-hot or embedding -> recurrent layers -> dropout -> linear.

Letters: T time, B batch, I input, H hidden units, V symbols.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from carrousel.output_layer import Reduction, linear_cross_entropy
from carrousel.tasks.network import NetworkOptions, new_layers
from carrousel.training.task import State

WIDEST_ONE_HOT = 256  # symbols; more of them have an embedding with trained weights


class LanguageModel(nn.Module):
    """Predicts each next symbol of a text from all those before it.

    Args:
        symbols: V, the size of the vocabulary.
        options: cell, hidden units, layers, and dropout of the layers' outputs.
    """

    table: Tensor  # [V, I]  the first layer's input for each symbol

    def __init__(self, symbols: int, options: NetworkOptions) -> None:
        super().__init__()
        self.symbols: int = symbols
        if symbols <= WIDEST_ONE_HOT:
            self.register_buffer("table", torch.eye(symbols) * symbols**0.5, persistent=False)
        else:
            self.table = nn.Parameter(torch.randn(symbols, options.hidden))
        self.recurrent: nn.Module = new_layers(options, self.table.shape[1])
        self.dropout: nn.Dropout = nn.Dropout(options.dropout or 0.0)
        self.output: nn.Linear = nn.Linear(options.hidden, symbols)
        # The outputs of new recurrent layers are near 0.1: with torch's weights here, hundreds of steps pass before
        # an error reaches the layers below.
        nn.init.normal_(self.output.weight, std=2 / options.hidden**0.5)

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Predict the next symbols.

        Args:
            x: symbols [T, B], int64.
            state: what the last call returned, a tensor [L, B, H] for each state of the cell; () at a text's start.

        Returns:
            Logits [T, B, V] for the symbols after x, and the state.
        """
        y, after = self.features(x, state)
        return self.output(y), after

    def features(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """What the output layer sees [T, B, H], and the state; the arguments are those of `forward`."""
        y, hx = self.recurrent(embedding(x, self.table), join(state))
        return self.dropout(y), (hx,) if isinstance(hx, Tensor) else tuple(hx)

    def losses(self, features: Tensor, targets: Tensor, reduction: Reduction = "mean") -> Tensor:
        """-ln p of the targets [T, B], in nats: their mean, or "none": each of them."""
        return linear_cross_entropy(features, self.output.weight, targets, self.output.bias, reduction=reduction)


def join(state: State) -> Tensor | State | None:
    """A state as recurrent layers take it: None at a text's start, a tensor for cells with one state, else a tuple."""
    return state if len(state) > 1 else state[0] if state else None
