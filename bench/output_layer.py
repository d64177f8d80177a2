"""The output layer of a language model and its loss, forward+backward: ours beside `nn.Linear` and cross_entropy.

Memory is the growth of the peak of a process of its own, in MB: `python -m bench.output_layer carrousel 700 650 10000`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from bench.memory import peak
from carrousel import linear_cross_entropy
from carrousel.bench.clock import medians, set_threads
from carrousel.bench.measurement import Measurement

TITLE = "output layer, forward+backward: ratio = the rival's time or memory / ours, higher is better"
SIZES = ((700, 650, 10_000), (700, 650, 33_000), (3200, 128, 100))  # rows N, units H, classes V
LEAST_TIME, LEAST_MEMORY = 1.3, 4.0  # ratios at the first of them
ROOT = Path(__file__).resolve().parents[1]  # where the package bench is found


def of_torch(h: Tensor, weight: Tensor, target: Tensor, bias: Tensor) -> Tensor:
    """The rival."""
    return cross_entropy(linear(h, weight, bias), target)


LOSSES: dict[str, Callable[..., Tensor]] = {"carrousel": linear_cross_entropy, "torch.nn": of_torch}


def operands(N: int, H: int, V: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """h, W, the targets and b."""
    torch.manual_seed(0)
    h, weight, bias = torch.randn(N, H), torch.randn(V, H) / H**0.5, torch.zeros(V)
    for each in (h, weight, bias):
        each.requires_grad_()
    return h, weight, torch.randint(V, (N,)), bias


def step(loss: Callable[..., Tensor], of: tuple[Tensor, ...], bfloat16: bool = False) -> Callable[[], object]:
    """A call with the gradients of h, W and b."""

    def call() -> object:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            found = loss(*of)
        return torch.autograd.grad(found, (of[0], of[1], of[3]))

    return call


def measure(size: tuple[int, int, int], threads: list[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Times in float32 and under autocast, and memory.

    Args:
        size: N, H, V.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`.
    """
    shape, has_target = "N{}-H{}-V{}".format(*size), size == SIZES[0]
    of = operands(*size)
    for count in set_threads(threads):
        for what, bfloat16 in (("time", False), ("time, autocast", True)):
            ours, theirs = medians([step(loss, of, bfloat16) for loss in LOSSES.values()], seconds, repeat)
            where = ("output-layer", what, shape, count)
            yield Measurement(*where, "carrousel", ours, "ms")
            target = LEAST_TIME if has_target and not bfloat16 and count == max(threads) else None
            yield Measurement(*where, "torch.nn", theirs, "ms", theirs / ours, target)
    ours, theirs = (measure_in_process(who, size) for who in LOSSES)
    where = ("output-layer", "memory", shape, max(threads))
    yield Measurement(*where, "carrousel", ours, "MB")
    yield Measurement(*where, "torch.nn", theirs, "MB", theirs / ours, LEAST_MEMORY if has_target else None)


def measure_in_process(who: str, size: tuple[int, int, int]) -> float:
    """By how many MB a step raises the peak, beside the gradient of W."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000"}  # what is freed is given back
    command = [sys.executable, "-m", "bench.output_layer", who, *map(str, size)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment).stdout)


def main() -> None:
    """One side, once."""
    size = (int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    h, weight, target, bias = operands(*size)
    call = LOSSES[sys.argv[1]]
    step(call, (h[:2], weight, target[:2], bias))()  # with the gradients of W and b, which are not counted
    before = peak()
    step(call, (h, weight, target, bias))()
    print(peak() - before)


if __name__ == "__main__":
    main()
