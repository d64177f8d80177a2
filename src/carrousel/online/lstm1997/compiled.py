"""The engine on the compiled kernels, and the only file of the Learner that handles addresses of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from carrousel.online.checks import Array, Ints
from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.rule import Rule


class Compiled:
    """One network that keeps its state between steps, as `engine.Engine` describes it.

    Args:
        kernels: the module `carrousel._kernels.lstm1997`.
        network: its description.
        dtype: float32 or float64, of everything that is computed.
    """

    x: Array
    symbol: Ints
    target: Array
    y: Array

    def __init__(self, kernels: Any, network: Network, dtype: np.dtype[Any]) -> None:
        self.network = network
        self.dtype = dtype
        self.online: Any = (kernels.Online32 if dtype == np.float32 else kernels.Online64)(describe(network))
        self.x, self._x_at = buffer(network.inputs, dtype)
        self.symbol, self._symbol_at = buffer(1, np.dtype(np.int32))
        self.target, self._target_at = buffer(network.outputs, dtype)
        self.y, self._y_at = buffer(network.outputs, dtype)

    def predict(self, is_symbol: bool) -> None:
        """Compute y at x, or at the symbol; change nothing else."""
        if is_symbol:
            self.online.predict(0, int(self.symbol[0]), self._y_at)
        else:
            self.online.predict(self._x_at, -1, self._y_at)

    def learn_one(self, rule: Rule, is_symbol: bool, has_target: bool) -> None:
        """Take a step; y is the output before learning."""
        n, inputs = self.network, (0, self._symbol_at) if is_symbol else (self._x_at, 0)
        self.online.learn(rule, 1, *inputs, self._target_at if has_target else 0, 0, self._y_at, n.inputs, n.outputs)

    def learn_many(self, rule: Rule, x: Array, targets: Array | None, has_target: Array, y: Array) -> None:
        """Take steps one after another."""
        n, inputs = self.network, (x.ctypes.data, 0) if x.ndim == 2 else (0, x.ctypes.data)
        wanted = (0, 0) if targets is None else (targets.ctypes.data, has_target.ctypes.data)
        self.online.learn(rule, len(x), *inputs, *wanted, y.ctypes.data, n.inputs, n.outputs)

    def reset(self) -> None:
        """Apply the collected changes; set activations, states and traces to zero."""
        self.online.reset()

    def weights(self) -> Array:
        """A copy of the weights [weight_count]."""
        weights = np.empty(self.network.weight_count, self.dtype)
        self.online.save(weights.ctypes.data)
        return weights

    def set_weights(self, weights: Array) -> None:
        """Replace the weights [weight_count]."""
        flat = np.ascontiguousarray(weights, self.dtype)
        self.online.load(flat.ctypes.data)

    def states(self) -> tuple[Array, Array]:
        """Copies of the cells' states s [C*S] and of the hidden units' outputs y [U]."""
        s, y = np.zeros(self.network.cells, self.dtype), np.zeros(self.network.units, self.dtype)
        self.online.state(s.ctypes.data, y.ctypes.data)
        return s, y

    def memory(self) -> Array:
        """A copy of everything else that a step leaves to the next one."""
        memory = np.zeros(self.online.memory_size(), self.dtype)
        self.online.read_memory(memory.ctypes.data)
        return memory

    def set_memory(self, memory: Array) -> None:
        """Continue from what `memory` returned."""
        flat = np.ascontiguousarray(memory, self.dtype)
        self.online.write_memory(flat.ctypes.data)


def describe(network: Network) -> tuple[int, ...]:
    """The description as bindings/lstm1997.cpp takes it."""
    n, biased = network, network.biased
    return tuple(
        int(number)
        for number in (
            *(n.inputs, n.outputs, n.blocks, n.block_size, n.hidden, n.output_gates),
            *(n.recurrent, n.recurrent_cells, n.shortcuts),
            *(biased in ("hidden", "all"), biased != "none", biased in ("hidden", "all"), n.outputs_biased),
            *(n.g == "g2", n.h == "h1", n.output == "logistic"),
        )
    )


def buffer(size: int, dtype: np.dtype[Any]) -> tuple[Array, int]:
    """An array and its address, which takes a microsecond to ask for."""
    array = np.zeros(size, dtype)
    return array, array.ctypes.data
