"""Layers while something watches every operation: modes, functionalize, make_fx, fake tensors, DTensor."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from composed_layers import DOUBLE, I, both_orders, first_order, inputs_of, kinds, loss_of, make, two_calls
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10

pytestmark = pytest.mark.slow

T, B = 3, 2
every_kind = kinds(
    *["LSTM", "LSTM_low", "GRU", "RNN_tanh", "PeepholeLSTM", "LayerNormLSTM", "MinGRU"],
    *["SLSTM_heads", "MLSTM", "own", "own_compiled"],
)


class Dispatching(TorchDispatchMode):
    """Passes every operation on."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **kwargs or {})


class Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **kwargs or {})


MODES = {"dispatch": Dispatching, "function": Functions}


def check_all(kind, mode):
    """Forward and both backward passes inside."""
    layer = make(kind)
    inputs = inputs_of(layer)
    run = partial(two_calls, layer, inputs.x, inputs.hx)
    expected = both_orders(run, inputs.leaves(layer))
    with MODES[mode]():
        got = both_orders(run, inputs.leaves(layer))
    assert_equal_to_1e10(got, expected)


def check_part(kind, mode, inside):
    """Only the forward pass inside, the first, or the second backward pass."""
    layer = make(kind)
    inputs, found = inputs_of(layer), []
    leaves = inputs.leaves(layer)
    for active in (False, True):
        passes = {part: MODES[mode]() if active and part == inside else nullcontext() for part in PASSES}
        with passes["forward"]:
            outputs = two_calls(layer, inputs.x, inputs.hx)
        with passes["first"]:
            slopes = first_order(outputs, leaves, create_graph=True)
        with passes["second"]:
            second = first_order(list(slopes.values()), leaves)
        found.append({f"first, {name}": g.detach() for name, g in slopes.items()})
        found[-1] |= {f"second, {name}": g for name, g in second.items()}
    assert_equal_to_1e10(*found)


PASSES = ["forward", "first", "second"]


@pytest.mark.parametrize("mode", MODES)
@every_kind
def test_all_inside(kind, mode, separately):
    separately(check_all, kind, mode)


@pytest.mark.parametrize("inside", PASSES)
@kinds("LSTM", "GRU", "PeepholeLSTM", "own_compiled")
def test_a_part_inside(kind, inside, separately):
    separately(check_part, kind, "dispatch", inside)


# ---- tracing by operations ------------------------------------------------------------------------------------------


def check_functionalized(kind):
    layer = make(kind)
    x = torch.randn(T, B, I, dtype=DOUBLE)
    got = torch.func.functionalize(lambda x: tree_leaves(layer(x)))(x)
    assert_equal_to_1e10(*({str(k): t.detach() for k, t in enumerate(of)} for of in (got, tree_leaves(layer(x)))))


def check_graph(kind, tracing_mode):
    """make_fx of a loss and its gradient: the graph gives the same on other numbers of the same sizes."""
    layer = make(kind)

    def slope(x):
        return torch.func.grad(lambda x: loss_of(layer(x)))(x)

    graph = make_fx(slope, tracing_mode=tracing_mode, _allow_non_fake_inputs=True)(torch.randn(T, B, I, dtype=DOUBLE))
    x = torch.randn(T, B, I, dtype=DOUBLE)
    assert_equal_to_1e10({"slope": graph(x)}, {"slope": slope(x).detach()})


@every_kind
def test_functionalized(kind, separately):
    separately(check_functionalized, kind)


@pytest.mark.parametrize("tracing_mode", ["real", "fake"])
@every_kind
def test_graphs_of_gradients(kind, tracing_mode, separately):
    separately(check_graph, kind, tracing_mode)


# ---- fake tensors ---------------------------------------------------------------------------------------------------


def check_fake(kind, grad):
    """Shapes without numbers, of the outputs and of the gradients."""
    real, x = make(kind), torch.randn(T, B, I, dtype=DOUBLE)
    expected = [tuple(t.shape) for t in tree_leaves(real(x))]
    with FakeTensorMode() as mode:
        fakes = {name: mode.from_tensor(weight) for name, weight in real.named_parameters()}
        with torch.set_grad_enabled(grad):
            outputs = tree_leaves(torch.func.functional_call(real, fakes, (mode.from_tensor(x),)))
            assert [tuple(t.shape) for t in outputs] == expected
            assert all(isinstance(t, torch._subclasses.FakeTensor) for t in outputs)
            if grad:
                slopes = torch.autograd.grad(loss_of(outputs), list(fakes.values()))
                assert [slope.shape for slope in slopes] == [weight.shape for weight in fakes.values()]


@pytest.mark.parametrize("grad", [False, True])
@every_kind
def test_fake_tensors(kind, grad, separately):
    separately(check_fake, kind, grad)


# ---- a whole model, distributed -------------------------------------------------------------------------------------


def check_distributed(kind):
    """A layer all of whose parameters are DTensors of a group of one process: its numbers, or an error of torch's."""
    from torch.distributed.tensor import Replicate, distribute_module, distribute_tensor, init_device_mesh

    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", rank=0, world_size=1, store=torch.distributed.HashStore())
    mesh, layer = init_device_mesh("cpu", (1,)), make(kind)
    x = torch.randn(T, B, I, dtype=DOUBLE)
    expected = layer(x)[0].detach()
    distribute_module(layer, mesh)
    for given in (x, distribute_tensor(x, mesh, [Replicate()])):
        try:
            y = layer(given)[0]
        except (RuntimeError, NotImplementedError, TypeError) as error:
            if not any(word in str(error).lower() for word in ("dtensor", "shard")):
                raise
        else:
            y = y.full_tensor() if hasattr(y, "full_tensor") else y
            assert_equal_to_1e10({"y": y.detach()}, {"y": expected})


@every_kind
def test_distributed(kind, separately):
    separately(check_distributed, kind)
