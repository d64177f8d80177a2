"""Memory of what has no end, a stream and an online learner: by how much the peak of a process has grown at a step.

Each side runs in a process of its own. This module is that process:
`python -m bench.scaling.endless online carrousel 1000,10000` prints MB.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bench.memory import peak, resident
from bench.rivals.lstm1997_torch import TorchOperations
from carrousel.bench.streaming import Size, new_rivals
from carrousel.errors import UserError
from carrousel.online import Learner, Network

ROOT = Path(__file__).resolve().parents[2]  # where the package bench is found
FIRST = 100  # steps before the memory that is subtracted: imports, and what a first step allocates once

STREAM = Size(4, 64, 1, None)
NETWORK = Network(inputs=4, outputs=1, blocks=4, block_size=2, biased="all")
RATE, INPUT, TARGET = 0.1, 0.5, 0.5

GoTo = Callable[[int], object]  # computes until so many steps have been taken since the beginning


def repeat_step(step: Callable[[], object]) -> GoTo:
    """Takes the steps that are missing."""
    done = 0

    def go_to(count: int) -> None:
        nonlocal done
        for _ in range(count - done):
            step()
        done = count

    return go_to


def stream_through(who: str) -> GoTo:
    """Steps of a stream, as `carrousel bench streaming` measures them, each from the state of the one before."""
    torch.set_grad_enabled(False)
    return repeat_step(new_rivals(STREAM)[who])


def learn_online() -> GoTo:
    """Steps of our online learner: each changes the weights by an error that reaches back to the first step."""
    learner = Learner(NETWORK, RATE)
    x, target = np.full(NETWORK.inputs, INPUT, np.float32), np.full(NETWORK.outputs, TARGET, np.float32)
    return repeat_step(lambda: learner.learn_one(x, target))


def learn_from_history() -> GoTo:
    """The same rule by torch's autograd: one gradient, at the last step, through all steps since the first."""
    network = TorchOperations(NETWORK, NETWORK.initial_weights(0), RATE)

    def go_to(count: int) -> None:
        y = network.output(torch.full((count, NETWORK.inputs), INPUT))
        torch.autograd.grad((TARGET - y).square().sum(), network.parts)

    return go_to


def learn_one_step_back() -> GoTo:
    """Steps of torch.nn.LSTM that learn from the last step alone: backpropagation with the state detached each time."""
    lstm, linear = nn.LSTM(NETWORK.inputs, NETWORK.cells), nn.Linear(NETWORK.cells, NETWORK.outputs)
    parameters = [*lstm.parameters(), *linear.parameters()]
    x, hx = torch.full((1, 1, NETWORK.inputs), INPUT), (torch.zeros(1, 1, NETWORK.cells),) * 2

    def step() -> None:
        nonlocal hx
        y, (h, c) = lstm(x, hx)
        gradients = torch.autograd.grad((TARGET - linear(y)).square().sum(), parameters)
        hx = h.detach(), c.detach()
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients):
                parameter -= RATE * gradient

    return repeat_step(step)


SIDES: dict[str, dict[str, Callable[[], GoTo]]] = {
    "stream": {who: lambda who=who: stream_through(who) for who in ("carrousel", "torch.nn.LSTM")},
    "online": {
        "carrousel": learn_online,
        "torch.nn.LSTM, one step back": learn_one_step_back,
        "torch operations, all steps back": learn_from_history,
    },
}


def measure_in_process(what: str, who: str, steps: Sequence[int]) -> list[float]:
    """The MB of one side after each number of steps.

    Args:
        what, who: keys of SIDES.
        steps: increasing, above FIRST.

    Raises:
        UserError: the process failed, most often because memory ran out.
    """
    command = [sys.executable, "-m", "bench.scaling.endless", what, who, ",".join(map(str, steps))]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2] or "out of memory"
        raise UserError(f"{what}, {who} ended with exit code {done.returncode} ({last}): free some memory")
    return json.loads(done.stdout)


def grow(go_to: GoTo, steps: Sequence[int]) -> Iterator[float]:
    """The peak after each number of steps, in MB above the memory after the first."""
    go_to(FIRST)
    gc.collect()
    before = resident()
    for count in steps:
        go_to(count)
        yield peak() - before


if __name__ == "__main__":
    what, who, counts = sys.argv[1:]
    print(json.dumps([*grow(SIDES[what][who](), [int(count) for count in counts.split(",")])]))
