"""What is measured: the time of forward+backward against T, B, H and threads, and memory against the steps.

Letters: T time, B batch, I input, H hidden units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from bench import memory
from bench.scaling import endless
from bench.scaling.growth import EndlessGrowth, Growth
from carrousel.bench.clock import medians, set_threads
from carrousel.bench.layers import forward_backward, layer, operations, rival
from carrousel.bench.shapes import Shape
from carrousel.cells import ALL

OURS, TORCH = "carrousel", "torch.nn"
TRAINING = {OURS: "ours", "carrousel, low memory": "low", TORCH: "torch"}  # the sides, and their names in bench.memory


@dataclass(frozen=True)
class Plan:
    """The sizes to measure.

    Args:
        I, H, B, T: what stays, while one of them grows.
        Ts, Bs, Hs: increasing sizes, for time.
        H_of_threads: H, against the number of threads.
        Ts_of_training: increasing T, for the memory of training.
        steps: increasing numbers of steps, for the memory of a stream and of an online learner.
    """

    I: int
    H: int
    B: int
    T: int
    Ts: tuple[int, ...]
    Bs: tuple[int, ...]
    Hs: tuple[int, ...]
    H_of_threads: int
    Ts_of_training: tuple[int, ...]
    steps: tuple[int, ...]

    def shape(self, **sizes: int) -> Shape:
        """A layer, in which some sizes are others."""
        I, H, B, T = ({"I": self.I, "H": self.H, "B": self.B, "T": self.T} | sizes).values()
        return Shape(f"I{I}-H{H}-B{B}-T{T}", I, H, B, T)

    def along(self, axis: str) -> list[Shape]:
        """The shapes of the axis "T", "B" or "H"."""
        return [self.shape(**{axis: size}) for size in {"T": self.Ts, "B": self.Bs, "H": self.Hs}[axis]]


PLAN = Plan(
    I=64,
    H=128,
    B=32,
    T=128,
    Ts=(16, 32, 64, 128, 256, 512, 1024, 2048),
    Bs=(1, 2, 4, 8, 16, 32, 64, 128, 256),
    Hs=(16, 32, 64, 128, 256, 512, 1024),
    H_of_threads=512,
    Ts_of_training=(128, 256, 512, 1024, 2048, 4096),
    steps=(1_000, 4_000, 16_000, 64_000),
)


def plan_measurements(plan: Plan, seconds: float, repeat: int) -> dict[str, Callable[[], Growth]]:
    """What measures each section of the page, by its name.

    Args:
        plan: sizes.
        seconds, repeat: as for `clock.medians`, for each size.
    """
    return {
        **{axis: partial(measure_time, plan, axis, seconds, repeat) for axis in ("T", "B", "H")},
        "threads": partial(measure_threads, plan, seconds, repeat),
        "training": partial(measure_training, plan),
        **{what: partial(measure_endless, plan, what) for what in endless.SIDES},
    }


def measure_time(plan: Plan, axis: str, seconds: float, repeat: int) -> Growth:
    """Milliseconds of both sides along an axis, on all threads."""
    shapes = plan.along(axis)
    times = [time_both(shape, seconds, repeat) for shape in shapes]
    return Growth(axis, "ms", [getattr(shape, axis) for shape in shapes], by_side(times))


def measure_threads(plan: Plan, seconds: float, repeat: int) -> Growth:
    """Milliseconds of both sides with 1, 2, 4, ... threads, and with all."""
    shape, most = plan.shape(H=plan.H_of_threads), torch.get_num_threads()
    counts = sorted({most, *(2**k for k in range(most.bit_length()))})
    times = [time_both(shape, seconds, repeat) for _ in set_threads(counts)]
    return Growth("threads", "ms", counts, by_side(times))


def time_both(shape: Shape, seconds: float, repeat: int) -> list[float]:
    """Milliseconds of ours and of torch.nn, which take turns."""
    torch.manual_seed(0)
    ours = layer("lstm", shape)
    x = torch.randn(shape.T, shape.B, shape.I)
    return medians([forward_backward(run, x) for run in (ours, rival("lstm", shape, ours))], seconds, repeat)


def by_side(times: list[list[float]]) -> dict[str, list[float]]:
    """A row for each size -> a list for each side."""
    ours, theirs = map(list, zip(*times))
    return {OURS: ours, TORCH: theirs}


def count_operations(plan: Plan, axis: str) -> Growth:
    """Multiplications and additions of the matrix products along an axis."""
    shapes = plan.along(axis)
    counts = [operations(ALL["lstm"], shape, "forward+backward") for shape in shapes]
    return Growth(axis, "operations", [getattr(shape, axis) for shape in shapes], {"products": counts})


def measure_training(plan: Plan) -> Growth:
    """The peak of forward+backward against T, in MB, each side and T in a process of its own."""
    shapes = [plan.shape(T=T) for T in plan.Ts_of_training]
    figures = {
        who: [memory.measure_in_process(side, shape, "lstm") for shape in shapes] for who, side in TRAINING.items()
    }
    return Growth("T", "MB", plan.Ts_of_training, figures)


def measure_endless(plan: Plan, what: str) -> EndlessGrowth:
    """By how many MB a process has grown after so many steps of a stream or of an online learner."""
    figures = {who: endless.measure_in_process(what, who, plan.steps) for who in endless.SIDES[what]}
    return EndlessGrowth("steps", "MB", plan.steps, figures)
