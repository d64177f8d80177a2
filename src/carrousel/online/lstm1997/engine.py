"""The engine of a Learner: one network that keeps its state between steps, compiled or in NumPy."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from carrousel.fused.kernels import LSTM1997
from carrousel.online.checks import Array, Ints
from carrousel.online.lstm1997.compiled import Compiled
from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.plain import Plain
from carrousel.online.lstm1997.rule import Rule


class Engine(Protocol):
    """One network that keeps its state between steps.

    The caller writes an input into `x` [I] or its index into `symbol` [1], and a target into `target` [K], then calls
    `predict` or `learn_one`, which writes `y` [K]. The engine owns these four arrays.
    """

    x: Array
    symbol: Ints
    target: Array
    y: Array

    def predict(self, is_symbol: bool) -> None:
        """Compute y at x, or at the symbol; change nothing else."""
        ...

    def learn_one(self, rule: Rule, is_symbol: bool, has_target: bool) -> None:
        """Take a step; y is the output before learning."""
        ...

    def learn_many(self, rule: Rule, x: Array, targets: Array | None, has_target: Array, y: Array) -> None:
        """Take steps: x [T, I] or symbols [T], targets [T, K] at the steps where has_target [T] is not 0; y [T, K]."""
        ...

    def reset(self) -> None:
        """Apply the collected changes; set activations, states and traces to zero."""
        ...

    def weights(self) -> Array:
        """A copy of the weights [weight_count]."""
        ...

    def set_weights(self, weights: Array) -> None:
        """Replace the weights [weight_count]."""
        ...

    def states(self) -> tuple[Array, Array]:
        """Copies of the cells' states s [C*S] and of the hidden units' outputs y [U]."""
        ...

    def memory(self) -> Array:
        """A copy of everything else that a step leaves to the next one, in the engine's own order."""
        ...

    def set_memory(self, memory: Array) -> None:
        """Continue from what `memory` returned."""
        ...


def is_compiled() -> bool:
    """Whether the compiled kernels are installed."""
    return LSTM1997 is not None


def make_engine(network: Network, dtype: str) -> Engine:
    """The compiled engine; without the kernels, the reference, which is always float64."""
    return Plain(network) if LSTM1997 is None else Compiled(LSTM1997, network, np.dtype(dtype))
