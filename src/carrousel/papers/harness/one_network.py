"""Base class of methods whose trials run one after another: a subclass only says what one network does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from carrousel.papers.harness.method import Errors, Presented
from carrousel.papers.harness.sequences import Floats, Sequences, starts
from carrousel.papers.harness.stop import Stop, Window


class OneNetwork(Protocol):
    """A network that reads one sequence at a time."""

    def present(self, x: NDArray[Any], targets: Floats | None, at: NDArray[np.int64]) -> NDArray[Any]:
        """Read one sequence, from a fresh state, and learn from it if there are targets.

        Args:
            x: inputs [T, I] or symbols [T], -1 for none.
            targets: of the steps `at` [len(at), K]; None: the weights stay as they are.
            at: the steps that have an output, in order.

        Returns:
            The outputs at these steps [len(at), K], before learning.
        """
        ...


class OneByOne:
    """A `Method` whose trials run one after another.

    Args:
        new: makes the network of a new trial from the trial's random numbers.
        outputs: K, output units.
        places: number of trials that wait for each other.
    """

    def __init__(self, new: Callable[[np.random.Generator], OneNetwork], outputs: int, places: int) -> None:
        self.new = new
        self.K = outputs
        self.networks: list[OneNetwork | None] = [None] * places
        self.windows: list[Window | None] = [None] * places
        self.stopped: list[bool] = [False] * places

    @property
    def places(self) -> int:
        return len(self.networks)

    def begin(self, place: int, rng: np.random.Generator) -> None:
        """Begin a new trial at a place, with a new network."""
        self.networks[place] = self.new(rng)
        self.windows[place], self.stopped[place] = None, False

    def train(self, blocks: Sequence[Sequences | None], stop: Stop | None) -> list[Presented | None]:
        """Train each trial on its block, until its Stop is met."""
        return [
            None if block is None or self.stopped[place] else self._train(place, block, stop)
            for place, block in enumerate(blocks)
        ]

    def evaluate(self, blocks: Sequence[Sequences | None]) -> list[Errors | None]:
        """Each trial's errors on its block, without learning."""
        return [
            None if block is None else self._evaluate(place, block.with_truth()) for place, block in enumerate(blocks)
        ]

    def outputs(self, blocks: Sequence[Sequences | None]) -> list[NDArray[Any] | None]:
        """Each trial's outputs at every row of its block's targets [N or steps, K], without learning."""
        return [
            None if block is None else np.concatenate([self._present(place, one, None) for one in single(block)])
            for place, block in enumerate(blocks)
        ]

    def weights(self, place: int) -> NDArray[Any] | None:
        """None: there is nothing to plot."""
        return None

    def _evaluate(self, place: int, block: Sequences) -> Errors:
        return join_errors([self._errors(place, one, learn=False) for one in single(block)])

    def _train(self, place: int, block: Sequences, stop: Stop | None) -> Presented:
        errors = []
        for one in single(block):
            errors.append(self._errors(place, one, learn=True))
            if stop is not None and self._is_done(place, errors[-1], stop):
                self.stopped[place] = True
                break
        return Presented(join_errors(errors), self.stopped[place])

    def _is_done(self, place: int, errors: NDArray[np.float32], stop: Stop) -> bool:
        window = self.windows[place]
        if window is None:
            window = self.windows[place] = Window(stop)
        return window.add(list(errors))

    def _errors(self, place: int, one: Sequences, learn: bool) -> NDArray[np.float32]:
        """The errors of one sequence: largest, at_end, absolute, squared; 0 if it has no target."""
        targets = self._dense(one.targets)
        has = ~np.isnan(targets).any(axis=1)
        outputs = self._present(place, one, targets[has] if learn else None)
        off = np.asarray(np.abs(targets - outputs)[has])
        if not off.size:
            return np.zeros(4, np.float32)
        return np.array([off.max(), off[-1].max(), off.mean(), (off**2).mean()], np.float32)

    def _present(self, place: int, one: Sequences, targets: Floats | None) -> NDArray[Any]:
        """The outputs at every row of a sequence's targets [1 or T, K]; 0 at a step without a target."""
        network = self.networks[place]
        assert network is not None, "begin comes first"
        T = int(one.lengths[0])
        has = np.asarray(~np.isnan(self._dense(one.targets)).any(axis=1))
        outputs = np.zeros((has.size, self.K))
        steps = np.array([T - 1])[has] if one.at_end else np.flatnonzero(has)
        outputs[has] = network.present(one.x, targets, steps)
        return outputs

    def _dense(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Targets as numbers [N, K]; a step without a target is NaN."""
        if targets.ndim == 2:
            return targets
        dense = np.eye(self.K)[targets]
        dense[targets < 0] = np.nan
        return dense


def single(block: Sequences) -> Iterator[Sequences]:
    """The sequences of a block one by one."""
    first = starts(block.lengths)
    for n, T in enumerate(block.lengths):
        steps = slice(first[n], first[n] + T)
        rows = slice(n, n + 1) if block.at_end else steps
        truth = None if block.truth is None else block.truth[rows]
        yield Sequences(block.lengths[n : n + 1], block.x[steps], block.targets[rows], truth)


def join_errors(errors: Sequence[NDArray[np.float32]]) -> Errors:
    """The errors of several sequences, by kind."""
    return Errors(*np.array(errors, np.float32).reshape(-1, 4).T)
