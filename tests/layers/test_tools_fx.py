"""torch.fx.symbolic_trace: a layer is one node of the graph, as torch.nn's are, and the graph computes the same."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from custom_cells import MGU
from torch import nn
from torch.fx import Tracer, symbolic_trace
from torch.fx.proxy import TraceError
from torch.nn.utils.rnn import pack_padded_sequence
from twins import KINDS, Size, assert_equal_to_1e10, make_twins

import carrousel

OURS = [name for name in carrousel.layers.__all__ if name not in ("State", "Recurrent")]
LAYERS = {name: getattr(carrousel, name) for name in OURS} | {"own": MGU}
every_layer = pytest.mark.parametrize("name", LAYERS)


class Model(nn.Module):
    """An encoder and a decoder, which begins with the encoder's states, in a list."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.layers = nn.ModuleList([encoder, decoder])
        self.out = nn.Linear(decoder.hidden_size, 2)

    def forward(self, x, z):
        _, hx = self.layers[0](x)
        y, _ = self.layers[1](z, hx)
        return self.out(y)


class Caller(nn.Module):
    """A model around a layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def nodes_of(traced):
    return [(node.op, node.target) for node in traced.graph.nodes if node.op.startswith("call_m")]


@every_layer
def test_layers_are_nodes_and_sizes_stay_open(name):
    model = Model(LAYERS[name](3, 4), LAYERS[name](3, 4))
    traced = symbolic_trace(model)
    assert nodes_of(traced) == [("call_module", "layers.0"), ("call_module", "layers.1"), ("call_module", "out")]
    for T, B in ((5, 2), (1, 1), (7, 3)):
        x, z = torch.randn(T, B, 3), torch.randn(T + 1, B, 3)
        assert torch.equal(traced(x, z), model(x, z))


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_and_the_numbers_are_torchs(kind):
    graphs, results = [], []
    for layer in make_twins(kind, Size(5, 2, 3, 4), num_layers=2, dtype=torch.float64):
        torch.manual_seed(1)
        traced = symbolic_trace(nn.Sequential(Caller(layer), nn.Tanh()))
        graphs.append([(n.op, str(n.target), str(n.args), str(n.kwargs)) for n in traced.graph.nodes])
        x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
        y = traced(x)
        y.sin().sum().backward()
        results.append({"y": y.detach(), "dx": x.grad} | {n: p.grad for n, p in layer.named_parameters()})
    assert graphs[0] == graphs[1]
    assert_equal_to_1e10(*results)


@every_layer
def test_what_else_a_call_is_given_is_recorded(name):
    layer, x = LAYERS[name](3, 4, batch_first=True), torch.randn(2, 5, 3)

    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, lengths):
            return self.layer(x, lengths=lengths, padding_value=2.0)[0]

    traced = symbolic_trace(Padded())
    (call,) = [node for node in traced.graph.nodes if node.op == "call_module"]
    assert set(call.kwargs) == {"lengths", "padding_value"}
    for lengths in (torch.tensor([5, 3]), torch.tensor([0, 4])):
        assert torch.equal(traced(x, lengths), layer(x, lengths=lengths, padding_value=2.0)[0])


def test_states_that_are_recorded_with_an_input_that_is_not():
    """A decoder's first input is often a constant of the model."""

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = carrousel.LSTM(3, 4)

        def forward(self, h, c):
            return self.layer(torch.ones(1, 2, 3), (h, c))[0]

    model, (h, c) = Decoder(), torch.randn(2, 1, 2, 4)
    assert torch.equal(symbolic_trace(model)(h, c), model(h, c))


def test_packed_sequences():
    class Packing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = carrousel.GRU(3, 4)

        def forward(self, x):
            return self.layer(x)[1]

    model = Packing()
    packed = pack_padded_sequence(torch.randn(5, 2, 3), torch.tensor([5, 3]))
    assert torch.equal(symbolic_trace(model)(packed), model(packed))


@pytest.mark.parametrize("of_all", [False, True])
def test_hooks_run_once(of_all):
    model, x = Caller(carrousel.GRU(3, 4)), torch.randn(5, 2, 3)

    def halved(module, args):
        return tuple(argument / 2 for argument in args) if isinstance(module, carrousel.GRU) else None

    def doubled(module, args, output):
        return (output[0] * 2, output[1]) if isinstance(module, carrousel.GRU) else None

    if of_all:
        before, after = (
            nn.modules.module.register_module_forward_pre_hook,
            nn.modules.module.register_module_forward_hook,
        )
    else:
        before, after = model.layer.register_forward_pre_hook, model.layer.register_forward_hook
    handles = before(halved), after(doubled)
    try:
        expected, traced = model(x), symbolic_trace(model)
        torch.testing.assert_close(traced(x), expected)
    finally:
        for handle in handles:
            handle.remove()


def test_a_traced_model_is_copied_pickled_and_traced_again():
    traced = symbolic_trace(Model(carrousel.LSTM(3, 4), carrousel.LSTM(3, 4)))
    x, z = torch.randn(5, 2, 3), torch.randn(4, 2, 3)
    for way in (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), symbolic_trace):
        assert torch.equal(way(traced)(x, z), traced(x, z))


def test_a_layer_alone_is_refused_with_the_way_to_go():
    layer = carrousel.GRU(3, 4)
    with pytest.raises(TraceError, match=r"GRU is itself the traced module.*torch\.nn\.Sequential\(layer\)"):
        symbolic_trace(layer)
    traced = symbolic_trace(nn.Sequential(layer))
    x = torch.randn(5, 2, 3)
    assert torch.equal(traced(x)[0], layer(x)[0])


def test_a_forward_of_ones_own_is_traced_as_a_leaf_or_not_at_all():
    """It would be recorded, and run once more when the node calls the module."""

    class Twice(carrousel.GRU):
        def forward(self, x):
            return super().forward(x * 2)

    class Leaves(Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return isinstance(m, carrousel.Recurrent) or super().is_leaf_module(m, module_qualified_name)

    model, x = Caller(Twice(3, 4)), torch.randn(5, 2, 3)
    with pytest.raises(TraceError, match=r"layer \(Twice\) has a forward of its own.*is_leaf_module"):
        symbolic_trace(model)
    traced = torch.fx.GraphModule(model, Leaves().trace(model))
    assert torch.equal(traced(x), model(x))
