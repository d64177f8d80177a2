"""An LSTM with layer normalisation as it is written in torch: a loop over time with torch.nn.functional.layer_norm.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from carrousel.layers import LayerNormLSTM


class InTorch(nn.Module):
    """A layer in one direction with the parameters of ours."""

    def __init__(self, ours: LayerNormLSTM) -> None:
        super().__init__()
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_ln_l0")
        self.of_ours = nn.ParameterList([getattr(ours, name) for name in names])
        self.H = ours.hidden_size

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [T, B, I] -> y [T, B, H] and the final states, from zero states."""
        W, R, b_x, b_h, gains = self.of_ours
        H = self.H
        gain_x, gain_h, gain_c, bias_c = gains.split([4 * H, 4 * H, H, H])
        h = c = x.new_zeros(x.shape[1], H)
        y = []
        for from_x in layer_norm(linear(x, W), (4 * H,), gain_x, b_x):
            i, f, g, o = (from_x + layer_norm(linear(h, R), (4 * H,), gain_h, b_h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * layer_norm(c, (H,), gain_c, bias_c).tanh()
            y.append(h)
        return torch.stack(y), (h, c)
