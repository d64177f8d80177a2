"""Calls with options beside the plain call: resets, ragged batches, states and gates.

Letters: T time, B batch, I input, H hidden units, N steps of a ragged batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from carrousel.bench.clock import medians, set_threads
from carrousel.bench.measurement import Measurement
from carrousel.bench.shapes import Shape
from carrousel.layers import LSTM

TITLE = "calls with options, forward+backward: ratio = time / (filled part x the plain call's time), lower is better"
SHAPE = "I32-H128-B32-T1000"  # where the targets hold
FILLS = (0.6, 0.2)  # how much of the padded input is steps
RESETS = 0.02  # how often a sequence is reset

PLAIN = "plain"
TARGETS = {"resets": 1.1, "lengths": 1.2, "return_states": 1.15, "return_states, return_gates": 1.15}


Call = Callable[[], object]


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Measurement]:
    """Measure all options at a shape with each number of threads, all in turns with the plain call.

    Args:
        shape: sizes.
        threads: numbers of threads.
        seconds, repeat: as for `clock.medians`, for each number of threads.
    """
    torch.manual_seed(0)
    lengths = {fill: sample_lengths(shape, fill) for fill in FILLS}
    ours, theirs = new_calls(shape, lengths)
    for count in set_threads(threads):
        times = medians([*ours.values(), *theirs.values()], seconds, repeat)
        yield from compare(shape, count, lengths, dict(zip(ours, times)), dict(zip(theirs, times[len(ours) :])))


def sample_lengths(shape: Shape, fill: float) -> Tensor:
    """Lengths [B], uniform around fill * T, as far as 1 .. T allows."""
    width = min(fill, 1 - fill)
    return ((fill + width * (2 * torch.rand(shape.B) - 1)) * shape.T).long().clamp(1, shape.T)


def new_calls(shape: Shape, lengths: dict[float, Tensor]) -> tuple[dict[str, Call], dict[str, Call]]:
    """Our calls by option, and torch's."""
    ours, theirs = LSTM(shape.I, shape.H, **shape.options), nn.LSTM(shape.I, shape.H, **shape.options)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape.T, shape.B, shape.I)
    resets = torch.rand(shape.T, shape.B) < RESETS
    options: dict[str, dict[str, Any]] = {PLAIN: {}, "resets": {"resets": resets}}
    options |= {name_fill("lengths", fill): {"lengths": given} for fill, given in lengths.items()}
    options["return_states"] = {"return_states": True}
    options["return_states, return_gates"] = {"return_states": True, "return_gates": True}
    calls = {name: through_all_outputs(ours, x, **given) for name, given in options.items()}
    packed = {
        name_fill("lengths", fill): pack_padded_sequence(x, n, enforce_sorted=False) for fill, n in lengths.items()
    }
    return calls, {name: through_all_outputs(theirs, given) for name, given in ({PLAIN: x} | packed).items()}


def name_fill(name: str, fill: float) -> str:
    """The name of an option at a filled part: "lengths, 60% filled"."""
    return f"{name}, {fill:.0%} filled"


def through_all_outputs(layer: nn.Module, x: Any, **options: Any) -> Call:
    """A call with the gradients of all parameters, of a loss on everything it returns but the final states."""
    parameters = list(layer.parameters())

    def outputs() -> list[Tensor]:
        y, _, *inside = layer(x, **options)
        others = [tensor for fields in inside for field in fields for tensor in field]
        return [y if isinstance(y, Tensor) else y.data, *others]

    with torch.no_grad():
        gradients = [torch.randn_like(output) for output in outputs()]
    return lambda: torch.autograd.grad(outputs(), parameters, gradients)


def compare(
    shape: Shape, threads: int, lengths: dict[float, Tensor], ours: dict[str, float], theirs: dict[str, float]
) -> Iterator[Measurement]:
    """The measurements of each option, from the times in ms by option."""
    fills = {name_fill("lengths", f): n.sum().item() / (shape.T * shape.B) for f, n in lengths.items()}
    for name, time in ours.items():
        target = TARGETS.get(name.split(",")[0] if name in fills else name) if shape.name == SHAPE else None
        ratio = time / (fills.get(name, 1.0) * ours[PLAIN])
        where = ("options", name, shape.name, threads)
        yield Measurement(*where, "carrousel", time, "ms", ratio, target, "ratio at most")
        if name in theirs:
            yield Measurement(*where, "torch.nn", theirs[name], "ms")
