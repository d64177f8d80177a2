"""One layer and direction of any cell: random weights, input and states, and a run of `scan` or `fused` on them.

Letters: T time, B batch, I input, H hidden, P the width of h, N = sum of batch_sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from twins import Size, draws_for, random, scalar_of

from carrousel.cells import ALL, Cell
from carrousel.fused import fused
from carrousel.scan import Options, Rows, Weights, scan
from carrousel.scan.masks import Masks, constant_mask, dropout_mask, zoneout_mask

F32, F64 = torch.float32, torch.float64

CELLS = list(ALL)

# Sizes that go wrong first; the names say why.
SIZES = {
    "H7_tail_only": Size(T=5, B=3, I=5, H=7),
    "H17_vector_and_tail": Size(T=4, B=4, I=6, H=17),
    "H1": Size(T=4, B=3, I=2, H=1),
    "H16_exact": Size(T=5, B=6, I=8, H=16),
    "H33_two_vectors_and_tail": Size(T=3, B=5, I=4, H=33),
    "H130_many_tiles": Size(T=3, B=13, I=10, H=130),
    "T1": Size(T=1, B=4, I=3, H=8),
    "B1": Size(T=7, B=1, I=4, H=8),
    "I1": Size(T=6, B=5, I=1, H=12),
    "B7_one_row_beyond_a_tile": Size(T=5, B=7, I=3, H=20),
    "I65_too_wide_for_the_step": Size(T=4, B=3, I=65, H=10),
    "I28_and_T35": Size(T=35, B=2, I=28, H=9),
    "all_ones": Size(T=1, B=1, I=1, H=1),
}

# Ways through time -> the arguments that ask for them; "packed" is turned into batch_sizes by make_sequence.
WAYS = {
    "plain": {},
    "reverse": {"reverse": True},
    "batch_first": {"batch_first": True},
    "batch_first_reverse": {"batch_first": True, "reverse": True},
    "packed": {"packed": True},
    "packed_reverse": {"packed": True, "reverse": True},
}


@dataclass
class Sequence:
    """The arguments of `scan` and `fused`: tensors by name (x, states, weights, restored states), options by name."""

    cell: Cell
    tensors: dict[str, Tensor]
    options: dict = field(default_factory=dict)

    def to(self, dtype: torch.dtype) -> Sequence:
        return Sequence(self.cell, {name: t.to(dtype, copy=True) for name, t in self.tensors.items()}, self.options)

    def requires_grad_(self, names: Iterable[str] | None = None) -> Sequence:
        """Ask for the gradients of the tensors named, or of all."""
        for name in self.tensors if names is None else names:
            self.tensors[name].requires_grad_()
        return self

    def call(self, function: Callable, **changed: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`function` on these arguments, some of the tensors exchanged by name -> y, states."""
        tensors = self.tensors | changed
        states = tuple(tensors[name] for name in self.cell.states)
        weights = Weights(*(tensors.get(weight_name(name)) for name in Weights._fields))
        rows, options = split_options(self.options)
        call = [self.cell, tensors["x"], states, weights, Rows(**rows), Options(**options)]
        if restored_name(self.cell.states[0]) in tensors:
            call.append(tuple(tensors[restored_name(name)] for name in self.cell.states))
        y, states, inside = function(*call)
        return (y, states) if inside is None else (y, states, inside)


def split_options(options: dict) -> tuple[dict, dict]:
    """Options by name as those of `Rows` and those of `Options`."""
    of_rows = {name: value for name, value in options.items() if name in Rows._fields}
    return of_rows, {name: value for name, value in options.items() if name not in of_rows}


def with_options(function: Callable, **changed) -> Callable:
    """`scan` or `fused`, called with some options changed."""
    of_rows, of_options = split_options(changed)

    def call(cell, x, states, weights, rows, options, *rest):
        return function(cell, x, states, weights, rows._replace(**of_rows), options._replace(**of_options), *rest)

    return call


class Shape(NamedTuple):
    """Which optional weights a sequence has."""

    bias: bool = True
    projected: bool = False


def weight_name(name: str) -> str:
    """A weight's name among the tensors: no cell's state is called so."""
    return f"weights.{name}"


def restored_name(state: str) -> str:
    """The name among the tensors of a state that resets restore."""
    return f"restored {state}"


