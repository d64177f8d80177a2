"""Many independent trials of one network, trained natively: each trial in a lane of a vector, on its own sequences.

A trial's weights, errors and the sequence at which it stops depend on its own weights and sequences alone: not on its
neighbours, their number, the instruction set or the threads (float32, every sum in one order).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from numpy.typing import ArrayLike, NDArray

from carrousel.papers.lstm1997.network import Network
from carrousel.papers.lstm1997.sequences import Sequences


@dataclass(frozen=True)
class Stop:
    """When a trial is done, judged after each sequence on the `window` most recent training sequences of the trial.

    All must hold: `window` sequences have been presented; at most `allowed` of them have an error above `bound`; and
    their mean error is below `mean`.

    Args:
        bound: of the largest absolute error of an output unit, as in ABS(bound).
        window: sequences that count.
        allowed: sequences in the window that may exceed the bound.
        mean: of the error averaged over the window; None: no bound.
        measure: what `mean` bounds: "absolute" or "squared" error, averaged over outputs and steps with a target.
        at_end: `bound` judges the last step of each sequence only, not every step with a target.
    """

    bound: float
    window: int = 2000
    allowed: int = 0
    mean: float | None = None
    measure: str = "absolute"
    at_end: bool = False


class Errors(NamedTuple):
    """The errors of each sequence of one trial, before its update; [N], float32."""

    largest: NDArray  # largest absolute error of an output, over the steps with a target
    at_end: NDArray  # the same, of the last step with a target
    absolute: NDArray  # absolute error, averaged over outputs and steps with a target
    squared: NDArray  # squared error, averaged over outputs and steps with a target


class Presented(NamedTuple):
    """What became of one trial's block."""

    errors: Errors  # of the sequences that were presented: fewer than the block's when the trial stopped
    stopped: bool  # the criterion is met; after the last of them nothing was learned any more


class Trainer:
    """Trials of one network.

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
        weights: [trials, network.weight_count], float32; may be set.
        presented: sequences presented to each trial so far [trials], int64.
        stopped: which trials have met a criterion [trials], bool; may be set, to go on after a first criterion.
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
        raise NotImplementedError("the interface; its kernel follows")

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
        raise NotImplementedError("the interface; its kernel follows")

    def evaluate(self, blocks: Sequence[Sequences | None]) -> list[Errors | None]:
        """The errors on each trial's block with frozen weights; blocks are as `train` takes them.

        Errors are taken from `truth` where a block has one in numbers, and from `targets` otherwise.
        """
        raise NotImplementedError("the interface; its kernel follows")

    def outputs(self, blocks: Sequence[Sequences | None]) -> list[NDArray | None]:
        """The outputs at every row of targets [N or steps, K], float32, with frozen weights; zero where no target is."""
        raise NotImplementedError("the interface; its kernel follows")
