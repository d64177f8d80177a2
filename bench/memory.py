"""Peak memory of forward+backward: our plain call, ours with memory="low", and torch.nn.

Each side runs in a process of its own, so that none uses memory that another has freed. This module is that process:
`python -m bench.memory ours I32-H256-B256-T365 lstm` prints MB.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from carrousel.bench.clock import medians
from carrousel.bench.layers import forward_backward, layer, rival
from carrousel.bench.measurement import Measurement
from carrousel.bench.shapes import Shape, find_shape
from carrousel.errors import UserError

TITLE = "forward+backward: ratio = memory or time / that of our plain call; of low, lower is better"
ROOT = Path(__file__).resolve().parents[1]  # where the package bench is found
MOST_MEMORY, MOST_TIME = 0.45, 1.4  # the largest ratios of memory="low" to the plain call
OURS = {"ours": "full", "low": "low"}  # our sides -> their argument `memory`

STATUS = Path("/proc/self/status")


def measure(shape: Shape, seconds: float, repeat: int) -> Iterator[Measurement]:
    """Measure the peaks of all sides, and the time of memory="low" beside the plain call on all threads.

    Args:
        shape: sizes.
        seconds, repeat: as for `clock.medians`.

    Raises:
        UserError: the shape is too large for this machine, or too small to be measured.
    """
    ours, low, theirs = (measure_in_process(side, shape, "lstm") for side in ("ours", "low", "torch"))
    if not ours:
        raise UserError(f"{shape.name} takes no memory that could be measured: choose a larger shape")
    where = ("memory", "peak", shape.name, torch.get_num_threads())
    yield Measurement(*where, "carrousel", ours, "MB")
    yield Measurement(*where, 'carrousel, memory="low"', low, "MB", low / ours, MOST_MEMORY, "ratio at most")
    yield Measurement(*where, "torch.nn", theirs, "MB", theirs / ours)
    x = torch.randn(shape.T, shape.B, shape.I)
    calls = [forward_backward(layer("lstm", shape, memory=memory), x) for memory in OURS.values()]
    full_ms, low_ms = medians(calls, seconds, repeat)
    where = ("memory", "time", *where[2:])
    yield Measurement(*where, "carrousel", full_ms, "ms")
    yield Measurement(*where, 'carrousel, memory="low"', low_ms, "ms", low_ms / full_ms, MOST_TIME, "ratio at most")


def measure_in_process(side: str, shape: Shape, cell: str) -> float:
    """One side's peak in MB.

    Raises:
        UserError: the process failed, most often because memory ran out.
    """
    command = [sys.executable, "-m", "bench.memory", side, shape.name, cell]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or "out of memory"
        raise UserError(
            f"{side} on {shape.name} ended with exit code {done.returncode} ({last}): choose a smaller shape"
        )
    return float(done.stdout)


def peak_of(side: str, shape: Shape, cell: str) -> float:
    """The largest MB of one forward+backward of a side, above those before it."""
    ours = layer(cell, shape, memory=OURS.get(side, "full"))
    run = ours if side in OURS else rival(cell, shape, ours)
    forward_backward(run, torch.randn(1, 1, shape.I))()  # what a first call allocates once is not counted
    x = torch.randn(shape.T, shape.B, shape.I)
    parameters = list(run.parameters())
    gc.collect()
    before = resident()
    y = run(x)[0]
    gradients = torch.autograd.grad(y, parameters, torch.ones_like(y))
    after = peak()
    del gradients
    return after - before


def resident() -> float:
    """MB of this process in memory now, or its peak if the system does not say."""
    return status("VmRSS") if STATUS.exists() else peak()


def peak() -> float:
    """The largest MB of this process in memory so far."""
    if STATUS.exists():  # ru_maxrss would begin with the peak of the process that started this one
        return status("VmHWM")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def status(field: str) -> float:
    """A field of this process's status, in MB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    print(peak_of(sys.argv[1], find_shape(sys.argv[2]), sys.argv[3]))
