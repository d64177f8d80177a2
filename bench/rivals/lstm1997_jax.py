"""The truncated rule of 1997 in compiled JAX: `lax.scan` over steps and over sequences, `vmap` over trials.

For networks as those of Experiments 4 and 6: gates of both kinds, connectivity F, every unit biased, an error at the
end. Letters are network.py's: I inputs, K outputs, C blocks, S cells in a block, U hidden units, T steps, N sequences.

A compiled scan has one length, so sequences are padded, at their beginning: `real` is 0 there and keeps states and
activations at zero, and the last step is the last of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax  # type: ignore[import-not-found]
import jax.numpy as jnp  # type: ignore[import-not-found]
import numpy as np
from jax import lax  # type: ignore[import-not-found]
from numpy.typing import NDArray

from bench.rivals.lstm1997_torch import dense
from carrousel.online.lstm1997.network import Network, SplitWeights
from carrousel.papers.harness.sequences import Sequences, positions

sigmoid = jax.nn.sigmoid


class Compiled:
    """Independent networks side by side; their weights change at the end of each sequence.

    Args:
        network: the description.
        weights: to start from [trials, weight_count].
        rate: alpha.
        way: one of WAYS.
    """

    def __init__(self, network: Network, weights: NDArray, rate: float, way: Callable[..., Any]) -> None:
        self.network = network
        parts = [jnp.asarray(part, jnp.float32) for part in network.split(weights)]
        several = len(weights) > 1
        self.parts = parts if several else [part[0] for part in parts]
        change = way(network, several)

        def sequence(weights: Any, one: Any) -> Any:
            return [w + rate * dw for w, dw in zip(weights, change(weights, *one))], None

        def block(weights: Any, sequences: Any) -> Any:
            return lax.scan(sequence, weights, sequences)[0]

        self._block = jax.jit(jax.vmap(block) if several else block)

    @property
    def weights(self) -> NDArray:
        """[trials, weight_count], or [weight_count] of one."""
        return self.network.join(SplitWeights(*map(np.asarray, self.parts)))

    def padded(self, blocks: Sequence[Sequences]) -> tuple[Any, ...]:
        """x [trials, N, T, I], real [trials, N, T] and targets [trials, N, K]; of one trial without its axis."""
        T = max(int(block.lengths.max()) for block in blocks)
        parts = [pad(block, self.network, T) for block in blocks]
        return tuple(jnp.asarray(np.stack(part) if len(blocks) > 1 else part[0]) for part in zip(*parts))

    def train(self, padded: tuple[Any, ...]) -> None:
        """Learn from what `padded` made."""
        self.parts = jax.block_until_ready(self._block(self.parts, padded))


def pad(block: Sequences, network: Network, T: int) -> tuple[NDArray, NDArray, NDArray]:
    """x [N, T, I], real [N, T], targets [N, K]: every sequence ends at step T."""
    N = len(block.lengths)
    at = np.repeat(np.arange(N), block.lengths), positions(block.lengths) + np.repeat(T - block.lengths, block.lengths)
    x, real = np.zeros((N, T, network.inputs), np.float32), np.zeros((N, T), np.float32)
    x[at], real[at] = dense(block.x, network.inputs), 1
    return x, real, dense(block.targets, network.outputs)


def step(n: Network, R: Any, a_x: Any, real: Any, s: Any, y: Any) -> tuple[Any, ...]:
    """(6)-(9), and what z is multiplied with in (27) and (25) [2 C S]."""
    a = sigmoid(a_x + R @ y)
    f, y_in, y_out = a[: n.cells], of_cells(n, a[n.input_gates]), of_cells(n, a[n.output_gate_units])
    g = 4 * f - 2
    s = s + real * y_in * g
    k = real * jnp.concatenate([y_in * 4 * f * (1 - f), g * y_in * (1 - y_in)])
    return s, real * jnp.concatenate([y_out * (2 * sigmoid(s) - 1), a[n.cells :]]), k


def of_cells(n: Network, of_blocks: Any) -> Any:
    """A number of each block [C], for each of its cells [C S]."""
    return jnp.repeat(of_blocks, n.block_size)


def by_gradient(n: Network, several: bool) -> Callable[..., Any]:
    """By reverse mode, as in torch: the loss with the recurrent inputs held fixed, and `jax.grad`."""

    def loss(weights: Any, x: Any, real: Any, target: Any) -> Any:
        W, b, V, c = weights
        R = W[:, n.inputs :]

        def forward(carry: Any, row: Any) -> tuple[Any, None]:
            (s, y), (a_x, real) = carry, row
            return step(n, R, a_x, real, s, lax.stop_gradient(y))[:2], None

        zeros = jnp.zeros(n.cells), jnp.zeros(n.units)
        (_, y), _ = lax.scan(forward, zeros, (x @ W[:, : n.inputs].T + b, real))
        return ((target - sigmoid(V @ y[: n.cells] + c)) ** 2).sum() / 2

    gradient = jax.grad(loss)
    return lambda weights, *one: [-dw for dw in gradient(list(weights), *one)]


def accumulating(n: Network, several: bool) -> Callable[..., Any]:
    """By the paper's equations: (25) and (27) at every step, in memory that does not grow with the sequence.

    What XLA makes the most of was measured. Alone a step becomes one fused kernel, but only unless it is unrolled, with
    R cut out of W before the scan, and with one product for (25) and (27); otherwise it takes twice or thrice as long.
    In lanes it never does, and unrolling by 5 is the quickest. To keep the steps' k and z and multiply them once at the
    end takes 70 to 180 % of these times, but memory that grows with the sequence.
    """

    def change(weights: Any, x: Any, real: Any, target: Any) -> list[Any]:
        W, b, V, c = weights
        W_x, R = W[:, : n.inputs], W[:, n.inputs :]

        def forward(carry: Any, row: Any) -> tuple[Any, None]:
            (s, before, _, ds), (a_x, real, x) = carry, row
            s, y, k = step(n, R, a_x, real, s, before)
            return (s, y, before, ds + k[:, None] * z_of(x, before)), None

        zeros = jnp.zeros(n.cells), jnp.zeros(n.units), jnp.zeros(n.units), jnp.zeros((2 * n.cells, n.fan_in + 1))
        (s, y, before, ds), _ = lax.scan(forward, zeros, (x @ W_x.T + b, real, x), unroll=5 if several else 1)
        return changes(n, V, c, s, y, z_of(x[-1], before), ds, target)

    return change


def z_of(x: Any, y: Any) -> Any:
    """What feeds the hidden layer, the constant 1 of the biases behind it [Z + 1]."""
    return jnp.concatenate([x, y, jnp.ones(1)])


def changes(n: Network, V: Any, c: Any, s: Any, y: Any, z: Any, ds: Any, target: Any) -> list[Any]:
    """(19)-(28): the change of each kind of weight, without alpha, at the last step."""
    y_k = sigmoid(V @ y[: n.cells] + c)
    e_k = y_k * (1 - y_k) * (target - y_k)  # (19)
    back, f, y_out = V.T @ e_k, sigmoid(s), y[n.output_gate_units]
    e_s = of_cells(n, y_out) * 2 * f * (1 - f) * back  # (23)
    of_block = partial(jnp.reshape, shape=(n.blocks, n.block_size, -1))
    e_out = y_out * (1 - y_out) * of_block((2 * f - 1) * back).sum((1, 2))  # (21)
    into_cells = e_s[:, None] * ds[: n.cells]  # (28)
    into_gates = of_block(e_s[:, None] * ds[n.cells :]).sum(1)  # (26)
    hidden = jnp.concatenate([into_cells, into_gates, e_out[:, None] * z])  # (22)
    return [hidden[:, :-1], hidden[:, -1], jnp.outer(e_k, y[: n.cells]), e_k]


WAYS = {"JAX, jax.grad": by_gradient, "JAX, (25) and (27)": accumulating}
