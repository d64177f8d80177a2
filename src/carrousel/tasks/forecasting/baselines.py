"""What a forecaster is compared with: methods without training that anybody can check.

Letters: B windows, L steps that are read, M steps that are predicted, C targets.
"""

from __future__ import annotations

import torch
from torch import Tensor


def repeat_last(past: Tensor, horizon: int) -> Tensor:
    """The last value of each window, at each step of the horizon [B, M, C].

    Args:
        past: the targets of each window [B, L, C].
        horizon: M.
    """
    return past[:, -1:].expand(-1, horizon, -1)


def repeat_season(past: Tensor, horizon: int, season: int) -> Tensor:
    """The last season of each window, again and again [B, M, C].

    Args:
        past: the targets of each window [B, L, C]; L is at least `season`.
        horizon: M.
        season: steps of a season.
    """
    return past[:, past.shape[1] - season + torch.arange(horizon, device=past.device) % season]
