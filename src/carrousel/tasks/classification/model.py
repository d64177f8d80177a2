"""The network: recurrent layers in one or both directions -> pooling over time -> dropout -> linear.

Letters: T time, B batch, I values of a step, H hidden units, D directions, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from carrousel.tasks.network import NetworkOptions, new_layers
from carrousel.training.options import MODEL, option


def pool_mean(recurrent: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """The mean of the outputs over the steps of each sequence."""
    y, _ = recurrent(x, lengths=lengths)  # 0 beyond a sequence's end
    return y.sum(0) / lengths[:, None]


def pool_max(recurrent: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """The largest output of each unit over the steps of each sequence."""
    y, _ = recurrent(x, lengths=lengths, padding_value=-torch.inf)
    return y.amax(0)


def pool_last(recurrent: nn.Module, x: Tensor, lengths: Tensor) -> Tensor:
    """The last layer's h after the last step that each direction reads."""
    _, hx = recurrent(x, lengths=lengths)
    h = hx if isinstance(hx, Tensor) else hx[0]
    directions = 2 if getattr(recurrent, "bidirectional", False) else 1
    return torch.cat(tuple(h[-directions:]), 1)


POOLS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "mean": pool_mean,
    "max": pool_max,
    "last": pool_last,
}
DIRECTIONS = {"both": 2, "forward": 1}


@dataclass(frozen=True)
class ClassifierOptions(NetworkOptions):
    """The options of a network that classifies sequences."""

    directions: str = option(
        "both", f"Directions in which a sequence is read: {', '.join(DIRECTIONS)}.", MODEL, choices=DIRECTIONS
    )
    pool: str = option("max", f"What becomes of the outputs of all steps: {', '.join(POOLS)}.", MODEL, choices=POOLS)
    noise: float = option(0.5, "Deviation of the noise that training adds to the scaled input.", least=0)
    shift: float = option(
        0.5, "Deviation of what training adds to a channel of the scaled input, the same at all its steps.", least=0
    )
    smoothing: float = option(
        0.0, "Part of the target that is spread over all classes.", least=0, below=1, range="at least 0 and below 1"
    )


class Classifier(nn.Module):
    """Gives each sequence a logit for each class.

    Args:
        inputs: I, values of a step.
        classes: C.
        options: complete.
    """

    def __init__(self, inputs: int, classes: int, options: ClassifierOptions) -> None:
        super().__init__()
        directions = DIRECTIONS[options.directions]
        self.recurrent: nn.Module = new_layers(options, inputs, is_bidirectional=directions == 2)
        self.pool: Callable[[nn.Module, Tensor, Tensor], Tensor] = POOLS[options.pool]
        self.noise: float = options.noise
        self.shift: float = options.shift
        self.smoothing: float = options.smoothing
        self.dropout: nn.Dropout = nn.Dropout(options.dropout or 0.0)
        self.output: nn.Linear = nn.Linear(directions * options.hidden, classes)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Classify sequences.

        Args:
            x: scaled values, padded [T, B, I].
            lengths: steps of each sequence [B], at least 1.

        Returns:
            Logits [B, C].
        """
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        if self.training and self.shift:
            x = x + self.shift * torch.randn_like(x[:1])
        return self.output(self.dropout(self.pool(self.recurrent, x, lengths)))
