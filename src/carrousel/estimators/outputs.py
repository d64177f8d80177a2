"""The outputs of a network, the same whatever is computed beside them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import linear

from carrousel.data.examples import Examples
from carrousel.tasks.pooled import PIECE, PooledNetwork


def compute_exactly(model: PooledNetwork, examples: Examples) -> NDArray[np.float64]:
    """The outputs of a network in evaluation mode, in the order of the sequences [N, K].

    Those of a sequence do not depend on which others are there, to about the last digit: the recurrent layers compute
    the same bits for any number of sequences from two on, and the output layer computes in float64.
    """
    weight, bias = model.output.weight.double(), model.output.bias.double()
    found = torch.empty(len(examples), len(weight), dtype=torch.float64, device=weight.device)
    for indices in examples.split_by_length(PIECE):
        part = examples.select(indices if len(indices) > 1 else indices.repeat(2))
        outputs = linear(model.summarize(part.pad(), part.lengths).double(), weight, bias)
        found[indices] = outputs[: len(indices)]
    return found.cpu().numpy()
