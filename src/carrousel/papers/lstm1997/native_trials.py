"""Many independent trials of one network, trained natively: each trial in a lane of a vector, on its own sequences.

A trial's weights, errors and the sequence at which it stops depend on its own weights and sequences alone: not on its
neighbours, their number, the instruction set or the threads (float32, every sum in one order).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from carrousel.errors import UserError
from carrousel.fused.kernels import LSTM1997
from carrousel.papers.lstm1997.checks import checked
from carrousel.papers.lstm1997.exclusive import Exclusive
from carrousel.papers.lstm1997.network import LARGEST, Network, array_of, is_number
from carrousel.papers.lstm1997.sequences import Sequences

UPDATES = ("sequence", "step")
ERRORS = ("squared", "entropy")


@dataclass(frozen=True)
class Stop:
    """When a trial is done, judged on the `window` most recent training sequences of the trial, after each sequence.

    All must hold: `window` sequences have been presented; at most `allowed` of them have an error above `bound`; and
    their mean error is below `mean`.

    Args:
        bound: of the largest absolute error of an output unit, as in ABS(bound).
        window: sequences that count.
        allowed: sequences in the window that may exceed the bound.
        mean: of the error averaged over the window; None: no bound.
        measure: what `mean` bounds: "absolute" or "squared" error, averaged over outputs and steps with a target.
        at_end: `bound` judges the last step of each sequence only, not every step with a target.
        every: sequences of the trial between two judgements.

    Raises:
        ValueError: a criterion that nothing could meet; names the argument and its value.
    """

    bound: float
    window: int = 2000
    allowed: int = 0
    mean: float | None = None
    measure: str = "absolute"
    at_end: bool = False
    every: int = 1

    def __post_init__(self) -> None:
        check_whole("window", self.window, 1)
        check_whole("allowed", self.allowed, 0)
        check_whole("every", self.every, 1)
        if not is_number(self.bound) or not self.bound >= 0:
            raise ValueError(f"bound={self.bound!r} must be a number of 0 or more")
        if self.mean is not None and not (is_number(self.mean) and self.mean > 0):
            raise ValueError(f"mean={self.mean!r} must be a number above 0, or None")
        if self.measure not in ("absolute", "squared"):
            raise ValueError(f'measure={self.measure!r} must be "absolute" or "squared"')


class Errors(NamedTuple):
    """The errors of each sequence of one trial, before its update; [N], float32."""

    largest: NDArray  # largest absolute error of an output, over the steps with a target
    at_end: NDArray  # the same, of the last step with a target
    absolute: NDArray  # absolute error, averaged over outputs and steps with a target
    squared: NDArray  # squared error, averaged over outputs and steps with a target


class Presented(NamedTuple):
    """What became of one trial's block."""

    errors: Errors  # of the sequences that were presented: fewer than the block's when the trial stopped
    stopped: bool  # the criterion is met: the last of them was the last that changed the weights


