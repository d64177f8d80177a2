"""The 1997 rule: nanoseconds of a network step, ours beside the same rule in torch operations and in compiled JAX.

Measured on the networks and sequences of Experiments 4 and 6b, training on, one thread. Each rival computes the same
weights. Several trials are independent networks: ours run in the lanes of a vector, JAX's by `vmap`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.markup import escape
from rich.table import Table

from bench.rivals.lstm1997_torch import TorchOperations
from carrousel.bench.clock import medians
from carrousel.bench.table import Result, as_markdown, empty_table, machine, verdict
from carrousel.fused.kernels import instruction_set
from carrousel.papers.lstm1997.experiments import adding, temporal_order
from carrousel.papers.lstm1997.row import Row as TableRow
from carrousel.papers.lstm1997.sequences import Sequences
from carrousel.papers.lstm1997.streams import streams
from carrousel.papers.lstm1997.trainer import Trainer

LANES = 16  # networks side by side: a vector of AVX-512
OURS = "carrousel"
NO_JAX = 'not measured: JAX is not there (pip install "carrousel[bench]")'


class Target(NamedTuple):
    """Nanoseconds that a network step may take with AVX-512, and how many times as much a rival needs at least."""

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


@dataclass(frozen=True)
class Row(Result):
    """One measurement.

    Args:
        experiment: the paper's name of the row whose network and sequences these are.
        trials: independent networks side by side.
        data: whether the time includes the generation of the sequences by the experiment's own task.
        who: who computes.
        ns: of a step of one network; None: not measured.
        ratio: ns / ours, without data and of as many trials; higher is better for us. Of rivals only.
        target: what our ns should be at most, or the ratio at least; None: not asked of this instruction set.
        note: why it was not measured.
    """

    experiment: str
    trials: int
    data: bool
    who: str
    ns: float | None
    ratio: float | None = None
    target: float | None = None
    note: str | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the target is; None: there is none, or nothing was measured."""
        if self.target is None or self.ns is None:
            return None
        return self.ns <= self.target if self.ratio is None else self.ratio >= self.target


class Rival(NamedTuple):
    """Someone who trains, and where that stands in the table; `run` presents `steps` network steps a call."""

    who: str
    trials: int
    data: bool
    target: float
    run: Callable[[], object]
    steps: float


def measure(experiment: str, seconds: float, repeat: int, jax: ModuleType | None) -> Iterator[Row]:
    """The rows of an experiment; all rivals take turns. torch is left with one thread.

    Args:
        experiment: a name in TARGETS.
        seconds, repeat: as `clock.medians` takes them.
        jax: bench.rivals.lstm1997_jax, or None where there is no JAX.

    Raises:
        UserError: the compiled kernels are missing.
    """
    torch.set_num_threads(1)
    table_row, target = TARGETS[experiment]
    rivals = [*ours(table_row, target), in_torch(table_row, target), *(in_jax(jax, table_row, target) if jax else ())]
    times = medians([rival.run for rival in rivals], seconds, repeat)
    ns = [1e6 * ms / rival.steps for ms, rival in zip(times, rivals)]
    own = {rival.trials: time for rival, time in zip(rivals, ns) if rival.who == OURS and not rival.data}
    asked = instruction_set() == "avx512"
    for rival, time in zip(rivals, ns):
        ratio = None if rival.who == OURS else time / own[rival.trials]
        limit = rival.target if asked else None
        yield Row(experiment, rival.trials, rival.data, rival.who, time, ratio, limit)
    if jax is None:
        yield from (Row(experiment, trials, False, "JAX", None, note=NO_JAX) for trials in (1, LANES))


def ours(row: TableRow, target: Target) -> Iterator[Rival]:
    """Our trainer with one trial, with a vector of them, and with the generation of their sequences."""
    draws, blocks = drawn(row, LANES)
    steps = sum(int(block.lengths.sum()) for block in blocks)
    alone, lanes, with_data = (Trainer(row.network, initial(row, trials), row.rate) for trials in (1, LANES, LANES))
    yield Rival(OURS, 1, False, target.alone, lambda: alone.train(blocks[:1]), int(blocks[0].lengths.sum()))
    yield Rival(OURS, LANES, False, target.lanes, lambda: lanes.train(blocks), steps)
    # sequences of other lengths at each call: this many steps on average
    yield Rival(OURS, LANES, True, target.with_data, lambda: with_data.train([draw() for draw in draws]), steps)


