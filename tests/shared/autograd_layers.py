"""Layers of every kind, in float64, with a small loss and its gradients by a plain backward pass."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from custom_cells import needs_compiler, quickly
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

import carrousel

T, B, I, H = 3, 2, 2, 3


@carrousel.cell(rows="nfm", from_x="fn", from_h="fm", states="h")
def MGU(rows, states):
    """A cell of one's own, in torch operations or compiled."""
    n, f, m = rows
    (h,) = states
    f = torch.sigmoid(f)
    return (h + f * (torch.tanh(n + f * m) - h),)


def compiled_mgu(*sizes, **options):
    with quickly():
        layer = MGU(*sizes, **options, compile=True)
    assert layer.compiled
    return layer


LAYERS = {
    "LSTM": carrousel.LSTM,
    "LSTM_projected": partial(carrousel.LSTM, proj_size=2),
    "LSTM_low": partial(carrousel.LSTM, memory="low"),
    "GRU": carrousel.GRU,
    "RNN": carrousel.RNN,
    "PeepholeLSTM": carrousel.PeepholeLSTM,
    "LSTM1997": carrousel.LSTM1997,
    "own": MGU,
    "own_compiled": compiled_mgu,
}
every_layer = pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[needs_compiler] if kind == "own_compiled" else []) for kind in LAYERS]
)


def make(kind, **options):
    return LAYERS[kind](I, H, **options).double()


def inputs(*shape):
    return torch.randn(*(shape or (T, B, I)), dtype=torch.float64)


def parameters_of(layer):
    return {name: p.detach() for name, p in layer.named_parameters()}


def loss_of(layer, parameters, x):
    """A small loss that looks at the outputs and the final states."""
    outputs = tree_leaves(functional_call(layer, parameters, (x,)))
    return sum(output.sin().sum() for output in outputs)


def slopes(layer, x):
    """The gradients of the loss by a plain backward pass: of x, then of the parameters."""
    x = x.detach().requires_grad_()
    parameters = {name: p.requires_grad_() for name, p in parameters_of(layer).items()}
    found = torch.autograd.grad(loss_of(layer, parameters, x), [x, *parameters.values()])
    return dict(zip(["x", *parameters], found, strict=True))
