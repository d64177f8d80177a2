"""What the parameters of an mLSTM are at first; and options of other layers that it has not.

Letters: I input, H hidden units, N heads, T the longest lag.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from carrousel.scan.weights import Weights


def check_matrix_options(given: Mapping[str, Any]) -> None:
    """Raise ValueError where an option that other layers have is given, and makes no sense here."""
    if "proj_size" in given:
        raise ValueError(f"proj_size={given['proj_size']} does not go with MLSTM, which feeds no h back: leave it out")
    if given.get("initialise") == "orthogonal":
        raise ValueError(
            "initialise='orthogonal' draws recurrent weights as orthogonal matrices, and MLSTM has no recurrent "
            "weights: choose 'xlstm' or 'torch'"
        )


def fill_as_the_authors(weights: Weights, N: int) -> None:
    """Weights from N(0, 2/(5 I)); the gates of the heads depend on their biases only, those of f from 3 to 6."""
    weight, bias = weights.W, weights.b_x
    nn.init.normal_(weight[: -2 * N], std=math.sqrt(2 / (5 * weight.shape[1])))
    nn.init.zeros_(weight[-2 * N :])
    if bias is not None:
        nn.init.zeros_(bias[: -2 * N])
        nn.init.normal_(bias[-2 * N : -N], std=0.1)
        bias[-N:].copy_(torch.linspace(3, 6, N))


def set_head_gates(weights: Weights, N: int, forget_bias: float | None, longest_lag: float | None) -> None:
    """Set the biases of the gates of N heads, as `set_forget_bias` and `set_chrono` do of other cells."""
    if weights.b_x is None:
        return
    i, f = weights.b_x[-2 * N :].split(N)
    if forget_bias is not None:
        f.fill_(forget_bias)
    if longest_lag is not None:
        f.copy_(torch.empty(N).uniform_(1, longest_lag - 1).log())
        i.copy_(-f)
