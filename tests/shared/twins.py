"""A layer of ours and `torch.nn`'s own with the same weights, run on the same input, compared in all they return.

Letters: T time, B batch, I input, H hidden, P projection, D directions, L layers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import carrousel

# Kind of layer -> its class's name and the options that make it so.
KINDS = {
    "LSTM": ("LSTM", {}),
    "LSTM_projected": ("LSTM", {"proj_size": "half"}),
    "GRU": ("GRU", {}),
    "RNN_tanh": ("RNN", {"nonlinearity": "tanh"}),
    "RNN_relu": ("RNN", {"nonlinearity": "relu"}),
}

TORCHS = ["LSTM", "GRU", "RNN"]  # the layers by name: torch's and ours
OURS = [*TORCHS, "PeepholeLSTM", "LSTM1997"]  # ours alone too

# A unit in the last place of each type, for a value of one.
ULP = {dtype: torch.finfo(dtype).eps for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16)}


class Size(NamedTuple):
    """The size of one input: T steps, B rows, I features, H units."""

    T: int
    B: int
    I: int
    H: int


def make_layer(library, kind: str, size: Size, **options) -> torch.nn.Module:
    """A layer of `library`: `torch.nn`, `carrousel` or whatever has classes of those names."""
    name, own = KINDS[kind]
    own = {key: size.H // 2 if value == "half" else value for key, value in own.items()}
    return getattr(library, name)(size.I, size.H, **own, **options)


def make_twins(kind: str, size: Size, **options) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and torch's layer with torch's initial weights, loaded through `state_dict`."""
    theirs = make_layer(torch.nn, kind, size, **options)
    ours = make_layer(carrousel, kind, size, **options)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


@dataclass
class Example:
    """An input and what a layer needs around it, in float64 with values that float32 holds exactly.

    x [T, B, I], [B, T, I] with batch_first, [T, I] unbatched; hx each [L*D, B, H or P], [L*D, H or P] unbatched.
    lengths: each row's number of steps when the input goes in packed, else None.
    """

    x: Tensor
    hx: list[Tensor] | None
    lengths: Tensor | None
    batch_first: bool
    is_sorted: bool

    def leaves(self, dtype: torch.dtype) -> tuple[Tensor, list[Tensor] | None]:
        """Fresh x and hx in `dtype` that collect gradients."""
        x = self.x.to(dtype, copy=True).requires_grad_()
        return x, None if self.hx is None else [h.to(dtype, copy=True).requires_grad_() for h in self.hx]

    def wrap(self, x: Tensor) -> Tensor | PackedSequence:
        """What goes into the layer: x itself, or packed."""
        if self.lengths is None:
            return x
        return pack_padded_sequence(x, self.lengths, self.batch_first, enforce_sorted=self.is_sorted)


def make_example(layer: torch.nn.Module, size: Size, form: str = "batched", with_hx: bool = True) -> Example:
    """A random example for `layer`. form: batched, unbatched, packed_sorted or packed_unsorted."""
    T, B, I, _ = size
    batch = () if form == "unbatched" else (B,)
    shape = (*batch, T, I) if layer.batch_first else (T, *batch, I)
    lengths = None
    if form.startswith("packed"):
        lengths = torch.randint(1, T + 1, (B,))
        lengths[torch.randint(B, ())] = T
        lengths = lengths.sort(descending=True).values if form == "packed_sorted" else lengths
    hx = [random(state_shape(layer, batch, k)) for k in range(states_of(layer))] if with_hx else None
    return Example(random(shape), hx, lengths, layer.batch_first, form == "packed_sorted")


def random(shape) -> Tensor:
    """float64 values that are exact in float32."""
    return torch.randn(shape, dtype=torch.float32).double()


def states_of(layer: torch.nn.Module) -> int:
    """How many states a layer carries: h, or h and c."""
    return 2 if "LSTM" in type(layer).__name__ else 1


def state_shape(layer: torch.nn.Module, batch: tuple[int, ...], state: int) -> tuple[int, ...]:
    """[L*D, B, P or H] of h (state 0), [L*D, B, H] of c."""
    units = layer.proj_size if layer.proj_size and state == 0 else layer.hidden_size
    return (layer.num_layers * (2 if layer.bidirectional else 1), *batch, units)


