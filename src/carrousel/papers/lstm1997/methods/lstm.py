"""The paper's own method: memory cell blocks and the truncated learning rule, in the compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.reference import Reference
from carrousel.papers.harness.method import Errors, MethodSettings, Presented
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.methods.lstm_construction import add_blocks, has_stopped_falling, remove_blocks
from carrousel.papers.lstm1997.native_trials import NativeTrials


@dataclass(frozen=True)
class LSTM(MethodSettings):
    """A network of memory cell blocks and its learning rule.

    Args:
        network: its description.
        rate: learning rate alpha.
        update: when the weights change, as NativeTrials takes it.
        error: error signal of the output units, as NativeTrials takes it.
        grows: the memory cell block is added once the error stops falling (sequential network construction).
        opening: of the input gate that is added then, as `add_blocks` takes it.
    """

    name: ClassVar[str] = "lstm"

    network: Network
    rate: float
    update: str = "sequence"
    error: str = "squared"
    grows: bool = False
    opening: float = 0.0

    def start(self, places: int, threads: int) -> LSTMTrials:
        """The trials of networks with these settings."""
        return LSTMTrials(self, places, threads)

    def states(self, weights: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The internal states [T, C*S] and outputs [T, K] of a trained network over one sequence."""
        network = Reference(self.network, weights)
        states, outputs = [], []
        for row in np.eye(self.network.inputs)[x] if x.ndim == 1 else x:
            outputs.append(network.step(row))
            states.append(network.s.copy())
        return np.array(states), np.array(outputs)


class LSTMTrials:
    """A `Method`: trials of one network in the lanes of a vector, with construction if the settings ask for it.

    Args:
        settings: of all trials.
        places: number of trials side by side.
        threads: that share them.
    """

    def __init__(self, settings: LSTM, places: int, threads: int) -> None:
        s = settings
        self.settings = settings
        weights = np.zeros((places, s.network.weight_count), np.float32)
        self.trials: NativeTrials = NativeTrials(
            s.network, weights, s.rate, update=s.update, error=s.error, threads=threads
        )
        self.rngs: dict[int, np.random.Generator] = {}
        self.falling: dict[int, list[float]] = {}  # squared errors of the trials whose block is still to be added

    @property
    def places(self) -> int:
        return len(self.trials.weights)

    def begin(self, place: int, rng: np.random.Generator) -> None:
        """Begin a new trial at a place; if the network grows, without the block that is added later."""
        network, grows = self.settings.network, self.settings.grows
        weights = network.initial_weights(rng)
        self.trials.begin(place, remove_blocks(network, weights) if grows else weights)
        self.rngs[place] = rng
        if grows:
            self.falling[place] = []

    def train(self, blocks: Sequence[Sequences | None], stop: Stop | None) -> list[Presented | None]:
        """Train each trial on its block; add the block to networks whose error has stopped falling."""
        presented = self.trials.train(blocks, stop)
        for place, errors in list(self.falling.items()):
            if (result := presented[place]) is not None:
                errors.extend(result.errors.squared.tolist())
                del errors[:-400]
                if has_stopped_falling(errors):
                    self._add_blocks(place)
                    presented[place] = result._replace(grew=True)
        return presented

    def evaluate(self, blocks: Sequence[Sequences | None]) -> list[Errors | None]:
        """Each trial's errors on its block, without learning."""
        return self.trials.evaluate(blocks)

    def outputs(self, blocks: Sequence[Sequences | None]) -> list[NDArray[Any] | None]:
        """Each trial's outputs at every row of its block's targets [N or steps, K], without learning."""
        return self.trials.outputs(blocks)

    def weights(self, place: int) -> NDArray[Any]:
        """The weights of a trial [weight_count]."""
        return self.trials.weights[place]

    def _add_blocks(self, place: int) -> None:
        s, weights = self.settings, self.trials.weights
        weights[place] = add_blocks(s.network, weights[place], self.rngs[place], s.opening)
        del self.falling[place]
