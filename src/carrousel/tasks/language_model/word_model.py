"""The network for words: embedding -> recurrent layers -> linear to the embedding's size -> the embedding again.

Its regularisation is that of Merity, Keskar and Socher (2017, "Regularizing and optimizing LSTM language models"):
masks that stay the same at all steps of a window, masks on the recurrent weights, and words that are zeroed wherever
they stand. The output layer has the embedding's weights (Press and Wolf 2017; Inan et al. 2017).

Letters: T time, B batch, H hidden units, E size of an embedding, V words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from carrousel.layers import GRU, LSTM
from carrousel.output_layer import Reduction, linear_cross_entropy
from carrousel.tasks.language_model.model import join
from carrousel.tasks.network import MOST, NetworkOptions
from carrousel.training.options import MODEL, WEIGHTS, option
from carrousel.training.task import State

CELLS: dict[str, Callable[..., nn.Module]] = {"lstm": LSTM, "gru": GRU}  # whose layers have masks that stay
RATE: dict[str, Any] = {"least": 0, "below": 1, "range": "at least 0 and below 1"}
Self = TypeVar("Self", bound="WordModelOptions")


@dataclass(frozen=True)
class WordModelOptions(NetworkOptions):
    """The options of a network for words."""

    cell: str = option("lstm", f"One of {', '.join(CELLS)}.", MODEL, choices=CELLS)
    hidden: int = option(400, "Units of a layer (H).", MODEL, **MOST, enlarges=WEIGHTS)
    embedding: int | None = option(None, "Numbers that stand for a word (default: --hidden).", MODEL, **MOST)
    dropout: float | None = option(
        0.3, "Dropout of each layer's inputs and of the last outputs, the same at all steps of a window.", MODEL, **RATE
    )
    word_dropout: float = option(0.1, "Part of the vocabulary that a window reads as zeros.", MODEL, **RATE)
    weight_dropout: float = option(0.2, "Dropout of the weights from h to the gates.", MODEL, **RATE)

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open."""
        options = super().complete()
        return replace(options, embedding=options.embedding or options.hidden)


class WordModel(nn.Module):
    """Predicts each next word of a text from all those before it.

    Args:
        words: V, the size of the vocabulary.
        options: complete.
    """

    def __init__(self, words: int, options: WordModelOptions) -> None:
        super().__init__()
        E, H = options.embedding or options.hidden, options.hidden
        self.symbols: int = words
        self.rate: float = options.dropout or 0.0
        self.word_rate: float = options.word_dropout
        # A word's numbers have the deviation 1 where they are read, and 1 / sqrt(E) where they weigh the output.
        self.table: nn.Parameter = nn.Parameter(torch.randn(words, E) / E**0.5)  # [V, E]
        self.recurrent: nn.Module = CELLS[options.cell](
            E,
            H,
            options.layers,
            variational_dropout=(self.rate, 0.0),
            drop_connect=options.weight_dropout,
        )
        self.to_embedding: nn.Module = nn.Linear(H, E)
        self.bias: nn.Parameter = nn.Parameter(torch.zeros(words))

    def forward(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """Predict the next words.

        Args:
            x: words [T, B], int64.
            state: what the last call returned, a tensor [L, B, H] for each state of the cell; () at a text's start.

        Returns:
            Logits [T, B, V] for the words after x, and the state.
        """
        features, after = self.features(x, state)
        return features @ self.table.t() + self.bias, after

    def features(self, x: Tensor, state: State = ()) -> tuple[Tensor, State]:
        """What the output layer sees [T, B, E], and the state; the arguments are those of `forward`."""
        read = embedding(x, self.table) * self.table.shape[1] ** 0.5
        if self.training and self.word_rate:
            stays = torch.rand(self.symbols, device=x.device) >= self.word_rate
            read = read * (stays[x] / (1 - self.word_rate))[..., None]
        y, hx = self.recurrent(read, join(state))
        if self.training and self.rate:
            y = y * (torch.rand_like(y[:1]) >= self.rate) / (1 - self.rate)
        return self.to_embedding(y), (hx,) if isinstance(hx, Tensor) else tuple(hx)

    def losses(self, features: Tensor, targets: Tensor, reduction: Reduction = "mean") -> Tensor:
        """-ln p of the targets [T, B], in nats: their mean, or "none": each of them."""
        return linear_cross_entropy(features, self.table, targets, self.bias, reduction=reduction)
