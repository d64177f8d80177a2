"""What a call with an option takes of a plain call's time: resets, rows of different lengths, states and gates.

Letters: T time, B batch, I input, H hidden units, N the steps that there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from carrousel.bench.clock import each_number_of_threads, medians
from carrousel.bench.shapes import Shape
from carrousel.bench.table import Result, empty_table, milliseconds, verdict
from carrousel.layers import LSTM

SHAPE = "I32-H128-B32-T1000"  # where the targets hold
FILLS = (0.6, 0.2)  # how much of the padded input is steps
RESETS = 0.02  # how often a sequence is parted

PLAIN = "plain"
TARGETS = {"resets": 1.1, "lengths": 1.2, "return_states": 1.15, "return_states, return_gates": 1.15}


@dataclass(frozen=True)
class Row(Result):
    """Forward+backward of a call.

    Args:
        option: what the call is given.
        fill: N / (T * B), where rows have different lengths.
        ours_ms: its time.
        torch_ms: torch.nn.LSTM's, on the padded input, and for rows of different lengths on a PackedSequence.
        ratio: ours_ms / (fill * the plain call's time); lower is better.
        target: what the ratio should be at most.
    """

    shape: str
    threads: int
    option: str
    ours_ms: float
    ratio: float
    target: float | None = None
    torch_ms: float | None = None
    fill: float | None = None


Rival = Callable[[], object]


def measure(shape: Shape, threads: Sequence[int], seconds: float, repeat: int) -> Iterator[Row]:
    """All options of one shape, each number of threads, all in turns with the plain call.

    Args:
        seconds: for how long the calls take turns, about.
        repeat: how many turns each takes at least.
    """
    torch.manual_seed(0)
    lengths = {fill: lengths_of(shape, fill) for fill in FILLS}
    ours, theirs = rivals(shape, lengths)
    for count in each_number_of_threads(threads):
        times = medians([*ours.values(), *theirs.values()], seconds, repeat)
        yield from rows(shape, count, lengths, dict(zip(ours, times)), dict(zip(theirs, times[len(ours) :])))


def lengths_of(shape: Shape, fill: float) -> Tensor:
    """Lengths [B] drawn evenly around fill * T, as widely as 1 .. T allows."""
    width = min(fill, 1 - fill)
    return ((fill + width * (2 * torch.rand(shape.B) - 1)) * shape.T).long().clamp(1, shape.T)


def rivals(shape: Shape, lengths: dict[float, Tensor]) -> tuple[dict[str, Rival], dict[str, Rival]]:
    """Our calls by option, and torch's."""
    ours, theirs = LSTM(shape.I, shape.H, **shape.options), nn.LSTM(shape.I, shape.H, **shape.options)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(shape.T, shape.B, shape.I)
    resets = torch.rand(shape.T, shape.B) < RESETS
    options: dict[str, dict[str, Any]] = {PLAIN: {}, "resets": {"resets": resets}}
    options |= {of_fill("lengths", fill): {"lengths": given} for fill, given in lengths.items()}
    options["return_states"] = {"return_states": True}
    options["return_states, return_gates"] = {"return_states": True, "return_gates": True}
    calls = {name: through_all_outputs(ours, x, **given) for name, given in options.items()}
    packed = {of_fill("lengths", fill): pack_padded_sequence(x, n, enforce_sorted=False) for fill, n in lengths.items()}
    return calls, {name: through_all_outputs(theirs, given) for name, given in ({PLAIN: x} | packed).items()}


def of_fill(name: str, fill: float) -> str:
    """An option's name with a fill."""
    return f"{name}, {fill:.0%} filled"


def through_all_outputs(layer: nn.Module, x: Any, **options: Any) -> Rival:
    """A call with the gradients of all parameters, of a loss that looks at all it returns but the final states."""
    parameters = list(layer.parameters())

    def outputs() -> list[Tensor]:
        y, _, *inside = layer(x, **options)
        shown = [tensor for of_name in inside for field in of_name for tensor in field]
        return [y if isinstance(y, Tensor) else y.data, *shown]

    with torch.no_grad():
        gradients = [torch.randn_like(output) for output in outputs()]
    return lambda: torch.autograd.grad(outputs(), parameters, gradients)


def rows(
    shape: Shape, threads: int, lengths: dict[float, Tensor], ours: dict[str, float], theirs: dict[str, float]
) -> Iterator[Row]:
    """A row for each option, from the times in ms by option."""
    fills = {of_fill("lengths", f): n.sum().item() / (shape.T * shape.B) for f, n in lengths.items()}
    for name, time in ours.items():
        target = TARGETS.get(name.split(",")[0] if name in fills else name) if shape.name == SHAPE else None
        ratio = time / (fills.get(name, 1.0) * ours[PLAIN])
        yield Row(shape.name, threads, name, time, ratio, target, theirs.get(name), fills.get(name))


def table(rows: Sequence[Row]) -> Table:
    """What each option takes of the plain call's time, and what it should take at most."""
    title = "forward+backward with an option: ratio = its time / (fill x the plain call's), lower is better"
    figures = ("threads", "fill", "ours ms", "torch ms", "ratio", "target")
    table = empty_table(title, ("shape", "option"), figures)
    for row in rows:
        table.add_row(
            *(row.shape, row.option, str(row.threads), "" if row.fill is None else f"{row.fill:.0%}"),
            *(milliseconds(row.ours_ms), milliseconds(row.torch_ms), f"{row.ratio:.2f}"),
            "" if row.target is None else verdict(row.ratio <= row.target, f"at most {row.target:g}"),
        )
    return table
