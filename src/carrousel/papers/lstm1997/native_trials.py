"""Many independent trials of one network in the compiled kernels: each in a lane of a vector, on its own sequences.

A trial's weights, errors and the sequence at which it stops depend on its own weights and sequences only, not on its
neighbours, their number, the instruction set or the threads (float32, every sum in a fixed order).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrousel.errors import UserError
from carrousel.fused.kernels import LSTM1997
from carrousel.online.checks import array_of, check_whole
from carrousel.online.exclusive import Exclusive
from carrousel.online.lstm1997.compiled import describe
from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.rule import Rule, check_rule
from carrousel.papers.harness.method import Errors, Presented
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.block_checks import check_block


class NativeTrials(Exclusive):
    """Trials of one network.

    Only one thread at a time may use the object, which starts `threads` of its own. In a block with targets at every
    step, an index of -1 or a row of NaN means no target; in x, an index of -1 means that no input is 1.

    Args:
        network: its description.
        weights: initial weights of each trial [trials, network.weight_count].
        rate: learning rate alpha.
        update: "sequence": the weights change at the end of each sequence; "step": at each step with a target.
        error: "squared", equation (19): e_k = f'(net_k)(t - y); "entropy": e_k = t - y, without f' (a variant).
        threads: number of threads that share the trials; each vector of trials stays on one thread.
        window: the longest window of a Stop.

    Attributes:
        weights: [trials, network.weight_count], float32; writable.
        presented: sequences presented to each trial so far [trials], int64.
        stopped: which trials have met a Stop [trials], bool; writable, to continue after a first Stop.

    Raises:
        ValueError: an invalid argument; the message names it and its value.
        RuntimeError: in all methods: another thread uses this object; nothing has changed.
        UserError: the compiled kernels are missing.
    """

    def __init__(
        self,
        network: Network,
        weights: ArrayLike,
        rate: float,
        *,
        update: str = "sequence",
        error: str = "squared",
        threads: int = 1,
        window: int = 2000,
    ) -> None:
        super().__init__()
        if LSTM1997 is None:
            raise UserError(
                "carrousel reproduce needs the compiled kernels: install a C++20 compiler, then carrousel again"
            )
        if not isinstance(network, Network):
            raise ValueError(f"network={network!r} must be a Network")
        check_whole("threads", threads, 1)
        check_whole("window", window, 0)
        self.network = network
        self.rule: Rule = check_rule(rate, update, error)
        self.threads = threads
        self.window = window
        self.weights = weights
        self.presented: NDArray[np.int64] = np.zeros(len(self.weights), np.int64)
        self.stopped: NDArray[np.bool_] = np.zeros(len(self.weights), bool)
        self._recent = np.zeros((len(self.weights), window, len(Errors._fields)), np.float32)

    @property
    def weights(self) -> NDArray[np.float32]:
        """Weights of each trial [trials, network.weight_count], float32."""
        return self._weights

    @weights.setter
    def weights(self, weights: ArrayLike) -> None:
        shape = array_of("weights", weights).shape
        if len(shape) != 2 or (hasattr(self, "_weights") and shape != self._weights.shape):
            trials = len(self._weights) if hasattr(self, "_weights") else "trials"
            raise ValueError(f"weights has shape {list(shape)}, expected [{trials}, {self.network.weight_count}]")
        self.network.split(weights)  # raises if they do not fit
        copied = np.array(weights, dtype=np.float32, order="C")
        with self._exclusive:
            self._weights = copied

    def begin(self, trial: int, weights: ArrayLike) -> None:
        """Begin a new trial in place of one that has ended.

        Args:
            trial: position of the trial.
            weights: its initial weights [network.weight_count].

        Raises:
            ValueError: weights that do not fit the network; nothing has changed.
        """
        self.network.split(weights)  # raises if they do not fit
        with self._exclusive:
            self._weights[trial] = weights
            self.presented[trial], self.stopped[trial], self._recent[trial] = 0, False, 0

    def train(self, blocks: Sequence[Sequences | None], stop: Stop | None = None) -> list[Presented | None]:
        """Train each trial on its block, sequence by sequence; activations start at zero in each sequence.

        Args:
            blocks: one a trial; None: nothing for this trial. Trials that have stopped are skipped too.
            stop: the criterion; None: all sequences are presented.

        Returns:
            One result a trial; None for a skipped trial.

        Raises:
            ValueError: blocks that do not fit the network, NaN, infinity; no trial has changed.
        """
        if stop is not None and stop.window > self.window:
            raise ValueError(f"stop.window={stop.window} is longer than window={self.window} of these trials")
        results: list[Presented | None] = [None] * len(self.weights)
        with self._exclusive:
            for i, errors, done, stopped in self._present(self._check(blocks, frozen=False), stop, learn=True):
                seen = done - self.presented[i]
                self.presented[i], self.stopped[i] = done, stopped
                results[i] = Presented(Errors(*errors[:seen].T), stopped)
        return results

    def evaluate(self, blocks: Sequence[Sequences | None]) -> list[Errors | None]:
        """The errors on each trial's block with frozen weights; `blocks` as in `train`.

        Errors are measured against `truth` if a block has one in numbers, else against `targets`.
        """
        with self._exclusive:
            presented = self._present(self._check(blocks, frozen=True), None, learn=False)
        errors = {i: Errors(*of_trial.T) for i, of_trial, _, _ in presented}
        return [errors.get(i) for i in range(len(self.weights))]

    def outputs(self, blocks: Sequence[Sequences | None]) -> list[NDArray[np.float32] | None]:
        """The outputs at every row of targets [N or steps, K], float32, with frozen weights; 0 without a target."""
        checked = self._check(blocks, frozen=True)
        outputs = {i: np.zeros((len(block.targets), self.network.outputs), np.float32) for i, block in checked.items()}
        with self._exclusive:
            self._present(checked, None, learn=False, outputs=outputs)
        return [outputs.get(i) for i in range(len(self.weights))]

    def _check(self, blocks: Sequence[Sequences | None], frozen: bool) -> dict[int, Sequences]:
        """The blocks to present, by trial; with frozen weights also those of stopped trials, and with their truth."""
        if not isinstance(blocks, Sequence) or len(blocks) != len(self.weights):
            found = f"{len(blocks)} entries" if isinstance(blocks, Sequence) else f"the type {type(blocks).__name__}"
            raise ValueError(f"blocks has {found}, expected a list of {len(self.weights)}: one a trial")
        return {
            i: check_block(
                block.with_truth() if frozen and isinstance(block, Sequences) else block, self.network, f"blocks[{i}]"
            )
            for i, block in enumerate(blocks)
            if block is not None and (frozen or not self.stopped[i])
        }

    def _present(
        self,
        blocks: dict[int, Sequences],
        stop: Stop | None,
        learn: bool,
        outputs: dict[int, NDArray[np.float32]] | None = None,
    ) -> list[tuple[int, NDArray[np.float32], int, bool]]:
        """Run trials; for each one its errors [N, 4], the sequences presented so far, and whether it stopped."""
        errors = {i: np.zeros((len(block.lengths), len(Errors._fields)), np.float32) for i, block in blocks.items()}
        trials = [
            trial_addresses(block, self.weights[i], errors[i], outputs[i] if outputs else None)
            + ((self._recent[i].ctypes.data, self.window, int(self.presented[i])) if learn else (0, 0, 0))
            for i, block in blocks.items()
        ]
        assert LSTM1997 is not None  # __init__ has checked it
        rule = self.rule._replace(learns=learn)
        done = LSTM1997.present(describe(self.network), rule, describe_stop(stop), trials, self.threads)
        return [(i, errors[i], *outcome) for i, outcome in zip(blocks, done)]


def describe_stop(stop: Stop | None) -> tuple[Any, ...]:
    """The criterion as bindings/lstm1997.cpp takes it."""
    if stop is None:
        return 0, 0.0, 0, math.inf, False, False, 1
    mean = math.inf if stop.mean is None else stop.mean
    return stop.window, stop.bound, stop.allowed, mean, stop.measure == "squared", stop.at_end, stop.every


def trial_addresses(
    block: Sequences, weights: NDArray[np.float32], errors: NDArray[np.float32], outputs: NDArray[np.float32] | None
) -> tuple[int, ...]:
    """A trial's block and arrays as bindings/lstm1997.cpp takes them."""
    return (
        *(len(block.lengths), block.lengths.ctypes.data),
        *address(block.x),
        *address(block.targets),
        *(block.at_end, weights.ctypes.data, errors.ctypes.data, 0 if outputs is None else outputs.ctypes.data),
    )


def address(array: NDArray[Any]) -> tuple[int, int]:
    """An array's address as (numbers, indices); the one that it is not is 0."""
    return (array.ctypes.data, 0) if array.dtype == np.float32 else (0, array.ctypes.data)
