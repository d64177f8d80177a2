"""A layer in torch operations: its cell by `scan`.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from carrousel.layers import Recurrent
from carrousel.scan import scan
from carrousel.scan.weights import with_all_heads


class Scanned(nn.Module):
    """One layer in one direction, with the parameters of ours."""

    def __init__(self, ours: Recurrent[Any]) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x [T, B, I] -> y [T, B, H] and the final states, from zero states or learned ones."""
        cell, B = self.ours.cell, x.shape[1]
        weights = with_all_heads(cell, self.ours._weights(self.ours._fields[0][0]))
        initial = self.ours._initial() or (x.new_zeros(1, 1, self.ours.hidden_size),) * len(cell.states)
        y, states, _ = scan(cell, x, tuple([state[0].expand(B, -1) for state in initial]), weights)
        return y, states