def with_resets(sequence: Sequence, often: float = 0.3, restored: bool = True) -> Sequence:
    """The sequence with random resets, and with random states that they restore or with none."""
    tensors, x = dict(sequence.tensors), sequence.tensors["x"]
    if restored:
        tensors |= {restored_name(name): random(tensors[name].shape) for name in sequence.cell.states}
    resets = torch.rand(x.shape[:-1]) < often
    return Sequence(sequence.cell, tensors, sequence.options | {"resets": resets})


# Ways through a ragged batch.
RAGGED = {
    "lengths": {},
    "lengths_reverse": {"reverse": True},
    "lengths_batch_first": {"batch_first": True},
    "lengths_batch_first_reverse": {"batch_first": True, "reverse": True},
    "offsets": {"offsets": True},
    "offsets_reverse": {"offsets": True, "reverse": True},
}


def parts_of(resets):
    """Where the parts of one row [T] begin and end."""
    edges = [0, *(t for t in range(1, len(resets)) if resets[t]), len(resets)]
    return list(pairwise(edges))


def make_ragged(
    cell: str | Cell, size: Size, way: str = "lengths", shape: Shape | None = None, lengths: list[int] | None = None
) -> Sequence:
    """As make_sequence, of rows with random lengths from 0 to T, or with those given; beyond them x is NaN."""
    options = dict(RAGGED[way])
    batch_first, flat = options.get("batch_first", False), options.pop("offsets", False)
    sequence = make_sequence(cell, size, "batch_first" if batch_first else "plain", shape)
    given = torch.randint(0, size.T + 1, (size.B,)) if lengths is None else torch.tensor(lengths, dtype=torch.int64)
    there = torch.arange(size.T) < given[:, None]  # [B, T]
    x = sequence.tensors["x"]
    if flat:
        options["offsets"] = torch.cat([given.new_zeros(1), given.cumsum(0)])
        x = x.transpose(0, 1)[there]
    else:
        options["lengths"] = given
        x = x.where((there if batch_first else there.T)[..., None], float("nan"))
    return Sequence(sequence.cell, sequence.tensors | {"x": x}, options)


def make_sequence(cell: str | Cell, size: Size, way: str = "plain", shape: Shape | None = None) -> Sequence:
    """A random sequence in float64 whose values float32 holds exactly."""
    found, shape, (T, B, I, H) = ALL[cell] if isinstance(cell, str) else cell, shape or Shape(), size
    P = (H + 1) // 2 if shape.projected else H
    options = dict(WAYS[way])
    x = random((B, T, I) if options.get("batch_first") else (T, B, I))
    if options.pop("packed", False):
        lengths = torch.randint(1, T + 1, (B,)).sort(descending=True).values
        lengths[0] = T
        options["batch_sizes"] = torch.stack([(lengths > t).sum() for t in range(T)])
        x = random((int(lengths.sum()), I))
    states = {name: random((B, H if k else P)) for k, name in enumerate(found.states)}
    return Sequence(found, {"x": x, **states, **make_weights(found, I, H, P, shape)}, options)


def make_weights(cell: Cell, I: int, H: int, P: int, shape: Shape) -> dict[str, Tensor]:
    """Weights by name, drawn as torch draws a layer's: with them rounding does not grow from step to step."""
    rows_x, rows_h = len(cell.from_x) * H, len(cell.from_h) * H
    shapes = {"W": (rows_x, I), "R": (rows_h, P + (len(cell.fed) - 1) * H)}
    shapes |= {"b_x": (rows_x,), "b_h": (rows_h,)} if shape.bias else {}
    shapes |= {"c": (len(cell.weights) * H,)} if cell.weights else {}
    shapes |= {"P": (P, H)} if shape.projected else {}
    return {weight_name(name): ((2 * torch.rand(s) - 1) / H**0.5).double() for name, s in shapes.items()}


def reads_h(cell: Cell) -> bool:
    """Whether h must be H wide: the equations use h itself, as the GRU's do, or are normalised."""
    if cell.normed:
        return True
    number = torch.zeros(1)
    states = [number.new_tensor([float("nan")]), *[number] * (len(cell.states) - 1)]
    further = cell.more_arguments([number] * len(cell.weights))
    return any(bool(new.isnan()) for new in cell.step([number] * len(cell.rows), states, *further))


