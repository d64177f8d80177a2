"""What a classifier is compared with: methods without training that anybody can check.

Letters: B sequences, F values of a step, n training sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.data.examples import Examples

PIECE = 512  # sequences at a time
GAP = 1e-6  # deviations that are smaller are no deviations


def most_frequent(train: Examples) -> int:
    """The class that most training sequences have."""
    return int(train.targets[train.targets >= 0].bincount().argmax())


def find_nearest(train: Examples, examples: Examples) -> Tensor:
    """The class of each sequence's nearest neighbour in the training data [B], by their summary statistics.

    Each statistic is scaled by its deviation over the training data, so that all of them count.
    """
    known = train.select((train.targets >= 0).nonzero()[:, 0])
    reference = summarize(known)
    deviation, mean = torch.std_mean(reference, 0, correction=0)
    scale = torch.where(deviation > GAP, 1 / deviation, 0.0)
    reference = (reference - mean) * scale
    found = [
        known.targets[torch.cdist(part, reference).argmin(1)]
        for part in ((summarize(examples) - mean) * scale).split(PIECE)
    ]
    return torch.cat(found)


def summarize(examples: Examples) -> Tensor:
    """Mean, deviation, least and largest value of each channel, and the length, of each sequence [B, 4F + 1]."""
    F = examples.values.shape[1]
    found = torch.empty(len(examples), 4 * F + 1, device=examples.values.device)
    for indices in examples.split_by_length(PIECE):
        part = examples.select(indices)
        x = part.pad()
        lengths = part.lengths[:, None]
        is_step = (torch.arange(len(x), device=x.device)[:, None] < part.lengths)[..., None]
        mean = (x * is_step).sum(0) / lengths
        variance = ((x - mean) ** 2 * is_step).sum(0) / lengths
        # what pads a sequence repeats its last step, and changes neither the least nor the largest value
        found[indices] = torch.cat([mean, variance.sqrt(), x.amin(0), x.amax(0), lengths.to(x.dtype)], 1)
    return found
