"""torch.compile(fullgraph=True) takes kernels and layers; the custom ops keep torch.library's rules (opcheck)."""

from __future__ import annotations

import os
from shutil import which

import pytest
import torch
from custom_ops import calls_of, check_ops, compiled, needs_ops
from sequences import CELLS, WAYS, make_sequence, run, with_masks
from twins import Size, assert_equal_to_1e10, make_example
from twins import run as run_layer

import carrousel
from carrousel.fused import OPS, fused

pytestmark = pytest.mark.slow

SIZE = Size(T=3, B=4, I=5, H=6)
COMPILERS = [os.environ.get("CXX", "g++"), "clang++"]
LAYERS = {
    "LSTM": lambda: carrousel.LSTM(5, 6, num_layers=2, bidirectional=True),
    "LSTM_projected": lambda: carrousel.LSTM(5, 6, proj_size=2, batch_first=True),
    "GRU": lambda: carrousel.GRU(5, 6, batch_first=True),
    "RNN": lambda: carrousel.RNN(5, 6, nonlinearity="relu", bias=False),
    "PeepholeLSTM": lambda: carrousel.PeepholeLSTM(5, 6, bidirectional=True),
    "LSTM1997": lambda: carrousel.LSTM1997(5, 6),
    "LSTM_zoneout": lambda: carrousel.LSTM(5, 6, zoneout=(0.5, 0.1), drop_connect=0.3).eval(),
}


# Without our ops the graph holds scan's loop, whose number of turns is data that a graph cannot hold when packed.
TRACEABLE = [way for way in WAYS if OPS or "packed" not in way]
# Compiling takes its time: every cell one way, one cell every way, and the rest with --all.
CASES = [
    pytest.param(cell, way, marks=[] if way == "plain" or cell == "peephole" else pytest.mark.full)
    for cell in CELLS
    for way in TRACEABLE
]


@pytest.fixture(autouse=True)
def nothing_compiled_before():
    """Each test compiles for itself: recompilations are counted, and limited, per function."""
    torch.compiler.reset()


@pytest.mark.parametrize(("cell", "way"), CASES)
def test_compiled_kernels_give_the_same(cell, way):
    sequence = make_sequence(cell, SIZE, way)
    got, expected = run(compiled(), sequence, torch.float64), run(fused, sequence, torch.float64)
    assert_equal_to_1e10(got, expected)


@pytest.mark.parametrize("layer", LAYERS)
def test_compiled_layers_give_the_same(layer):
    made = LAYERS[layer]().double()
    example = make_example(made, SIZE)
    expected = run_layer(made, example)
    made.compile(fullgraph=True, backend="aot_eager")
    assert_equal_to_1e10(run_layer(made, example), expected)


@pytest.mark.skipif(
    not any(map(which, COMPILERS)), reason=f"inductor needs a C++ compiler: none of {COMPILERS} is here"
)
def test_compiled_by_inductor():
    """The default backend, which writes and compiles C++ around our ops, in a model with layers before and after."""
    model = torch.nn.Sequential(torch.nn.Linear(5, 5), carrousel.LSTM(5, 6)).double()
    fast = torch.compile(model, fullgraph=True)
    results = []
    for function in (model, fast):
        model.zero_grad()
        y, (h, c) = function(torch.ones(3, 4, 5, dtype=torch.float64))
        (torch.tanh(y).sum() + h.sum() + c.square().sum()).backward()
        results.append({"y": y.detach()} | {name: p.grad.clone() for name, p in model.named_parameters()})
    assert_equal_to_1e10(*results)


@pytest.mark.parametrize("layer", LAYERS)
def test_compiled_without_gradients(layer):
    made = LAYERS[layer]()
    x = torch.randn(3, 4, 5)
    with torch.no_grad():
        expected = made(x)[0]
        assert torch.equal(torch.compile(made, fullgraph=True, backend="aot_eager")(x)[0], expected)


@needs_ops
@pytest.mark.parametrize(
    "cell", [pytest.param(cell, marks=[] if cell == "lstm" else pytest.mark.full) for cell in CELLS]
)
def test_one_graph_for_other_sizes(cell):
    """dynamic=True: after T and B have changed once, one graph serves whatever comes."""
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    function = torch.compile(fused, fullgraph=True, dynamic=True, backend=counter)
    for size in (SIZE, SIZE._replace(T=7, B=3), SIZE._replace(T=9, B=5), SIZE._replace(T=4, B=8)):
        torch.manual_seed(0)
        sequence = make_sequence(cell, size)
        assert_equal_to_1e10(run(function, sequence, torch.float64), run(fused, sequence, torch.float64))
    assert counter.frame_count <= 2


@pytest.mark.parametrize("layer", LAYERS)
def test_export(layer):
    """torch.export: a layer as a graph, run again, gives the same."""
    made, x = LAYERS[layer]().eval(), torch.randn(3, 4, 5)
    program = torch.export.export(made, (x,))
    torch.testing.assert_close(program.module()(x)[0], made(x)[0], rtol=0, atol=1e-6)


@needs_ops
@pytest.mark.parametrize(("cell", "way"), CASES)
def test_opcheck(cell, way):
    """Schema, fake tensors, autograd registration and ahead-of-time tracing of each op as it is really called."""
    check_ops(make_sequence(cell, SIZE, way))


@needs_ops
@pytest.mark.parametrize("way", ["plain", pytest.param("packed", marks=pytest.mark.full)])
def test_opcheck_with_masks(way):
    sequence = with_masks(make_sequence("regularized_lstm", SIZE, way))
    check_ops(sequence)
    assert_equal_to_1e10(run(compiled(), sequence, torch.float64), run(fused, sequence, torch.float64))


@needs_ops
def test_every_op_is_called():
    """So that the check above has seen them all."""
    seen = {op.name().removeprefix("carrousel::").split(".")[0] for op, _, _ in calls_of(make_sequence("lstm", SIZE))}
    assert seen == set(OPS)
