"""The 1997 rule: nanoseconds of a network step, ours beside the same rule in torch operations and in compiled JAX.

Measured on the networks and sequences of Experiments 4 and 6b, training on, one thread. All compute the same
weights. Several trials are independent networks: ours in the lanes of a vector, those of JAX by `vmap`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bench.rivals.lstm1997_torch import TorchOperations
from carrousel.bench.clock import medians
from carrousel.bench.measurement import Bound, Measurement
from carrousel.fused.kernels import instruction_set
from carrousel.papers.harness.paper_row import PaperRow
from carrousel.papers.harness.random_streams import random_streams
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.lstm1997.experiments import adding, temporal_order
from carrousel.papers.lstm1997.native_trials import NativeTrials

LANES = 16  # networks side by side: a vector of AVX-512
OURS = "carrousel"
TITLE = "the 1997 rule: ratio = the rival's time / ours for as many networks, higher is better"
NO_JAX = 'not measured: JAX is not installed (pip install "carrousel[bench]")'


class Target(NamedTuple):
    """Nanoseconds that a network step may take with AVX-512, and how many times as long a rival takes at least."""

    alone: float
    lanes: float
    with_data: float
    of_torch: float = 1000
    of_jax_alone: float = 8
    of_jax_lanes: float = 12


TARGETS = {
    "4-1": (adding.ROWS[0], Target(alone=80, lanes=10, with_data=15)),
    "6b": (temporal_order.EXPERIMENT.rows[1], Target(alone=150, lanes=20, with_data=25)),
}


class Rival(NamedTuple):
    """A way to train, and its target; `run` presents `steps` network steps a call."""

    who: str
    trials: int
    data: bool
    target: float
    run: Callable[[], object]
    steps: float


def measure(experiment: str, seconds: float, repeat: int, jax: ModuleType | None) -> Iterator[Measurement]:
    """Measure an experiment; all rivals take turns. torch is left with one thread.

    Args:
        experiment: a name in TARGETS.
        seconds, repeat: as for `clock.medians`.
        jax: bench.rivals.lstm1997_jax, or None without JAX.

    Raises:
        UserError: the compiled kernels are missing.
    """
    torch.set_num_threads(1)
    table_row, target = TARGETS[experiment]
    rivals = [*ours(table_row, target), in_torch(table_row, target), *(in_jax(jax, table_row, target) if jax else ())]
    times = medians([rival.run for rival in rivals], seconds, repeat)
    ns = [1e6 * ms / rival.steps for ms, rival in zip(times, rivals)]
    own = {rival.trials: time for rival, time in zip(rivals, ns) if rival.who == OURS and not rival.data}
    has_target = instruction_set() == "avx512"
    for rival, time in zip(rivals, ns):
        ratio = None if rival.who == OURS else time / own[rival.trials]
        bound: Bound = "value at most" if ratio is None else "ratio at least"
        where = ("lstm1997", describe_networks(rival.trials, rival.data), experiment, 1, rival.who, time, "ns a step")
        yield Measurement(*where, ratio, rival.target if has_target else None, bound)
    if jax is None:
        for trials in (1, LANES):
            where = ("lstm1997", describe_networks(trials, False), experiment, 1, "JAX", None, "ns a step")
            yield Measurement(*where, note=NO_JAX)


def ours(row: PaperRow, target: Target) -> Iterator[Rival]:
    """Our trainer with one trial, with a vector of them, and with the generation of their sequences."""
    draws, blocks = sample_blocks(row, LANES)
    steps = sum(int(block.lengths.sum()) for block in blocks)
    alone, lanes, with_data = (
        NativeTrials(row.method.network, initial_weights(row, trials), row.method.rate) for trials in (1, LANES, LANES)
    )
    yield Rival(OURS, 1, False, target.alone, lambda: alone.train(blocks[:1]), int(blocks[0].lengths.sum()))
    yield Rival(OURS, LANES, False, target.lanes, lambda: lanes.train(blocks), steps)
    # sequences of other lengths at each call: this many steps on average
    yield Rival(OURS, LANES, True, target.with_data, lambda: with_data.train([draw() for draw in draws]), steps)


def in_torch(row: PaperRow, target: Target) -> Rival:
    """One network in torch operations, which has nothing to gain from a longer block."""
    _, (block,) = sample_blocks(row, 1)
    network = TorchOperations(row.method.network, initial_weights(row, 1)[0], row.method.rate)
    few = block.part(0, 2)
    return Rival("torch operations", 1, False, target.of_torch, lambda: network.train(few), int(few.lengths.sum()))


def in_jax(jax: ModuleType, row: PaperRow, target: Target) -> Iterator[Rival]:
    """JAX's ways to write it, alone and by `vmap`; padding is not counted among the steps."""
    for trials, limit in ((1, target.of_jax_alone), (LANES, target.of_jax_lanes)):
        _, blocks = sample_blocks(row, trials)
        steps = sum(int(block.lengths.sum()) for block in blocks)
        for who, way in jax.WAYS.items():
            network = jax.Compiled(row.method.network, initial_weights(row, trials), row.method.rate, way)
            padded = network.padded(blocks)
            yield Rival(who, trials, False, limit, lambda n=network, p=padded: n.train(p), steps)


def sample_blocks(row: PaperRow, trials: int) -> tuple[list[Callable[[], Sequences]], list[Sequences]]:
    """For each trial what draws a block, as large as a reproduction draws it, and one that is drawn."""
    stream, count = random_streams(0, row.group), row.criterion.every(row.steps)
    sources = [(row.source(stream, trial).training, stream("training", trial)) for trial in range(trials)]
    draws = [lambda draw=draw, rng=rng: draw(rng, count) for draw, rng in sources]
    return draws, [draw() for draw in draws]


def initial_weights(row: PaperRow, trials: int) -> NDArray:
    """Weights to start from [trials, weight_count]."""
    return np.stack([row.method.network.initial_weights(seed) for seed in range(trials)])


def import_jax() -> ModuleType | None:
    """bench.rivals.lstm1997_jax if JAX is installed; on the CPU, in one thread like the others."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    try:
        from bench.rivals import lstm1997_jax
    except ImportError:
        return None
    return lstm1997_jax


def sort(measurements: Iterable[Measurement]) -> list[Measurement]:
    """One experiment after the other; one network, then several, then those with their data."""
    order = [describe_networks(1, False), describe_networks(LANES, False), describe_networks(LANES, True)]
    return sorted(measurements, key=lambda each: (list(TARGETS).index(each.shape), order.index(each.what)))


def describe_networks(trials: int, data: bool) -> str:
    """How many networks there are, and whether the time includes the generation of their sequences."""
    return f"{trials} network{'s' * (trials > 1)}{' with their data' * data}"
