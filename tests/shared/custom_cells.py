"""Cells that no one ships, as people write their own: some awkward, some drawn at random; and their kernels."""

from __future__ import annotations

import random
import re
from functools import cache
from unittest import mock

import pytest
import torch

import carrousel
from carrousel import odyssey
from carrousel.cells import Cell, exp, relu, sigmoid, tanh
from carrousel.custom_cell.compiler import NoKernel, find_compiler
from carrousel.custom_cell.fuse import fuse_all
from carrousel.fused import kernels

try:
    find_compiler()
    CAN_COMPILE = kernels.instruction_set() is not None
except NoKernel:
    CAN_COMPILE = False
needs_compiler = pytest.mark.skipif(not CAN_COMPILE, reason="built without kernels, or no C++ compiler: nothing to run")


def minimal_gated_unit(rows, states):
    """Zhou et al. (2016), their gate on R h: f = sigmoid(f), n = tanh(n_x + f n_h), h' = (1 - f) h + f n."""
    n, f, m = rows
    (h,) = states
    f = torch.sigmoid(f)
    return (h + f * (torch.tanh(n + f * m) - h),)


def many_rows(rows, states, weights):
    """Five rows, three states, two weights, choices; h is used as it is."""
    a, b, i, o, m = rows
    h, c, n = states
    u, v = weights
    c = torch.where(a > u * c, sigmoid(i) * c, torch.maximum(b, -c / 2))
    n = torch.clamp(n * v + torch.nn.functional.softplus(m), -1, 2)
    return sigmoid(o) * torch.tanh(c + n) + h / 4, torch.tanh(c), n


def from_x_alone(rows, states):
    """Gates of x only: h is fed back unit by unit and R has no rows."""
    f, g = rows
    (h,) = states
    return (torch.lerp(h, torch.log1p(g.square()), sigmoid(f)),)


def projectable(rows, states):
    """h is not used but through R, so that it may be projected."""
    i, g = rows
    _, c = states
    c = c / 2 + sigmoid(i) * torch.nn.functional.silu(g)
    return torch.tanh(c), c


MINIMAL = Cell("MGU", "nfm", "fn", "fm", "h", minimal_gated_unit)
AWKWARD = [
    Cell("many_rows", "abiom", "abio", "biom", "hcn", many_rows, "uv"),
    Cell("from_x_alone", "fg", "fg", "", "h", from_x_alone),
    Cell("projectable", "ig", "ig", "ig", "hc", projectable),
]


def random_cell(seed: int) -> Cell:
    """A cell whose step is twelve random operations on what came before, such that no number grows out of hand.

    Every other one feeds back a state beside h.
    """
    draw = random.Random(seed)
    operations = {
        "add": lambda x, y: x + y,
        "subtract": lambda x, y: 1.5 - x - y,
        "multiply": lambda x, y: x * y,
        "divide": lambda x, y: x / (y**2 + 0.7),
        "scale": lambda x, y: -x / 3,
        "power": lambda x, y: tanh(x) ** 3,
        "sigmoid": lambda x, y: sigmoid(x - y),
        "tanh": lambda x, y: tanh(x * y),
        "relu": lambda x, y: relu(x + 0.1),
        "exp": lambda x, y: exp(-sigmoid(x)),
        "log": lambda x, y: torch.log(x * x + y * y + 0.1),
        "sqrt": lambda x, y: torch.sqrt(x * x + 0.1) - (y * y + 1) ** -0.5,
        "softplus": lambda x, y: torch.nn.functional.softplus(x - y, beta=2),
        "where": lambda x, y: torch.where((x > 0.2) | ~(y <= x), x * y, y - 0.5),
        "maximum": lambda x, y: torch.maximum(x, y / 2) - torch.minimum(x, abs(y)),
        "clamp": lambda x, y: torch.clamp(x + y, -0.5, 1.5) + torch.expm1(torch.clamp(y, max=0.3)),
    }
    program = [(draw.choice(list(operations)), draw.random(), draw.random()) for _ in range(12)]

    def step(rows, states, weights):
        values = [*rows, *states, *weights]
        for name, x, y in program:
            values.append(operations[name](values[int(x * len(values))], values[int(y * len(values))]))
        # of the weights alone it would be [H], and a new state is [B, H]
        return tanh(values[-1] + states[0]), tanh(values[-2] - states[1]), torch.clamp(values[-3] + rows[0], -2, 2)

    return Cell(f"random{seed}", "abc", "ab", "bc", "hcd", step, "vw", fed="hd" if seed % 2 else "h")


def quickly():
    """Inside, kernels are not optimised, which takes a second for each cell."""
    flags = re.sub(r"-O\d", "-O0", kernels.compile_flags())
    return mock.patch.object(kernels, "compile_flags", return_value=flags)


@cache
def compiled(*cells: Cell) -> dict[str, Cell]:
    """The cells with kernels, by their own names: one library."""
    with quickly():
        with_kernels = fuse_all(cells, kernels.instruction_set())
    return {own.name: one for own, one in zip(cells, with_kernels, strict=True)}


def compiled_variants() -> dict[str, Cell]:
    """The search-space odyssey's cells with kernels, all in one library."""
    return compiled(*[getattr(odyssey, name).CELL for name in odyssey.__all__ if name != "NP"])


@carrousel.cell(rows="nfm", from_x="fn", from_h="fm", states="h")
def MGU(rows, states):
    """The same as a layer."""
    return minimal_gated_unit(rows, states)


def made_of(step, **options):
    """The layer class of a function of one row and one state: step(a, h) returns the new h."""
    return carrousel.cell(lambda rows, states: step(rows[0], states[0]), rows="a", states="h", name="Mine", **options)
