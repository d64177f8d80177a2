"""A network with one output for a whole sequence: recurrent layers -> pooling over time -> dropout -> linear.

Letters: T time, B batch, I values of a step, H hidden units, D directions, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from carrousel.data.examples import Examples
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
PIECE = 256  # sequences at a time without gradients; changes memory and speed only


@dataclass(frozen=True)
class PooledOptions(NetworkOptions):
    """The options of a network with one output for a whole sequence."""

    directions: str = option(
        "both", f"Directions in which a sequence is read: {', '.join(DIRECTIONS)}.", MODEL, choices=DIRECTIONS
    )
    pool: str = option("max", f"What becomes of the outputs of all steps: {', '.join(POOLS)}.", MODEL, choices=POOLS)
    noise: float = option(0.5, "Deviation of the noise that training adds to the scaled input.", least=0)
    shift: float = option(
        0.5, "Deviation of what training adds to a channel of the scaled input, the same at all its steps.", least=0
    )


class PooledNetwork(nn.Module):
    """Gives each sequence K numbers.

    Args:
        inputs: I, values of a step.
        outputs: K.
        options: complete.
    """

    def __init__(self, inputs: int, outputs: int, options: PooledOptions) -> None:
        super().__init__()
        directions = DIRECTIONS[options.directions]
        self.recurrent: nn.Module = new_layers(options, inputs, is_bidirectional=directions == 2)
        self.pool: Callable[[nn.Module, Tensor, Tensor], Tensor] = POOLS[options.pool]
        self.noise: float = options.noise
        self.shift: float = options.shift
        self.dropout: nn.Dropout = nn.Dropout(options.dropout or 0.0)
        self.output: nn.Linear = nn.Linear(directions * options.hidden, outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The outputs of sequences.

        Args:
            x: scaled values, padded [T, B, I].
            lengths: steps of each sequence [B], at least 1.

        Returns:
            K numbers for each [B, K]; those of a classifier are logits.
        """
        return self.output(self.dropout(self.summarize(x, lengths)))

    def summarize(self, x: Tensor, lengths: Tensor) -> Tensor:
        """What the linear layer reads [B, D H]: the outputs of the recurrent layers, pooled over time."""
        if self.training and self.noise:
            x = x + self.noise * torch.randn_like(x)
        if self.training and self.shift:
            x = x + self.shift * torch.randn_like(x[:1])
        return self.pool(self.recurrent, x, lengths)


@torch.no_grad()
def compute_outputs(model: nn.Module, examples: Examples) -> Tensor:
    """The outputs of all sequences [B, K], in their order; the model's mode is left as it was."""
    training = model.training
    model.eval()
    groups = examples.split_by_length(PIECE)
    found = torch.cat([model(part.pad(), part.lengths) for part in map(examples.select, groups)])
    model.train(training)
    return found[torch.cat(groups).argsort()]


def numbers_in_step(options: PooledOptions, sequences: int, longest: int) -> int:
    """How many outputs each layer and direction stores in a step, at least.

    Args:
        options: complete.
        sequences: B.
        longest: T.
    """
    return sequences * longest * DIRECTIONS[options.directions] * options.layers * options.hidden