class Trainer(Exclusive):
    """Trials of one network.

    One thread at a time may use it; the `threads` that it starts are its own.
    Where targets stand at every step, an index of -1 or a row of NaN is no target; in x an index of -1 is no input.

    Args:
        network: the description.
        weights: the initial weights of each trial [trials, network.weight_count].
        rate: alpha.
        update: "sequence": the weights change once, at the end of each sequence; "step": at every step with a target.
        error: "squared", equation (19): e_k = f'(net_k)(t - y); "entropy": e_k = t - y, f' left out (a variant).
        threads: how many threads the trials are spread over; a group of lanes never shares a thread.
        window: the longest window that a Stop may ask for.

    Attributes:
        weights: [trials, network.weight_count], float32; may be set and written to.
        presented: sequences presented to each trial so far [trials], int64.
        stopped: which trials have met a criterion [trials], bool; may be written to, to go on after a first criterion.

    Raises:
        ValueError: an argument that is none of those; names it and its value.
        RuntimeError: of all methods: another thread uses this Trainer; nothing has changed then.
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
                "the trials of 1997 need the compiled kernels: install a C++20 compiler and carrousel again"
            )
        if not isinstance(network, Network):
            raise ValueError(f"network={network!r} must be a Network")
        check_whole("threads", threads, 1)
        check_whole("window", window, 0)
        self.network = network
        self.rate, self.update, self.error = checked_rule(rate, update, error)
        self.threads = threads
        self.window = window
        self.weights = weights
        self.presented = np.zeros(len(self.weights), np.int64)
        self.stopped = np.zeros(len(self.weights), bool)
        self._recent = np.zeros((len(self.weights), window, len(Errors._fields)), np.float32)

    @property
    def weights(self) -> NDArray:
        """Of each trial [trials, network.weight_count], float32."""
        return self._weights

    @weights.setter
    def weights(self, weights: ArrayLike) -> None:
        shape = array_of("weights", weights).shape
        if len(shape) != 2 or (hasattr(self, "_weights") and shape != self._weights.shape):
            trials = len(self._weights) if hasattr(self, "_weights") else "trials"
            raise ValueError(f"weights has shape {list(shape)}, expected [{trials}, {self.network.weight_count}]")
        self.network.split(weights)  # raises where they do not fit
        copied = np.array(weights, dtype=np.float32, order="C")
        with self._turn:
            self._weights = copied

    def begin(self, trial: int, weights: ArrayLike) -> None:
        """A new trial in place of one that is over.

        Args:
            trial: whose place it takes.
            weights: its initial weights [network.weight_count].

        Raises:
            ValueError: weights that do not fit the network; nothing has changed.
        """
        self.network.split(weights)  # raises where they do not fit
        with self._turn:
            self._weights[trial] = weights
            self.presented[trial], self.stopped[trial], self._recent[trial] = 0, False, 0

    def train(self, blocks: Sequence[Sequences | None], stop: Stop | None = None) -> list[Presented | None]:
        """Present each trial's block, sequence by sequence; activations start at zero in each.

        Args:
            blocks: one a trial; None where a trial has nothing to do. Trials that have stopped take nothing either.
            stop: the criterion; None: all sequences are presented.

        Returns:
            one a trial; None for those that took nothing.

        Raises:
            ValueError: blocks that do not fit the network, NaN, infinity; no trial has changed.
        """
        if stop is not None and stop.window > self.window:
            raise ValueError(f"stop.window={stop.window} is longer than window={self.window} of this trainer")
        results: list[Presented | None] = [None] * len(self.weights)
        with self._turn:
            for i, errors, done, stopped in self._present(self._checked(blocks, frozen=False), stop, learn=True):
                seen = done - self.presented[i]
                self.presented[i], self.stopped[i] = done, stopped
                results[i] = Presented(Errors(*errors[:seen].T), stopped)
        return results

    def evaluate(self, blocks: Sequence[Sequences | None]) -> list[Errors | None]:
        """The errors on each trial's block with frozen weights; blocks are as `train` takes them.

        Errors are taken from `truth` where a block has one in numbers, and from `targets` otherwise.
        """
        with self._turn:
            presented = self._present(self._checked(blocks, frozen=True), None, learn=False)
        errors = {i: Errors(*of_trial.T) for i, of_trial, _, _ in presented}
        return [errors.get(i) for i in range(len(self.weights))]

    def outputs(self, blocks: Sequence[Sequences | None]) -> list[NDArray | None]:
        """The outputs at every row of targets [N or steps, K], float32, with frozen weights; 0 where no target is."""
        taken = self._checked(blocks, frozen=True)
        said = {i: np.zeros((len(block.targets), self.network.outputs), np.float32) for i, block in taken.items()}
        with self._turn:
            self._present(taken, None, learn=False, said=said)
        return [said.get(i) for i in range(len(self.weights))]

    def _checked(self, blocks: Sequence[Sequences | None], frozen: bool) -> dict[int, Sequences]:
        """The blocks that are taken, by their trials: frozen, also where a trial has stopped, and with their truth."""
        if not isinstance(blocks, Sequence) or len(blocks) != len(self.weights):
            found = f"{len(blocks)} entries" if isinstance(blocks, Sequence) else f"the type {type(blocks).__name__}"
            raise ValueError(f"blocks has {found}, expected a list of {len(self.weights)}: one a trial")
        taken = {i: block for i, block in enumerate(blocks) if block is not None and (frozen or not self.stopped[i])}
        return {
            i: checked(with_truth(block) if frozen else block, self.network, f"blocks[{i}]")
            for i, block in taken.items()
        }

    def _present(
        self, blocks: dict[int, Sequences], stop: Stop | None, learn: bool, said: dict[int, NDArray] | None = None
    ) -> list[tuple[int, NDArray, int, bool]]:
        """Run trials: each with its errors [N, 4], sequences presented in all, and whether it stopped."""
        errors = {i: np.zeros((len(block.lengths), len(Errors._fields)), np.float32) for i, block in blocks.items()}
        trials = [
            trial(block, self.weights[i], errors[i], said[i] if said else None)
            + ((self._recent[i].ctypes.data, self.window, int(self.presented[i])) if learn else (0, 0, 0))
            for i, block in blocks.items()
        ]
        rule = (self.rate, learn, self.update == "step", self.error == "entropy")
        assert LSTM1997 is not None  # __init__ has seen to it
        done = LSTM1997.present(native(self.network), rule, criterion(stop), trials, self.threads)
        return [(i, errors[i], *outcome) for i, outcome in zip(blocks, done)]


def checked_rule(rate: float, update: str, error: str) -> tuple[float, str, str]:
    """The arguments of the rule, as they are.

    Raises:
        ValueError: one that is none; names it and its value.
    """
    if not is_number(rate) or not 0 <= rate <= LARGEST:
        raise ValueError(f"rate={rate!r} must be a number of 0 or more, up to {LARGEST:.2g}")
    if update not in UPDATES:
        raise ValueError(f'update={update!r} must be "sequence" or "step"')
    if error not in ERRORS:
        raise ValueError(f'error={error!r} must be "squared" or "entropy"')
    return float(rate), update, error


def check_whole(name: str, value: int, least: int) -> None:
    """Raise ValueError if it is not a whole number of `least` or more."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}={value!r} must be a whole number of {least} or more")


