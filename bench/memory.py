"""Peak memory of forward+backward, each side in a process of its own: what one frees is not there for the other.

The sides are our plain call, ours with memory="low", whose time is compared too, and torch.nn's.

Run as a module it is that process: `python -m bench.memory ours I32-H256-B256-T365 lstm` prints MB.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table

from carrousel.bench.clock import medians
from carrousel.bench.layers import forward_backward, layer, rival
from carrousel.bench.shapes import Shape, named
from carrousel.bench.table import Result, empty_table, verdict
from carrousel.errors import UserError

MOST_MEMORY, MOST_TIME = 0.45, 1.4  # what memory="low" may take of the plain call's
OURS = {"ours": "full", "low": "low"}  # sides that are ours -> what they are given as `memory`

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Row(Result):
    """Peaks in MB above what the process had before, and their ratios.

    Args:
        ratio: torch_mb / ours_mb; higher is better.
        low_memory: low_mb / ours_mb; should be at most MOST_MEMORY.
        low_time: what memory="low" takes of the plain call's time; should be at most MOST_TIME.
    """

    cell: str
    shape: str
    ours_mb: float
    torch_mb: float
    ratio: float
    low_mb: float
    low_memory: float
    low_time: float


def compare(shape: Shape, cell: str = "lstm", seconds: float = 10, repeat: int = 3) -> Row:
    """All sides' peaks.

    Args:
        shape, cell: what is run.
        seconds, repeat: as `clock.medians` takes them.

    Raises:
        UserError: the shape is too large for this machine, or too small to be measured.
    """
    ours, low, theirs = (in_a_process(side, shape, cell) for side in ("ours", "low", "torch"))
    if not ours:
        raise UserError(f"{shape.name} takes no memory that could be measured: take a larger shape")
    low_time = time_of_low(shape, cell, seconds, repeat)
    return Row(cell, shape.name, ours, theirs, theirs / ours, low, low / ours, low_time)


def time_of_low(shape: Shape, cell: str, seconds: float, repeat: int) -> float:
    """What forward+backward with memory="low" takes of the plain call's time, on all threads."""
    x = torch.randn(shape.T, shape.B, shape.I)
    calls = [forward_backward(layer(cell, shape, memory=memory), x) for memory in OURS.values()]
    full, low = medians(calls, seconds, repeat)
    return low / full


def in_a_process(side: str, shape: Shape, cell: str) -> float:
    """One side's peak in MB.

    Raises:
        UserError: the process has failed, mostly for want of memory; says how.
    """
    command = [sys.executable, "-m", "bench.memory", side, shape.name, cell]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or "out of memory, it seems"
        raise UserError(f"{side} on {shape.name} ended with exit code {done.returncode} ({last}): take a smaller shape")
    return float(done.stdout)


def peak_of(side: str, shape: Shape, cell: str) -> float:
    """MB that one forward+backward of a side needs at most, above what stood before it."""
    ours = layer(cell, shape, memory=OURS.get(side, "full"))
    run = ours if side in OURS else rival(cell, shape, ours)
    forward_backward(run, torch.randn(1, 1, shape.I))()  # what is made once, at the first call, is not counted
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
    """MB of this process in memory now; where the system does not say, the most it ever had."""
    return status("VmRSS") if STATUS.exists() else peak()


def peak() -> float:
    """The most MB that this process ever had in memory."""
    if STATUS.exists():  # ru_maxrss would begin with the peak of the process that started this one
        return status("VmHWM")
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 2**20 if sys.platform == "darwin" else used / 2**10


def status(field: str) -> float:
    """A field of this process's status, in MB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 2**10


def table(rows: Sequence[Row]) -> Table:
    """Peaks of forward+backward, and what memory="low" takes of the plain call's memory and time."""
    title = "peak memory of forward+backward, MB; memory=low beside the plain call"
    figures = ("ours", "torch", "torch / ours", "low", "low / ours", "target", "time, low / ours", "target")
    table = empty_table(title, ("shape",), figures)
    for row in rows:
        ours, theirs, low = (f"{megabytes:.1f}" for megabytes in (row.ours_mb, row.torch_mb, row.low_mb))
        judged = [
            told
            for ratio, most in ((row.low_memory, MOST_MEMORY), (row.low_time, MOST_TIME))
            for told in (f"{ratio:.2f}", verdict(ratio <= most, f"at most {most:g}"))
        ]
        table.add_row(row.shape, ours, theirs, f"{row.ratio:.2f}", low, *judged)
    return table


if __name__ == "__main__":
    print(peak_of(sys.argv[1], named(sys.argv[2]), sys.argv[3]))
