"""Cells whose generated C++ is tested: those that ship, users' cells each awkward in its own way, and random ones."""

from __future__ import annotations

import pytest
import torch
from custom_cells import AWKWARD, MINIMAL, random_cell

from carrousel.cells import ALL, Cell, exp, relu, sigmoid, tanh


def plain_slstm(rows, states):
    """xLSTM's scalar cell without the stabiliser: three states, exp, and a division."""
    i, f, z, o = rows
    _, c, n = states
    c = sigmoid(f) * c + exp(i) * tanh(z)
    n = sigmoid(f) * n + exp(i)
    return sigmoid(o) * c / n, c, n


def plain_minlstm(rows, states):
    """Gates from x alone, divided by their sum; the old h is used as it is."""
    i, f, g = rows
    (h,) = states
    i, f = sigmoid(i), sigmoid(f)
    return ((f * h + i * g) / (f + i),)


def polynomial(rows, states, weights):
    """Numbers, powers, minus, values used twice, raw rows, a state that stays and one that is overwritten."""
    a, b = rows
    h, c, d = states
    (w,) = weights
    shared = 0.3 * a - b / 4
    square = shared**2 + 1
    return -shared * w + relu(square - 1.25) * h**3, c, 2 - shared / square - d**-2


def constant(rows, states):
    """A new state that is a number, and one that is a row."""
    (a,) = rows
    return a, 0.5, states[0] * 1 + 0


def shadows(rows, states, weights):
    """Names that mean something else in the C++ around them."""
    a, new, v0, u0, half = rows
    s, keep, dc = states
    one, step_of = weights
    both = sigmoid(a) * tanh(new)
    s_new = both * s + both * tanh(v0 * step_of)
    return s_new * sigmoid(u0), tanh(half) + one * keep * s_new, dc * s_new * keep


def comparisons(rows, states, weights):
    """Choices, comparisons and what is made of them, clamped twice, one bound a value."""
    a, b = rows
    h, c = states
    (w,) = weights
    open_ = torch.where((a > 0.2) & ~(b >= h) | (c != c), a * w, b)
    c = torch.clamp(c + open_, -1, 0.8).maximum(b / 2) + (a <= b) * h
    return torch.minimum(open_.clip(max=c), a), torch.lerp(c, a.sign() * b, torch.clamp(b / 6 + 0.5, 0, 1))


def analytic(rows, states):
    """Logarithms, roots and what torch calls activations."""
    f = torch.nn.functional
    a, b = rows
    h, c = states
    c = torch.log(1 + torch.exp(a)) - torch.log1p(b**2) + f.softplus(40 * c, beta=2) + (b.abs() + 1) ** 1.5
    d = (
        f.elu(a, 0.5)
        + f.leaky_relu(b)
        - f.silu(h)
        + torch.logaddexp(a, 2 * b)
        + f.relu6(4 * a)
        + f.hardtanh(b, -0.5)
        + f.softsign(c)
    )
    return torch.sqrt(1 + d.square()) * torch.expm1(b / 3), f.logsigmoid(a) * (1 + c**2) ** -0.5 + d.reciprocal() * 0.01


USERS = [
    Cell("plain_slstm", "ifzo", "ifzo", "ifzo", "hcn", plain_slstm),
    Cell("plain_minlstm", "ifg", "ifg", "", "h", plain_minlstm),
    Cell("polynomial", "ab", "ab", "b", "hcd", polynomial, "w"),
    Cell("constant", "a", "a", "a", "hcd", constant),
    Cell("comparisons", "ab", "ab", "ab", "hc", comparisons, "w"),
    Cell("analytic", "ab", "ab", "ab", "hc", analytic),
    Cell(
        "shadows",
        ("a", "new", "v0", "u0", "half"),
        ("a", "new", "v0", "u0"),
        ("v0", "u0", "half"),
        ("s", "keep", "dc"),
        shadows,
        ("one", "step_of"),
    ),
]


POINTWISE = {name: cell for name, cell in ALL.items() if not cell.normed}  # the others: test_layer_norm.py
CELLS = [*POINTWISE.values(), *USERS, MINIMAL, *AWKWARD, *map(random_cell, range(12))]
by_name = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
