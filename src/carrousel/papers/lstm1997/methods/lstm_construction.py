"""Sequential network construction (Experiments 2a, 2b): the memory cell and its gate come once the error stops falling.

A block that is not there yet: no weights lead out of its cells and its input gate is shut, so that nothing reaches a
state or an output, no error comes back, and the weights from inputs to outputs learn as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrousel.papers.lstm1997.network import Network

SHUT = -700.0  # into the input gate, from each input: the gate is 0 in single precision, e^700 no infinity in double


def without_blocks(network: Network, weights: ArrayLike) -> NDArray:
    """The same weights, but the blocks are not there yet [weight_count]."""
    apart = network.split(weights)
    apart.hidden[network.input_gates] = SHUT
    apart.output[:, network.feeds - network.cells :] = 0.0
    return network.join(apart)


def with_blocks(network: Network, weights: ArrayLike, rng: np.random.Generator, opening: float = 0.0) -> NDArray:
    """The weights that learned so far, and the blocks' new random ones [weight_count].

    Args:
        network: the description.
        weights: as they are now [weight_count].
        rng: where the new ones come from.
        opening: is added to all weights from the inputs into the new input gates. One input is on at each step, so
            that it acts as a bias, which these gates do not have: below zero the gates open a little only.
    """
    apart, new = network.split(weights), network.split(network.initial_weights(rng))
    apart.hidden[:] = new.hidden
    apart.hidden[network.input_gates] += opening
    first = network.feeds - network.cells
    apart.output[:, first:] = new.output[:, first:]
    return network.join(apart)


def stopped_falling(errors: Sequence[float], window: int = 100, by: float = 0.01) -> bool:
    """Whether the mean of the last `window` errors is not below that of the `window` before by this part of it.

    Args:
        errors: mean squared errors of the sequences presented, in order.
        window: sequences that are averaged.
        by: the part that counts as a decrease.
    """
    if len(errors) < 2 * window:
        return False
    before, last = np.mean(errors[-2 * window : -window]), np.mean(errors[-window:])
    return bool(last > (1 - by) * before)
