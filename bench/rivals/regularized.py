"""Regularised LSTM and GRU as they are written in torch operations: a Python loop over the steps.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, linear


class Loop(nn.Module):
    """One layer in one direction with the weights and probabilities of ours; torch's random numbers."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        self.of, self.has_c = ours.regularization, len(ours.cell.states) > 1
        self.weights = nn.ParameterList(ours.parameters())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [T, B, I] -> y [T, B, H] and h [B, H] at the end, from zeros."""
        W, R, b_x, b_h = self.weights
        of_x, of_h = self.of.variational_dropout
        x = x * self._drop(torch.ones_like(x[0]), of_x)
        R, step = self._drop(R, self.of.drop_connect), self._lstm if self.has_c else self._gru
        h = c = x.new_zeros(x.shape[1], R.shape[1])
        fed_back, y = self._drop(torch.ones_like(h), of_h), []
        for from_x in linear(x, W, b_x):
            h, c = step(from_x, linear(h * fed_back, R, b_h), h, c)
            y.append(h)
        return torch.stack(y), h

    def _lstm(self, from_x: Tensor, from_h: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = (from_x + from_h).chunk(4, 1)
        c_new = f.sigmoid() * c + i.sigmoid() * self._drop(g.tanh(), self.of.recurrent_dropout)
        h_new = o.sigmoid() * c_new.tanh()
        return self._zoneout(h, h_new, self.of.zoneout[1]), self._zoneout(c, c_new, self.of.zoneout[0])

    def _gru(self, from_x: Tensor, from_h: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        (r, z, n), (h_r, h_z, h_n) = from_x.chunk(3, 1), from_h.chunk(3, 1)
        z = (z + h_z).sigmoid()
        n = self._drop((n + (r + h_r).sigmoid() * h_n).tanh(), self.of.recurrent_dropout)
        return self._zoneout(h, n + z * (h - n), self.of.zoneout[1]), c

    def _drop(self, x: Tensor, rate: float) -> Tensor:
        return dropout(x, rate, self.training) if rate else x

    def _zoneout(self, old: Tensor, new: Tensor, rate: float) -> Tensor:
        if not rate:
            return new
        return torch.where(torch.rand_like(old) < rate, old, new) if self.training else torch.lerp(new, old, rate)