def run(function: Callable, sequence: Sequence, dtype: torch.dtype, names: Iterable[str] | None = None):
    """Outputs, final states, what is shown inside, and the gradients of the tensors named (default: all), by name."""
    ready = sequence.to(dtype).requires_grad_(names)
    y, states, *shown = ready.call(function)
    outputs = {"y": y} | {f"final {name}": s for name, s in zip(sequence.cell.states, states, strict=True)}
    outputs |= {f"inside {name}": tensor for of_step in shown for name, tensor in of_step.items()}
    scalar_of(outputs.values()).backward()
    result = {name: t.detach() for name, t in outputs.items()}
    grads = {name: t.grad for name, t in ready.tensors.items() if t.requires_grad}
    ragged = bool({"resets", "lengths", "offsets"} & set(sequence.options))
    for name, tensor in ready.tensors.items():  # there may be no reset, no step, and no R: zeros are None alike
        if name in grads and grads[name] is None and (ragged or not tensor.numel()):
            grads[name] = torch.zeros_like(tensor)
    return result | {f"grad of {name}": g for name, g in grads.items()}


def differentiable(sequence: Sequence, function: Callable = fused):
    """A sequence as gradcheck wants it: a function of its tensors, which returns all outputs, and the tensors.

    NaN has no slope, so x is zero where it is padding.
    """
    sequence.tensors["x"] = sequence.tensors["x"].detach().nan_to_num(0.0)
    names = list(sequence.requires_grad_().tensors)

    def outputs(*tensors):
        y, states, *shown = sequence.call(function, **dict(zip(names, tensors, strict=True)))
        return (y, *states, *(tensor for of_step in shown for tensor in of_step.values()))

    return outputs, tuple(sequence.tensors.values())


def draws_of(make: Callable[[], Sequence]):
    """Some sequences: what `fused` and `scan` return in float32, and `scan` in float64."""
    for _ in range(draws_for(make().tensors["h"].shape[-1])):
        sequence = make()
        results = tuple(run(*how) for how in [(fused, sequence, F32), (scan, sequence, F32), (scan, sequence, F64)])
        yield tuple({name: t for name, t in result.items() if name not in cancelled(sequence)} for result in results)


def cancelled(sequence: Sequence) -> set[str]:
    """Gradients of which nothing is left but rounding: W x of one input, and R h of one unit, are multiples of one
    vector, and once normalised do not depend on it."""
    if not sequence.cell.normed:
        return set()
    alone = {"x": sequence.tensors["x"].shape[-1] == 1}
    alone |= dict.fromkeys(("h", restored_name("h")), sequence.tensors["h"].shape[-1] == 1)
    return {f"grad of {name}" for name, is_alone in alone.items() if is_alone}


def assert_same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    """Every number is the same to the last bit; NaN equals NaN."""
    assert list(a) == list(b)
    for name in a:
        assert same_bits(a[name], b[name]), f"{name} differs by {(a[name] - b[name]).abs().max():.3g}"


def same_bits(a: Tensor, b: Tensor) -> bool:
    """One shape and one dtype, and all numbers equal; 0 and -0 are told apart, NaN equals NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    same = (a == b) & (a.signbit() == b.signbit())
    return bool((same | (a.isnan() & b.isnan())).all())


def with_masks(sequence: Sequence, fed_back: float = 0.3, seed: int = 5) -> Sequence:
    """The sequence with every mask that its cell has, and one of the h that is fed back."""
    drawn = {"candidate": dropout_mask(0.25), "zoneout_c": zoneout_mask(0.4), "zoneout_h": zoneout_mask(0.1)}
    masks = tuple(drawn[name] for name, _ in sequence.cell.masks)
    if "weights.P" in sequence.tensors:  # what h was before the projection is not there to be kept
        masks = tuple(constant_mask(0.0) if name == "zoneout_h" else drawn[name] for name, _ in sequence.cell.masks)
    sampled = Masks(torch.tensor(seed), 3, masks, dropout_mask(fed_back) if fed_back else None)
    return Sequence(sequence.cell, sequence.tensors, sequence.options | {"masks": sampled})
