"""The reference in the place of the compiled network, for a Learner where nothing is compiled: slow, and in float64."""

from __future__ import annotations

import ctypes
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.lstm1997.network import Network
from carrousel.papers.lstm1997.reference import Reference


class Online:
    """One network that lives on between calls, with the methods of kernels/include/carrousel/lstm1997.hpp's Online.

    Arrays come and go by their address, as they do there; 0 is none. They are float64, symbols int32, `has` uint8.

    Args:
        network: the description.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.reference = Reference(network, np.zeros(network.weight_count))
        self.rate = 0.0  # of the changes that wait

    def load(self, weights: int) -> None:
        """Set the weights [weight_count]."""
        self.reference.weights = self.network.split(at(weights, self.network.weight_count))

    def save(self, weights: int) -> None:
        """Read the weights [weight_count]."""
        at(weights, self.network.weight_count)[:] = self.network.join(self.reference.weights)

    def reset(self) -> None:
        """Apply the changes that wait; then activations, states and derivatives are zero."""
        self.reference.apply(self.rate)
        self.reference.reset()

    def predict(self, x: int, symbol: int, y: int) -> None:
        """The output y [K] at the inputs x [I] or at a symbol; changes nothing."""
        n = self.network
        of_now = copy(self.reference)  # a step puts new arrays in the place of the old ones
        at(y, n.outputs)[:] = of_now.step(at(x, n.inputs) if x else one_hot(symbol, n.inputs))

    def learn(
        self, rule: tuple, steps: int, x: int, symbols: int, targets: int, has: int, y: int, inputs: int, outputs: int
    ) -> None:
        """Steps one after another: x [steps, I] or symbols [steps], targets [steps, K] where `has` [steps] is not 0."""
        self.rate, learns, each_step, entropy = rule
        told = at(y, steps, outputs)
        rows = at(x, steps, inputs) if x else [one_hot(s, inputs) for s in at(symbols, steps, kind=ctypes.c_int32)]
        wanted = at(has, steps, kind=ctypes.c_uint8) if has else np.ones(steps, np.uint8)
        for t in range(steps):
            told[t] = self.reference.step(rows[t])
            if learns and targets and wanted[t]:
                self.reference.learn(at(targets, steps, outputs)[t], "entropy" if entropy else "squared")
                if each_step:
                    self.reference.apply(self.rate)

    def state(self, s: int, y: int) -> None:
        """Read the states [C*S] and the hidden units' outputs [U]."""
        at(s, self.network.cells)[:] = self.reference.s
        at(y, self.network.units)[:] = self.reference.y

    def memory_size(self) -> int:
        """How many numbers live on between steps, beside the weights."""
        return 1 + sum(part.size for part in self._parts()) + self.network.weight_count

    def read_memory(self, to: int) -> None:
        """Read all that lives on between steps."""
        parts = [np.array([self.rate]), *self._parts(), self.network.join(self.reference.change)]
        at(to, self.memory_size())[:] = np.concatenate([part.ravel() for part in parts])

    def write_memory(self, come_from: int) -> None:
        """Go on from what `read_memory` read."""
        r, parts = self.reference, self._parts()
        memory = at(come_from, self.memory_size()).copy()
        rate, *flat, change = np.split(memory, np.cumsum([1, *(part.size for part in parts)]))
        self.rate = float(rate[0])
        r.s, r.y, r.ds_dc, r.ds_din = (new.reshape(part.shape) for new, part in zip(flat, parts))
        r.change = self.network.split(change)

    def _parts(self) -> list[NDArray]:
        r = self.reference
        return [r.s, r.y, r.ds_dc, r.ds_din]


def at(address: int, *shape: int, kind: Any = ctypes.c_double) -> NDArray:
    """The array of this shape that lies at an address."""
    if 0 in shape:
        return np.zeros(shape, kind)
    return np.ctypeslib.as_array(ctypes.cast(address, ctypes.POINTER(kind)), shape)


def one_hot(symbol: int, inputs: int) -> NDArray:
    """The inputs [I] of which one is 1, or none for -1."""
    x = np.zeros(inputs)
    if symbol >= 0:
        x[symbol] = 1
    return x
