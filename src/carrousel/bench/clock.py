"""Times that may be compared: the rivals take turns, and the median of each one's turns counts.

A turn is long enough for the clock and as short as that allows: a disturbance of the machine meets all rivals alike.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch

TURN = 0.005  # seconds: the clock and one spurious wake-up are small beside it


def medians(rivals: Sequence[Callable[[], object]], seconds: float, repeat: int) -> list[float]:
    """The median time of a call of each rival, in milliseconds.

    Args:
        rivals: what is called.
        seconds: for how long they take turns, about.
        repeat: how many turns each takes even where that needs longer; at least 1.
    """
    counts = [max(1, math.ceil(TURN / warm(rival))) for rival in rivals]
    turns: list[list[float]] = [[] for _ in rivals]
    end = time.perf_counter() + seconds
    while len(turns[0]) < repeat or time.perf_counter() < end:
        for rival, count, taken in zip(rivals, counts, turns):
            taken.append(turn(rival, count))
    return [1000 * statistics.median(taken) for taken in turns]


def warm(rival: Callable[[], object]) -> float:
    """Seconds of a call, after one that fills caches, imports and starts threads; of that one where it took a second.

    A process's first backward pass takes a tenth of a second even at the smallest shape: who took that for a call's
    time gave each turn one call, with what the rival had left in the caches, at 1.7 times the time of many.
    """
    first = turn(rival, 1)
    return first if first > 200 * TURN else turn(rival, 1)


def turn(rival: Callable[[], object], count: int) -> float:
    """Seconds of a call, averaged over `count` calls."""
    start = time.perf_counter()
    for _ in range(count):
        rival()
    return (time.perf_counter() - start) / count


def each_number_of_threads(counts: Sequence[int]) -> Iterator[int]:
    """The numbers in turn, each while torch has so many threads; afterwards torch has as many as before."""
    before = torch.get_num_threads()
    try:
        for count in counts:
            torch.set_num_threads(count)
            yield count
    finally:
        torch.set_num_threads(before)
