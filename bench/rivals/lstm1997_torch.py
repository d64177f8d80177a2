"""The truncated rule of 1997 as one writes it in torch: autograd, with what recurs detached and the states not.

The quickest of three writings: one product a step with all of z took a tenth longer, one for each kind of unit a
fourth.

For networks as those of Experiments 4 and 6: gates of both kinds, connectivity F, every unit biased, an error at the
end. Letters are network.py's: I inputs, K outputs, C blocks, S cells in a block, U hidden units, T steps.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import linear

from carrousel.online.lstm1997.network import Network, SplitWeights
from carrousel.papers.harness.sequences import Sequences, starts


class TorchOperations:
    """One network; its weights change at the end of each sequence.

    Args:
        network: the description.
        weights: to start from [weight_count].
        rate: alpha.
    """

    def __init__(self, network: Network, weights: ArrayLike, rate: float) -> None:
        self.network, self.rate = network, rate
        self.parts = [torch.tensor(part, dtype=torch.float32, requires_grad=True) for part in network.split(weights)]

    @property
    def weights(self) -> NDArray:
        """[weight_count]."""
        return self.network.join(SplitWeights(*(part.detach().numpy() for part in self.parts)))

    def train(self, block: Sequences) -> None:
        """Learn from each sequence."""
        n = self.network
        x, targets = torch.from_numpy(dense(block.x, n.inputs)), torch.from_numpy(dense(block.targets, n.outputs))
        for first, T, target in zip(starts(block.lengths), block.lengths, targets):
            loss = (target - self.output(x[first : first + T])).square().sum() / 2
            gradients = torch.autograd.grad(loss, self.parts)
            with torch.no_grad():
                for part, gradient in zip(self.parts, gradients):
                    part -= self.rate * gradient

    def output(self, x: Tensor) -> Tensor:
        """x [T, I] -> the outputs at the end [K]."""
        n, (W, b, V, c) = self.network, self.parts
        W_x, R = W[:, : n.inputs], W[:, n.inputs :]
        s = x.new_zeros(n.blocks, n.block_size)
        y = x.new_zeros(n.units)
        for a in linear(x, W_x, b).unbind():
            f = torch.sigmoid(torch.addmv(a, R, y.detach()))  # the truncation: nothing goes back through what recurs
            cells, gates_in, gates_out = f.split([n.cells, n.blocks, n.blocks])
            s = s + gates_in[:, None] * (4 * cells.view_as(s) - 2)
            h = 2 * torch.sigmoid(s) - 1
            y = torch.cat([(gates_out[:, None] * h).flatten(), f[n.cells :]])
        return torch.sigmoid(linear(y[: n.cells], V, c))


def dense(array: NDArray, width: int) -> NDArray:
    """Numbers [N, width] as float32; indices [N] become rows with a single 1."""
    return np.eye(width, dtype=np.float32)[array] if array.ndim == 1 else np.asarray(array, np.float32)
