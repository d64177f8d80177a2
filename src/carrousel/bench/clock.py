"""Times that can be compared: the rivals take turns, and the median of the turns of each counts.

A turn is as short as the clock allows, so that a disturbance of the machine affects all rivals.
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
        rivals: functions to call.
        seconds: about how long they take turns.
        repeat: turns that each takes at least, even if that needs longer; at least 1.
    """
    counts = [max(1, math.ceil(TURN / warm_up(rival))) for rival in rivals]
    turns: list[list[float]] = [[] for _ in rivals]
    end = time.perf_counter() + seconds
    while len(turns[0]) < repeat or time.perf_counter() < end:
        for rival, count, times in zip(rivals, counts, turns):
            times.append(take_turn(rival, count))
    return [1000 * statistics.median(times) for times in turns]


def warm_up(rival: Callable[[], object]) -> float:
    """Seconds of a second call, after one that fills caches, imports and starts threads; of the first if it took 1 s.

    A process's first backward pass takes a tenth of a second even at the smallest shape. Taken for the time of a call,
    it would give each turn a single call, in caches that the rival has filled: 1.7 times the time of many calls.
    """
    first = take_turn(rival, 1)
    return first if first > 200 * TURN else take_turn(rival, 1)


def take_turn(rival: Callable[[], object], count: int) -> float:
    """Seconds of a call, averaged over `count` calls."""
    start = time.perf_counter()
    for _ in range(count):
        rival()
    return (time.perf_counter() - start) / count


def set_threads(counts: Sequence[int]) -> Iterator[int]:
    """Each number in turn, while torch uses so many threads; afterwards torch uses as many as before."""
    before = torch.get_num_threads()
    try:
        for count in counts:
            torch.set_num_threads(count)
            yield count
    finally:
        torch.set_num_threads(before)
