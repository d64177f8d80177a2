"""The network and its truncated learning rule in float64 NumPy, one equation of the paper's appendix A.1 at a time.

Slow and obviously right: the compiled kernels are tested against it. Letters and the order of units are network.py's;
z is the input of the hidden layer, r that of the output layer, each followed by the constant 1 of the biases.

One time step has three phases (section 5): set the inputs; compute all hidden units from the same z; compute the output
units from the cells' outputs of this step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrousel.online.lstm1997.network import Floats, Network, SplitWeights


def f(x: Floats) -> Floats:
    """(3): the logistic function, in [0, 1]."""
    return 1 / (1 + np.exp(-x))


def df(x: Floats) -> Floats:
    """f'(x) = f(x) (1 - f(x))."""
    return f(x) * (1 - f(x))


class Reference:
    """One network that learns a sequence: `step` through it, `learn` where a step has a target, `apply`, then `reset`.

    Args:
        network: its description.
        weights: flat [weight_count].

    Attributes:
        weights: split by layer, as Network.split returns them.
        s: the cells' states [C*S].
        y: outputs of the hidden units [U].
        ds_dc, ds_din: ds/dw for the weights into each cell and into its input gate, biases last [C*S, Z+1]. These
            traces, s and y are all that a step leaves to the next one: 2 C S (Z + 1) numbers for any length.
        change: collected changes of the weights, without alpha; summed over the steps.
    """

    weights: SplitWeights
    change: SplitWeights
    block_of: NDArray[np.intp]  # the block of each cell [C*S]
    s: Floats
    y: Floats
    ds_dc: Floats
    ds_din: Floats
    z: Floats
    r: Floats
    net: Floats  # of the hidden units [U]
    net_in: Floats  # of the input gate of each cell [C*S]
    y_in: Floats
    y_out: Floats
    y_k: Floats  # of the output units [K]

    def __init__(self, network: Network, weights: ArrayLike) -> None:
        self.network = network
        self.weights = network.split(weights)
        self.change = network.split(np.zeros(network.weight_count))
        self.block_of = np.repeat(np.arange(network.blocks), network.block_size)
        self.reset()

    def reset(self) -> None:
        """Set activations, states and traces to zero: the start of a sequence."""
        n = self.network
        self.s = np.zeros(n.cells)
        self.y = np.zeros(n.units)
        self.ds_dc = np.zeros((n.cells, n.fan_in + 1))
        self.ds_din = np.zeros((n.cells, n.fan_in + 1))

    def step(self, x: ArrayLike, fed_back: Floats | None = None) -> Floats:
        """One time step: x [I] -> the output units' activations [K].

        Args:
            x: the inputs.
            fed_back: recurrent input [U] instead of the hidden outputs one step before; tests freeze it.
        """
        self._hidden(np.asarray(x, float), self.y if fed_back is None else fed_back)
        self._derivatives()
        self._outputs(np.asarray(x, float))
        return self.y_k

    def _hidden(self, x: Floats, before: Floats) -> None:
        """(6)-(9): net_u = sum_m w_um z_m;  s(t) = s(t-1) + y^in g(net_c);  y^c = y^out h(s)."""
        n, cell, gate = self.network, slice(self.network.cells), self.block_of
        self.z = np.concatenate([x, before, [1.0]] if n.recurrent else [x, [1.0]])
        self.net = np.column_stack([self.weights.hidden, self.weights.hidden_bias]) @ self.z
        self.y_in, self.net_in = f(self.net[n.input_gates])[gate], self.net[n.input_gates][gate]
        self.s = self.s + self.y_in * self._g(self.net[cell])
        self.y_out = f(self.net[n.output_gate_units])[gate] if n.output_gates else np.ones(n.cells)
        self.y = f(self.net)  # gates (7), (8) and conventional units (6)
        self.y[cell] = self.y_out * self._h(self.s)

    def _derivatives(self) -> None:
        """(25): ds/dw_in += g(net_c) f'(net_in) z;  (27): ds/dw_c += y^in g'(net_c) z."""
        net_c = self.net[: self.network.cells]
        self.ds_din = self.ds_din + np.outer(self._g(net_c) * df(self.net_in), self.z)
        self.ds_dc = self.ds_dc + np.outer(self.y_in * self._dg(net_c), self.z)

    def _outputs(self, x: Floats) -> None:
        """y^k = f_k(net_k); net_k sums over all units except gates, with their outputs of this step."""
        n = self.network
        above = [self.y[: n.cells], self.y[n.conventional], [1.0]]
        self.r = np.concatenate([x, *above] if n.shortcuts else above)
        net_k = np.column_stack([self.weights.output, self.weights.output_bias]) @ self.r
        self.y_k = f(net_k) if n.output == "logistic" else net_k

    def learn(self, target: ArrayLike, error: str = "squared") -> None:
        """Collect the changes for the target of this step; `apply` makes them.

        Args:
            target: t^k [K].
            error: "squared", or "entropy", which leaves f' out of (19).
        """
        n = self.network
        e_k = np.asarray(target, float) - self.y_k
        if error == "squared" and n.output == "logistic":
            e_k = self.y_k * (1 - self.y_k) * e_k  # (19)
        arriving = e_k @ self.weights.output  # sum_k w_km e_k, for each input of the output layer
        arriving = arriving[n.inputs :] if n.shortcuts else arriving
        self._collect(e_k, arriving[: n.cells], arriving[n.cells :])

    def _collect(self, e_k: Floats, at_cells: Floats, at_conventional: Floats) -> None:
        n = self.network
        e_i = df(self.net[n.conventional]) * at_conventional  # (20)
        e_s = self.y_out * self._dh(self.s) * at_cells  # (23)
        hidden = np.zeros((n.units, n.fan_in + 1))
        hidden[: n.cells] = e_s[:, None] * self.ds_dc  # (28)
        for j in range(n.blocks):
            cells = self.block_of == j
            hidden[n.cells + j] = e_s[cells] @ self.ds_din[cells]  # (26), (24)
            if n.output_gates:
                gate = n.cells + n.blocks + j
                e_out = df(self.net[gate]) * (self._h(self.s[cells]) @ at_cells[cells])  # (21)
                hidden[gate] = e_out * self.z  # (22)
        hidden[n.conventional] = np.outer(e_i, self.z)  # (22)
        if not n.recurrent_cells:
            hidden[: n.cells, n.inputs : -1] = 0.0
        output = np.outer(e_k, self.r)  # (22)
        new = SplitWeights(hidden[:, :-1], hidden[:, -1], output[:, :-1], output[:, -1])
        self.change = SplitWeights(*(total + share for total, share in zip(self.change, new)))

    def apply(self, rate: float) -> None:
        """(22), (26), (28): add alpha times the collected changes to the weights."""
        n = self.network
        change = n.split(n.join(self.change))  # drops changes of weights that do not exist: biases of unbiased units
        self.weights = SplitWeights(*(w + rate * dw for w, dw in zip(self.weights, change)))
        self.change = n.split(np.zeros(n.weight_count))

    def _g(self, x: Floats) -> Floats:
        """(5): in [-2, 2]; g1: logistic."""
        return 4 * f(x) - 2 if self.network.g == "g2" else f(x)

    def _dg(self, x: Floats) -> Floats:
        return 4 * df(x) if self.network.g == "g2" else df(x)

    def _h(self, x: Floats) -> Floats:
        """(4): in [-1, 1]; id: the identity."""
        return 2 * f(x) - 1 if self.network.h == "h1" else x

    def _dh(self, x: Floats) -> Floats:
        return 2 * df(x) if self.network.h == "h1" else np.ones_like(x)