def with_truth(block: Sequences) -> Sequences:
    """The block with what it tells in truth for its targets, where that is known in numbers."""
    truth = getattr(block, "truth", None)  # what is no block is told of later
    return block if truth is None or truth.dtype.kind != "f" else block._replace(targets=truth)


def native(network: Network) -> tuple[int, ...]:
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


def criterion(stop: Stop | None) -> tuple:
    """The criterion as bindings/lstm1997.cpp takes it."""
    if stop is None:
        return 0, 0.0, 0, math.inf, False, False, 1
    mean = math.inf if stop.mean is None else stop.mean
    return stop.window, stop.bound, stop.allowed, mean, stop.measure == "squared", stop.at_end, stop.every


def trial(block: Sequences, weights: NDArray, errors: NDArray, outputs: NDArray | None) -> tuple[int, ...]:
    """A trial's block and arrays as bindings/lstm1997.cpp takes them."""
    return (
        *(len(block.lengths), block.lengths.ctypes.data),
        *dense_or_index(block.x),
        *dense_or_index(block.targets),
        *(block.at_end, weights.ctypes.data, errors.ctypes.data, 0 if outputs is None else outputs.ctypes.data),
    )


def dense_or_index(array: NDArray) -> tuple[int, int]:
    """Addresses of an array of numbers and of one of indices; the one that it is not is 0."""
    return (array.ctypes.data, 0) if array.dtype == np.float32 else (0, array.ctypes.data)