def run(layer: torch.nn.Module, example: Example, seed: int = 7) -> dict[str, Tensor]:
    """Forward and backward in the layer's own dtype: outputs, final states and every gradient, by name.

    The scalar that is differentiated weighs each output with a fixed random number. `seed` fixes the dropout.
    """
    layer.zero_grad()
    x, hx = example.leaves(next(layer.parameters()).dtype)
    torch.manual_seed(seed)
    y, states = layer(example.wrap(x), *to_hx(layer, hx))
    outputs = {"y": y.data if isinstance(y, PackedSequence) else y}
    outputs |= {f"state {k}": state for k, state in enumerate(states if isinstance(states, tuple) else (states,))}
    scalar_of(outputs.values()).backward()
    result = {name: value.detach() for name, value in outputs.items()} | {"grad of x": x.grad}
    result |= {f"grad of hx[{k}]": h.grad for k, h in enumerate(hx or ())}
    return result | {f"grad of {name}": p.grad for name, p in layer.named_parameters()}


def to_hx(layer: torch.nn.Module, hx: list[Tensor] | None) -> list:
    """The argument hx as a list of none or one, to be splatted: (h, c) for LSTMs, else h."""
    if hx is None:
        return []
    return [tuple(hx) if states_of(layer) == 2 else hx[0]]


def scalar_of(outputs) -> Tensor:
    """A sum of all outputs, each number with its own fixed weight."""
    generator = torch.Generator().manual_seed(1)
    return sum((y * torch.randn(y.shape, generator=generator, dtype=torch.float32).to(y.dtype)).sum() for y in outputs)


def assert_equal_to_1e10(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """float64: the same names, shapes, dtypes, and values to 1e-10 of the largest (at least of one)."""
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        assert_alike(name, ours[name], expected)
        bound = 1e-10 * max(1.0, largest(expected))
        assert distance(ours[name], expected) <= bound, f"{name}: {distance(ours[name], expected):.3g} > {bound:.3g}"


def draws_of(ours: torch.nn.Module, theirs: torch.nn.Module, make: Callable[[], Example]):
    """Some examples: what ours, theirs and theirs in float64 return."""
    exact = copy.deepcopy(theirs).double()
    for seed in range(draws_for(ours.hidden_size)):
        torch.manual_seed(seed)  # run leaves the generator where the dropout left it
        example = make()
        yield run(ours, example), run(theirs, example), run(exact, example)


def draws_for(units: int) -> int:
    """How many draws show a computation's usual rounding: more where there are few numbers to round."""
    return 3 if units > 4 else 15 if units > 1 else 60


def assert_as_exact(draws) -> None:
    """Ours is at most four times as far from the float64 result as theirs, or within four ULP of the largest value.

    draws: results (ours, theirs, exact) of the same computation on different numbers. Distance is the root mean square;
    the largest error, whose luck is greater, may be eight times theirs: it finds a single number that has gone wrong.
    """
    draws = list(draws)
    for name, got in draws[0][0].items():
        for ours, other, _ in draws:
            assert list(ours) == list(other)
            assert_alike(name, ours[name], other[name])
        errors = [torch.cat([errors_of(draw[k][name], draw[2][name]) for draw in draws]) for k in (0, 1)]
        ulp = ULP[got.dtype] * max(largest(exact[name]) for _, _, exact in draws)
        assert_within(f"{name}, root mean square", *(root_mean_square(e) for e in errors), 4, 4 * ulp)
        if errors[0].numel() >= 64:  # of a few numbers the largest says no more
            assert_within(f"{name}, largest", *(largest(e) for e in errors), 8, 8 * ulp)


def assert_within(name: str, ours: float, theirs: float, times: float, floor: float) -> None:
    bound = max(times * theirs, floor)
    assert ours <= bound, f"{name}: {ours:.3g} from float64, at most {bound:.3g} wanted"


def errors_of(a: Tensor, exact: Tensor) -> Tensor:
    """All differences, in float64, in one row."""
    return (a.double() - exact).flatten()


def root_mean_square(a: Tensor) -> float:
    return a.square().mean().sqrt().item() if a.numel() else 0.0


def assert_alike(name: str, ours: Tensor | None, theirs: Tensor | None) -> None:
    """Both are there, of one shape and one dtype, and ours is finite."""
    assert (ours is None) == (theirs is None), f"{name}: only one of the two has it"
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), name
    assert ours.isfinite().all() or not theirs.isfinite().all(), f"{name} is not finite"


def distance(a: Tensor, b: Tensor) -> float:
    """The largest absolute difference, computed in float64."""
    return largest(a.double() - b.double())


def largest(a: Tensor) -> float:
    """The largest absolute value, 0 of an empty tensor."""
    return a.abs().max().item() if a.numel() else 0.0
