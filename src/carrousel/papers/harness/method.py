"""What the harness asks of a method of learning: begin a trial, train on blocks, evaluate, show the outputs.

A row holds a method's settings. `MethodSettings.start` makes the method itself, which runs several trials side by side,
each at a place of its own: in the lanes of a vector, or one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.harness.sequences import Floats, Sequences
from carrousel.papers.harness.stop import Stop


class Errors(NamedTuple):
    """The errors of each sequence of one trial, before its update; [N], float32."""

    largest: Floats  # largest absolute error of an output, over the steps with a target
    at_end: Floats  # the same, of the last step with a target only
    absolute: Floats  # absolute error, averaged over outputs and steps with a target
    squared: Floats  # squared error, averaged over outputs and steps with a target


class Presented(NamedTuple):
    """The result of training one trial on a block."""

    errors: Errors  # of the sequences that were presented: fewer than the block's if the trial stopped
    stopped: bool  # the Stop is met: the last of these sequences was the last that changed the weights
    grew: bool = False  # the network got new units after these sequences


class Method(Protocol):
    """A method that runs trials side by side. In each list of blocks, None means: nothing for this trial."""

    @property
    def places(self) -> int:
        """Number of trials side by side."""
        ...

    def begin(self, place: int, rng: np.random.Generator) -> None:
        """Begin a new trial at a place, in place of the one before; its random choices come from `rng` alone."""
        ...

    def train(self, blocks: Sequence[Sequences | None], stop: Stop | None) -> list[Presented | None]:
        """Train each trial on its block, sequence by sequence, until its Stop is met; None: no Stop."""
        ...

    def evaluate(self, blocks: Sequence[Sequences | None]) -> list[Errors | None]:
        """Each trial's errors on its block, without learning; measured against `truth` where a block has numbers."""
        ...

    def outputs(self, blocks: Sequence[Sequences | None]) -> list[NDArray[Any] | None]:
        """Each trial's outputs at every row of its block's targets [N or steps, K], without learning."""
        ...

    def weights(self, place: int) -> NDArray[Any] | None:
        """The weights of a trial as MethodSettings.states takes them; None: there is nothing to plot."""
        ...


class MethodSettings:
    """A method with its settings for a row: immutable, and equal where two rows can run side by side.

    A subclass is a frozen dataclass with a `name`.

    Attributes:
        name: of the method, as tables have it.
    """

    name: ClassVar[str]

    def start(self, places: int, threads: int) -> Method:
        """The method at work.

        Args:
            places: number of trials side by side.
            threads: number of threads it may use.
        """
        raise NotImplementedError

    def states(self, weights: NDArray[Any], x: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]] | None:
        """For plots: a trained network's internal states [T, units] and outputs [T, K] over one sequence.

        Args:
            weights: as Method.weights returns them.
            x: inputs [T, I] or symbols [T].

        Returns:
            States and outputs; None: this method has nothing to plot.
        """
        return None
