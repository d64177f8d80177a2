"""The engine on the reference: slow, always in float64. It is used when the compiled kernels are missing."""

from __future__ import annotations

from copy import copy

import numpy as np

from carrousel.online.checks import Array, Ints
from carrousel.online.lstm1997.network import Floats, Network
from carrousel.online.lstm1997.reference import Reference
from carrousel.online.lstm1997.rule import Rule


class Plain:
    """One network that keeps its state between steps, as `engine.Engine` describes it.

    Args:
        network: its description.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.reference: Reference = Reference(network, np.zeros(network.weight_count))
        self.rate: float = 0.0  # of the collected changes
        self.x: Floats = np.zeros(network.inputs)
        self.symbol: Ints = np.zeros(1, np.int32)
        self.target: Floats = np.zeros(network.outputs)
        self.y: Floats = np.zeros(network.outputs)

    def predict(self, is_symbol: bool) -> None:
        """Compute y at x, or at the symbol; change nothing else."""
        probe = copy(self.reference)  # a step replaces arrays and never writes into them
        self.y[:] = probe.step(self._input(is_symbol))

    def learn_one(self, rule: Rule, is_symbol: bool, has_target: bool) -> None:
        """Take a step; y is the output before learning."""
        self.y[:] = self._learn(rule, self._input(is_symbol), self.target if has_target else None)

    def learn_many(self, rule: Rule, x: Array, targets: Array | None, has_target: Array, y: Array) -> None:
        """Take steps one after another."""
        for t, row in enumerate(x):
            target = targets[t] if targets is not None and has_target[t] else None
            y[t] = self._learn(rule, row if x.ndim == 2 else one_hot(row, self.network.inputs), target)

    def reset(self) -> None:
        """Apply the collected changes; set activations, states and traces to zero."""
        self.reference.apply(self.rate)
        self.reference.reset()

    def weights(self) -> Floats:
        """A copy of the weights [weight_count]."""
        return self.network.join(self.reference.weights)

    def set_weights(self, weights: Array) -> None:
        """Replace the weights [weight_count]."""
        self.reference.weights = self.network.split(weights)

    def states(self) -> tuple[Floats, Floats]:
        """Copies of the cells' states s [C*S] and of the hidden units' outputs y [U]."""
        return self.reference.s.copy(), self.reference.y.copy()

    def memory(self) -> Floats:
        """A copy of everything else that a step leaves to the next one."""
        parts = [np.array([self.rate]), *self._traces(), self.network.join(self.reference.change)]
        return np.concatenate([part.ravel() for part in parts])

    def set_memory(self, memory: Array) -> None:
        """Continue from what `memory` returned."""
        r, traces = self.reference, self._traces()
        rate, *flat, change = np.split(memory, np.cumsum([1, *(part.size for part in traces)]))
        self.rate = float(rate[0])
        r.s, r.y, r.ds_dc, r.ds_din = (new.reshape(part.shape).copy() for new, part in zip(flat, traces))
        r.change = self.network.split(change)

    def _learn(self, rule: Rule, x: Array, target: Array | None) -> Floats:
        """One step: the output before learning."""
        self.rate = rule.rate
        y = self.reference.step(x)
        if rule.learns and target is not None:
            self.reference.learn(target, "entropy" if rule.entropy else "squared")
            if rule.each_step:
                self.reference.apply(rule.rate)
        return y

    def _input(self, is_symbol: bool) -> Floats:
        return one_hot(int(self.symbol[0]), self.network.inputs) if is_symbol else self.x

    def _traces(self) -> list[Floats]:
        """All that a step leaves to the next one, without weights and their collected changes."""
        r = self.reference
        return [r.s, r.y, r.ds_dc, r.ds_din]


def one_hot(symbol: int, inputs: int) -> Floats:
    """Inputs [I] of which one is 1; -1: none is."""
    x = np.zeros(inputs)
    if symbol >= 0:
        x[symbol] = 1
    return x
