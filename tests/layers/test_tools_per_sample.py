"""Per-sample gradients by torch's ExpandedWeights: those of torch.nn's layers, and of each row alone."""

from __future__ import annotations

import pytest
import torch
from custom_cells import MGU
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.nn.utils.rnn import pack_padded_sequence
from twins import KINDS, Size, make_twins, states_of

import carrousel

T, B, I, H = 5, 3, 4, 6
SIZE = Size(T, B, I, H)
OPTIONS = {
    "plain": {},
    "batch_first": {"batch_first": True},
    "stack": {"num_layers": 2, "bidirectional": True},
    "no_bias": {"bias": False},
}
OTHERS = {
    "PeepholeLSTM": carrousel.PeepholeLSTM,
    "SLSTM": carrousel.SLSTM,
    "MLSTM": carrousel.MLSTM,
    "MinGRU": carrousel.MinGRU,
    "own": MGU,
    "learn_initial": lambda *sizes: carrousel.GRU(*sizes, learn_initial=True),
    "drop_connect": lambda *sizes: carrousel.LSTM(*sizes, drop_connect=0.2),
}


def inputs_of(layer, with_hx):
    """x, and with it hx or not, in the layer's dtype."""
    dtype = layer.weight_ih_l0.dtype
    x = torch.randn((B, T, I) if layer.batch_first else (T, B, I), dtype=dtype)
    places = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [layer.proj_size or H, H][: states_of(layer)]
    hx = tuple(torch.randn(places, B, width, dtype=dtype) for width in widths)
    return (x, hx if len(hx) > 1 else hx[0]) if with_hx else (x,)


def samples_of(layer, *inputs, **options):
    """Each parameter's gradients [B, ...], one for each row."""
    call = call_for_per_sample_grads(layer, batch_size=B, batch_first=layer.batch_first, **options)
    torch.backends.mkldnn.enabled = isinstance(layer, carrousel.Recurrent)  # torch's LSTM in float32 raises with it
    try:
        call(*inputs)[0].sin().sum().backward()
    finally:
        torch.backends.mkldnn.enabled = True
    return {name: p.grad_sample for name, p in layer.named_parameters() if p.requires_grad}


def assert_equal(ours, theirs):
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        torch.testing.assert_close(ours[name], expected, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.grid(kind=list(KINDS), options=OPTIONS, dtype=[torch.float32, torch.float64], with_hx=[False, True])
def test_they_are_those_of_torchs_layer(kind, options, dtype, with_hx):
    ours, theirs = make_twins(kind, SIZE, dtype=dtype, **options)
    inputs = inputs_of(ours, with_hx)
    assert_equal(samples_of(ours, *inputs), samples_of(theirs, *inputs))


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_each_row_alone(kind):
    layer, _ = make_twins(kind, SIZE, dtype=torch.float64, batch_first=True)
    (x,) = inputs_of(layer, False)
    found = samples_of(layer, x)
    for row in range(B):
        layer.zero_grad()
        layer(x[row : row + 1])[0].sin().sum().backward()
        assert_equal({n: s[row] for n, s in found.items()}, {n: p.grad for n, p in layer.named_parameters()})


def test_packed_sequences():
    ours, theirs = make_twins("GRU", SIZE, dtype=torch.float64)
    x, h = torch.randn(T, B, I, dtype=torch.float64), torch.randn(1, B, H, dtype=torch.float64)
    found = []
    for layer in (ours, theirs):
        packed = pack_padded_sequence(x, torch.tensor([5, 3, 1]))
        call_for_per_sample_grads(layer, batch_size=B)(packed, h)[1].sin().sum().backward()
        found.append({name: p.grad_sample for name, p in layer.named_parameters()})
    assert_equal(*found)


@pytest.mark.parametrize("frozen", ["weight_ih_l0", "weight_hh_l0", "bias_hh_l1"])
def test_parameters_that_are_frozen_have_none(frozen):
    layers = make_twins("LSTM", SIZE, num_layers=2, dtype=torch.float64)
    x = inputs_of(layers[0], False)
    for layer in layers:
        getattr(layer, frozen).requires_grad_(False)
    found = [samples_of(layer, *x, loss_reduction="mean") for layer in layers]
    assert frozen not in found[0]
    assert_equal(*found)


def test_in_a_model_and_after_it():
    """What was ordinary before is so again."""
    layer, x = carrousel.LSTM(I, H, batch_first=True), torch.randn(B, T, I)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = layer, nn.Linear(H, 2)

        def forward(self, x):
            return self.out(self.layer(x)[0][:, -1])

    model = Model()
    expected = model(x)
    torch.testing.assert_close(call_for_per_sample_grads(model)(x), expected)
    assert torch.backends.mkldnn.enabled
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("name", OTHERS)
def test_what_torch_has_no_function_for_is_refused_with_a_way_to_go(name):
    layer = OTHERS[name](I, H)
    says = rf"^carrousel\.{type(layer).__name__}: ExpandedWeights give per-sample gradients.*torch\.func"
    with pytest.raises(RuntimeError, match=says):
        call_for_per_sample_grads(layer, batch_size=B)(torch.randn(T, B, I))


def test_what_a_call_asks_for_besides_is_refused():
    layer, x = carrousel.GRU(I, H), torch.randn(T, B, I)
    for options in ({"lengths": [5, 3, 1]}, {"resets": torch.zeros(T, B, dtype=bool)}, {"return_gates": True}):
        with pytest.raises(RuntimeError, match=r"^carrousel\.GRU: ExpandedWeights give"):
            call_for_per_sample_grads(layer, batch_size=B)(x, **options)


@pytest.mark.parametrize("name", ["PeepholeLSTM", "MLSTM", "own", "learn_initial"])
def test_the_way_to_go(name):
    layer = OTHERS[name](I, H).double()
    x = torch.randn(B, T, I, dtype=torch.float64)
    parameters = {key: p.detach() for key, p in layer.named_parameters()}

    def loss(parameters, row):
        return functional_call(layer, parameters, (row,))[0].sin().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(parameters, x)
    for row in range(B):
        layer.zero_grad()
        layer(x[row])[0].sin().sum().backward()
        expected = {key: torch.zeros_like(p) if p.grad is None else p.grad for key, p in layer.named_parameters()}
        assert_equal({key: samples[row] for key, samples in found.items()}, expected)
