"""Sequential network construction (Experiments 2a, 2b): the memory cell block is added once the error stops falling.

Before that the block has no effect: the weights out of its cells are zero and its input gate is shut, so that nothing
reaches a state or an output and no error comes back. The weights from inputs to outputs learn as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from carrousel.online.lstm1997.network import Floats, Network

SHUT = -700.0  # weight from each input into the input gate: the gate is 0 in float32, and e^700 is finite in float64


def remove_blocks(network: Network, weights: ArrayLike) -> Floats:
    """The same weights [weight_count], but the blocks have no effect yet."""
    layers = network.split(weights)
    layers.hidden[network.input_gates] = SHUT
    layers.output[:, network.output_fan_in - network.cells :] = 0.0
    return network.join(layers)


def add_blocks(network: Network, weights: ArrayLike, rng: np.random.Generator, opening: float = 0.0) -> Floats:
    """The weights learned so far, with new random weights for the blocks [weight_count].

    Args:
        network: its description.
        weights: current weights [weight_count].
        rng: random numbers for the new weights.
        opening: added to all weights from the inputs into the new input gates. One input is 1 at each step, so that
            this acts as a bias, which these gates do not have: below zero the gates open only a little.
    """
    layers, new = network.split(weights), network.split(network.initial_weights(rng))
    layers.hidden[:] = new.hidden
    layers.hidden[network.input_gates] += opening
    first = network.output_fan_in - network.cells
    layers.output[:, first:] = new.output[:, first:]
    return network.join(layers)


def has_stopped_falling(errors: Sequence[float], window: int = 100, by: float = 0.01) -> bool:
    """Whether the mean of the last `window` errors is not lower, by this fraction, than that of the `window` before.

    Args:
        errors: mean squared errors of the sequences presented, in order.
        window: number of sequences to average.
        by: smallest fraction that counts as a decrease.
    """
    if len(errors) < 2 * window:
        return False
    before, last = np.mean(errors[-2 * window : -window]), np.mean(errors[-window:])
    return bool(last > (1 - by) * before)
