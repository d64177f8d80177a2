"""hx as a list, a tuple or left out in what is exported or compiled: torch.export, torch.compile, AOTInductor."""

from __future__ import annotations

import os
import subprocess
import sys
from shutil import which

import pytest
import torch
from composed_layers import I, kinds, make
from custom_ops import needs_ops
from torch import nn
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10

pytestmark = pytest.mark.slow

T, B = 3, 2
COMPILERS = [os.environ.get("CXX", "g++"), "clang++"]
needs_cxx = pytest.mark.skipif(not any(map(which, COMPILERS)), reason=f"none of {COMPILERS} is here")


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    torch.compiler.reset()


class Around(nn.Module):
    """A layer inside a model, with hx in the given kind of sequence."""

    def __init__(self, layer, sequence):
        super().__init__()
        self.layer, self.sequence = layer, sequence

    def forward(self, x, states):
        y, hx = self.layer(x, self.sequence(states))
        return y.tanh(), *hx


def data(layer, T=T, B=B):
    x = torch.randn(T, B, I, dtype=torch.float64)
    with torch.no_grad():
        return x, [torch.rand_like(state) + 0.1 for state in tree_leaves(layer(x)[1])]


def named(outputs):
    return {str(k): output.detach() for k, output in enumerate(tree_leaves(outputs))}


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
@kinds("LSTM", "LSTM_projected", "PeepholeLSTM", "SLSTM_heads")
def test_export(kind, options):
    """The bare layer, with hx as a list."""
    layer = make(kind, **options).eval()
    x, states = data(layer)
    program = torch.export.export(layer, (x, states))
    assert_equal_to_1e10(named(program.module()(x, states)), named(layer(x, tuple(states))))


def test_export_at_other_sizes():
    layer = make("LSTM").eval()
    free = ({0: torch.export.Dim("T"), 1: torch.export.Dim("B")}, [{1: torch.export.Dim("B")}] * 2)
    program = torch.export.export(layer, data(layer), dynamic_shapes=free)
    for size in ((5, 2), (3, 4), (6, 3)):
        x, states = data(layer, *size)
        assert_equal_to_1e10(named(program.module()(x, states)), named(layer(x, tuple(states))))


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("sequence", [list, tuple])
@kinds("LSTM", "PeepholeLSTM")
def test_compiled_as_one_graph(kind, sequence, grad):
    model = Around(make(kind), sequence)
    x, states = data(model.layer)
    fast = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.set_grad_enabled(grad):
        results = []
        for run in (fast, model):
            outputs = run(x, states)
            results.append(named(outputs))
            if grad:
                slopes = torch.autograd.grad(sum(o.sin().sum() for o in outputs), list(model.parameters()))
                results[-1] |= {f"slope {k}": slope for k, slope in enumerate(slopes)}
    assert_equal_to_1e10(*results)


def exported(layer):
    return lambda *arguments: torch.export.export(layer, arguments)


@pytest.mark.parametrize("hx", ["too few", "of another size"])
def test_a_failed_compilation_does_not_spoil_the_next(hx):
    """What is caught in a program, by a notebook's user, leaves no trace in the next compilation."""
    layer = make("LSTM")
    x, states = data(layer)
    wrong = states[:1] if hx == "too few" else [state[..., :1] for state in states]
    for attempt in (torch.compile(layer, fullgraph=True, backend="aot_eager"), exported(layer)):
        with pytest.raises((RuntimeError, TypeError, IndexError)):
            attempt(x, wrong)
    for given in (tuple(states), states):
        other = make("LSTM")
        got = torch.compile(other, fullgraph=True, backend="aot_eager")(x, given)
        assert_equal_to_1e10(named(got), named(other(x, tuple(states))))


LOAD = """
import sys, torch, carrousel
path, data = sys.argv[1:]
x, states, expected = torch.load(data)
got = torch._inductor.aoti_load_package(path)(x, states)
for mine, other in zip(got, expected, strict=True):
    torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)
"""


class Alone(Around):
    """A layer that starts from zeros."""

    def forward(self, x, states):
        y, hx = self.layer(x)
        return y.tanh(), *hx, *states


@needs_ops
@needs_cxx
@pytest.mark.parametrize("model", [Around, Alone])
def test_ahead_of_time_by_inductor(model, tmp_path):
    """AOTInductor: packaged, and run here and in another process."""
    model = model(make("LSTM"), list).eval()
    x, states = data(model.layer)
    with torch.no_grad():
        program = torch.export.export(model, (x, states))
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
        expected = [output.clone() for output in model(x, states)]
        got = torch._inductor.aoti_load_package(path)(x, states)
    assert_equal_to_1e10(named(got), named(expected))
    torch.save((x, states, expected), tmp_path / "data.pt")
    subprocess.run([sys.executable, "-c", LOAD, path, tmp_path / "data.pt"], check=True)