def in_torch(row: TableRow, target: Target) -> Rival:
    """One network in torch operations, which has nothing to gain from a longer block."""
    _, (block,) = drawn(row, 1)
    network = TorchOperations(row.network, initial(row, 1)[0], row.rate)
    few = block.part(0, 2)
    return Rival("torch operations", 1, False, target.of_torch, lambda: network.train(few), int(few.lengths.sum()))


def in_jax(jax: ModuleType, row: TableRow, target: Target) -> Iterator[Rival]:
    """JAX's ways to write it, alone and by `vmap`; padding is not counted among the steps."""
    for trials, limit in ((1, target.of_jax_alone), (LANES, target.of_jax_lanes)):
        _, blocks = drawn(row, trials)
        steps = sum(int(block.lengths.sum()) for block in blocks)
        for who, way in jax.WAYS.items():
            network = jax.Compiled(row.network, initial(row, trials), row.rate, way)
            padded = network.padded(blocks)
            yield Rival(who, trials, False, limit, lambda n=network, p=padded: n.train(p), steps)


def drawn(row: TableRow, trials: int) -> tuple[list[Callable[[], Sequences]], list[Sequences]]:
    """For each trial what draws a block, as large as a reproduction draws it, and one that is drawn."""
    stream, count = streams(0, row.group), row.criterion.every(row.steps)
    sources = [(row.source(stream, trial).training, stream("training", trial)) for trial in range(trials)]
    draws = [lambda draw=draw, rng=rng: draw(rng, count) for draw, rng in sources]
    return draws, [draw() for draw in draws]


def initial(row: TableRow, trials: int) -> NDArray:
    """Weights to start from [trials, weight_count]."""
    return np.stack([row.network.initial_weights(seed) for seed in range(trials)])


def with_jax() -> ModuleType | None:
    """bench.rivals.lstm1997_jax, where JAX is installed; on the CPU, in one thread as all others."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    try:
        from bench.rivals import lstm1997_jax
    except ImportError:
        return None
    return lstm1997_jax


def in_order(rows: Iterable[Row]) -> list[Row]:
    """One experiment after the other; one network, then several, then those with data."""
    return sorted(rows, key=lambda row: (list(TARGETS).index(row.experiment), row.trials, row.data))


def table(rows: Sequence[Row]) -> Table:
    """Every measurement, and beside it what it should reach."""
    title = "the 1997 rule, one thread: ratio = rival / ours, higher is better"
    words, figures = ("experiment", "networks", "who"), ("ns a network step", "ratio", "target")
    table = empty_table(title, words, figures, caption=with_instructions())
    for row in rows:
        sense = "at most {:g} ns" if row.ratio is None else "at least {:g} times"
        told = "" if row.reached is None else verdict(row.reached, sense.format(row.target))
        table.add_row(row.experiment, networks(row), row.who, *time_and_ratio(row), escape(row.note or "") or told)
    return table


def markdown(rows: Sequence[Row]) -> str:
    """A line for each measurement."""
    words, figures = ("experiment", "networks", "who"), ("ns a network step", "rival / ours")
    told = [(row, *time_and_ratio(row)) for row in rows]
    lines = [(row.experiment, networks(row), row.who, time or row.note or "", ratio) for row, time, ratio in told]
    return as_markdown(words, figures, lines, caption=with_instructions())


def networks(row: Row) -> str:
    """How many there are, and whether their data counts."""
    return f"{row.trials}{' with their data' * row.data}"


def time_and_ratio(row: Row) -> tuple[str, str]:
    """Nanoseconds, and the ratio; empty where there is none."""
    return (
        "" if row.ns is None else f"{row.ns:.3g}" if row.ns < 1000 else f"{row.ns:,.0f}",
        "" if row.ratio is None else f"{row.ratio:,.1f}" if row.ratio < 100 else f"{row.ratio:,.0f}",
    )


def with_instructions() -> str:
    """What was measured on, JAX where it is installed, and our instruction set."""
    jax = f"JAX {version('jax')}, " if find_spec("jax") else ""
    return f"{machine()}, {jax}{instruction_set()}"
