"""What a client is measured by: its model's outputs, and a piece of its own training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Swap = Callable[[nn.Module], object]  # carrousel.swap, or what leaves the model as it is


@dataclass(frozen=True)
class Measured:
    """A model inside of its client, ready to run.

    Args:
        model: the model by the client's name for it, and its sizes.
        run: what `fit` does, in words.
        outputs: the model's outputs on the data.
        fit: trains by the client's own function, and returns the loss at its end; or runs what the client is for, and
            returns a number of its result.
    """

    model: str
    run: str
    outputs: Callable[[], Tensor]
    fit: Callable[[], float]


def waves(count: int, length: int, seed: int = 0) -> Tensor:
    """Noisy sines [count, length], each with a period and a phase of its own."""
    generator = torch.Generator().manual_seed(seed)
    period, phase = 12 + 24 * torch.rand(2, count, 1, generator=generator)
    steps = torch.arange(length)
    noise = torch.randn(count, length, generator=generator)
    return 2 + torch.sin(2 * math.pi * steps / period + phase) + 0.1 * noise


class Classifier(nn.Module):
    """Words to one of two classes by the last state of an LSTM: the client's user writes such a model."""

    def __init__(self, words: int = 500, width: int = 64, hidden: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, width)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)
        self.out = nn.Linear(hidden, 2)

    def forward(self, words: Tensor) -> Tensor:
        """Words [B, T] -> scores [B, 2]."""
        y, _ = self.lstm(self.embedding(words))
        return self.out(y[:, -1])


def sentences(count: int, length: int, words: int = 500) -> tuple[Tensor, Tensor]:
    """Random words [count, length]; the class is whether the second half's mean is above the first's."""
    text = torch.randint(words, (count, length), generator=torch.Generator().manual_seed(0))
    first, second = text.float().split(length // 2, 1)
    return text, (second.mean(1) > first.mean(1)).long()
