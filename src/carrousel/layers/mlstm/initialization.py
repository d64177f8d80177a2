"""What the parameters of an mLSTM are at first; and options of other layers that it has not.

Letters: I input, H hidden units, N heads, T the longest lag.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from carrousel.layers.initialization import uniform

if TYPE_CHECKING:
    from carrousel.layers.mlstm.layer import MLSTM


def check_matrix_options(given: Mapping[str, Any]) -> None:
    """Raise ValueError where an option that other layers have is given, and makes no sense here."""
    if "proj_size" in given:
        raise ValueError(f"proj_size={given['proj_size']} does not go with MLSTM, which feeds no h back: leave it out")
    if given.get("initialise") == "orthogonal":
        raise ValueError(
            "initialise='orthogonal' draws recurrent weights as orthogonal matrices, and MLSTM has no recurrent "
            "weights: choose 'xlstm' or 'torch'"
        )


def draw_matrix_layers(layer: MLSTM) -> None:
    """Fill every parameter as the layer's options say."""
    N = layer.num_heads
    with torch.no_grad():
        if layer.initialise == "torch":
            uniform(layer)
        for names in layer._all_weights:
            weight, bias = layer.get_parameter(names[0]), layer.get_parameter(names[1]) if layer.bias else None
            if layer.initialise == "xlstm":
                as_the_authors(weight, bias, N)
            if bias is not None:
                set_gates(layer, *bias[-2 * N :].split(N))
        for name in layer._initial_names:
            nn.init.zeros_(layer.get_parameter(name))


def as_the_authors(weight: Tensor, bias: Tensor | None, N: int) -> None:
    """Weights from N(0, 2/(5 I)), gates of the heads that depend on their biases alone: those of f from 3 to 6."""
    nn.init.normal_(weight[: -2 * N], std=math.sqrt(2 / (5 * weight.shape[1])))
    nn.init.zeros_(weight[-2 * N :])
    if bias is not None:
        nn.init.zeros_(bias[: -2 * N])
        nn.init.normal_(bias[-2 * N : -N], std=0.1)
        bias[-N:].copy_(torch.linspace(3, 6, N))


def set_gates(layer: MLSTM, i: Tensor, f: Tensor) -> None:
    """The biases of the heads' gates [N], as `forget_bias` and `longest_lag` say: `carrousel.layers.initialization`."""
    if layer.forget_bias is not None:
        f.fill_(layer.forget_bias)
    if layer.longest_lag is not None:
        f.copy_(torch.empty(len(f)).uniform_(1, layer.longest_lag - 1).log())
        i.copy_(-f)
