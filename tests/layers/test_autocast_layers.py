"""Autocast to bfloat16, in layers: dtypes, the error, training."""

from __future__ import annotations

import copy

import pytest
import torch
from sequences import (
    F32,
    F64,
    assert_same_bits,
)
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from twins import KINDS, Size, largest, make_layer, make_twins, random, root_mean_square

import carrousel
from carrousel.cells import ALL
from carrousel.layers import torch_backend
from carrousel.layers.autocast import NARROWEST

EPS = torch.finfo(torch.bfloat16).eps  # 2^-7; rounding is off by half of it at most
SIZE = Size(T=20, B=6, I=28, H=65)
# What docs/autocast.md states of a layer with torch's initial weights: how far a number may be from float64's, in parts
# of EPS times the largest number of its tensor.
STATED = 1.0


def autocast(dtype=torch.bfloat16, enabled=True):
    return torch.autocast("cpu", dtype, enabled)


def dtypes(layer, x, hx=None):
    y, states = layer(x, *(() if hx is None else (hx,)))
    return [t.dtype for t in (y.data if isinstance(y, PackedSequence) else y, *as_tuple(states))]


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.grid(kind=KINDS, form=["dense", "packed"], of_x=[F32, torch.bfloat16], of_hx=[None, F32, torch.bfloat16])
def test_results_have_torchs_dtypes(kind, form, of_x, of_hx):
    kind = next(name for name, value in KINDS.items() if value == kind)
    ours, theirs = make_twins(kind, Size(T=4, B=2, I=3, H=40), num_layers=2, bidirectional=True)
    x = (
        torch.randn(4, 2, 3).to(of_x)
        if form == "dense"
        else pack_sequence([torch.randn(n, 3).to(of_x) for n in (4, 2)])
    )
    hx = None
    if of_hx:
        states = [torch.zeros(4, 2, width, dtype=of_hx) for width in (theirs.proj_size or 40, 40)]
        hx = tuple(states) if "LSTM" in kind else states[0]
    with autocast():
        try:
            expected = dtypes(theirs, x, hx)
        except (RuntimeError, ValueError):  # torch mixes not every input with every state
            expected = None
        found = dtypes(ours, x, hx)
    assert found == (expected or found)


@pytest.mark.parametrize("name", ["PeepholeLSTM", "LSTM1997"])
@pytest.mark.parametrize("dtype", [F32, torch.bfloat16])
def test_cells_that_torch_has_not_give_bfloat16(name, dtype):
    layer, h = getattr(carrousel, name)(3, 40), torch.ones(1, 2, 40)
    with autocast():
        assert dtypes(layer, torch.randn(5, 2, 3).to(dtype), (h.to(dtype), h)) == [torch.bfloat16] * 3


@pytest.mark.parametrize("H", [NARROWEST - 1, NARROWEST])
def test_narrow_layers_are_computed_in_float32(H):
    layer, x = carrousel.LSTM(3, H), torch.randn(5, 2, 3)
    with autocast():
        y, (_, c) = layer(x)
    exact, (_, exact_c) = layer(x)
    assert y.dtype == c.dtype == torch.bfloat16
    same = torch.equal(y, exact.bfloat16()) and torch.equal(c, exact_c.bfloat16())
    assert same == (H < NARROWEST)


def test_states_and_gates_that_are_asked_for_are_float32():
    layer = carrousel.LSTM(3, 40)
    with autocast():
        y, _, inside = layer(torch.randn(5, 2, 3), return_states=True, return_gates=True)
    assert y.dtype == torch.bfloat16
    assert {t.dtype for of_name in inside for t in of_name} == {F32}
    assert torch.equal(inside.h[0].bfloat16(), y)


def test_what_is_not_bfloat16_stays_as_it_was():
    x = torch.randn(5, 2, 3)
    layer = carrousel.PeepholeLSTM(3, 40)
    exact = layer(x)[0]
    with autocast():
        with autocast(enabled=False):
            assert torch.equal(layer(x)[0], exact)
        assert torch.equal(copy.deepcopy(layer).double()(x.double())[0], copy.deepcopy(layer).double()(x.double())[0])
        assert copy.deepcopy(layer).double()(x.double())[0].dtype == F64
    with autocast(torch.float16):
        assert torch.equal(layer(x)[0], exact)


def test_streams_stay_in_float32():
    layer, x = carrousel.LSTM(3, 40).requires_grad_(False), torch.randn(5, 2, 3)
    expected = layer.block(x, layer.start(2))
    with autocast():
        assert torch.equal(layer.block(x, layer.start(2)), expected)


# ---- layers: error


def outputs_and_gradients(layer, x):
    """y, the final states, and the gradients of a scalar that weighs y with fixed random numbers, all in float64."""
    layer.zero_grad()
    x = x.clone().requires_grad_()
    y, states = layer(x)
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y.dtype)
    (y * weights).sum().backward()
    outputs = {"y": y} | {f"state {k}": s for k, s in enumerate(as_tuple(states))}
    gradients = {"x": x.grad} | {name: p.grad for name, p in layer.named_parameters()}
    as_double = [{name: t.detach().double() for name, t in found.items()} for found in (outputs, gradients)]
    return dict(zip(("output", "gradient"), as_double))


def errors(layer, exact_layer, x, measure):
    """Of each tensor, in parts of EPS: the largest error to the largest number, or their root mean squares."""
    with autocast():
        found = outputs_and_gradients(layer, x.float())
    return {
        (kind, name): measure(found[kind][name] - number) / (EPS * measure(number))
        for kind, of_kind in outputs_and_gradients(exact_layer, x).items()
        for name, number in of_kind.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_is_as_stated_and_no_larger_than_torchs(kind):
    """But for relu's gradients: a unit that rounding moves to the other side of its kink has all or nothing of them."""
    ours, theirs = make_twins(kind, SIZE, num_layers=2)
    exact, x = copy.deepcopy(theirs).double(), random((SIZE.T, SIZE.B, SIZE.I))
    for (of, name), error in errors(ours, exact, x, largest).items():
        assert error <= STATED or (kind == "RNN_relu" and of == "gradient"), name
    of_torchs = errors(theirs, exact, x, root_mean_square)
    for name, error in errors(ours, exact, x, root_mean_square).items():
        assert error <= 1.1 * of_torchs[name], name


@pytest.mark.parametrize("cell", ["peephole", "lstm1997"])
def test_the_error_of_cells_that_torch_has_not_is_as_stated(cell):
    layer, x = carrousel.Recurrent(ALL[cell], SIZE.I, SIZE.H, 2), random((SIZE.T, SIZE.B, SIZE.I))
    for name, error in errors(layer, copy.deepcopy(layer).double(), x, largest).items():
        assert error <= STATED, name


def test_c_is_carried_in_float32():
    """A forget gate that is open and a small input: 1 + 2^-9 is no bfloat16, and c would stay at one."""
    layer = carrousel.LSTM(1, NARROWEST)
    with torch.no_grad():
        for p in layer.parameters():
            p.zero_()
        i, f, g, _ = layer.bias_ih_l0.view(4, NARROWEST)
        f.fill_(100.0), i.fill_(100.0), g.fill_(2**-9)
    with autocast(), torch.no_grad():
        _, (_, c) = layer(torch.zeros(512, 1, 1), (torch.zeros(1, 1, NARROWEST), torch.ones(1, 1, NARROWEST)))
    torch.testing.assert_close(c, torch.full_like(c, 2.0), rtol=EPS, atol=0)


# ---- training


def loss_after(layer, steps, with_autocast):
    torch.manual_seed(0)
    head = nn.Linear(40, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    x = torch.randn(12, 16, 3)
    target = x.sum(2).cumsum(0)[..., None].tanh()
    for _ in range(steps):
        optimizer.zero_grad()
        with autocast(enabled=with_autocast):
            loss = (head(layer(x)[0]) - target).square().mean()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("name", ["LSTM", "GRU", "PeepholeLSTM"])
def test_training_goes_as_in_float32(name):
    layer = getattr(carrousel, name)(3, 40)
    start, plain = loss_after(copy.deepcopy(layer), 1, False), loss_after(copy.deepcopy(layer), 40, False)
    low = loss_after(layer, 40, True)
    assert plain < start / 4
    assert low < start / 4
    assert {p.grad.dtype for p in layer.parameters()} == {F32}


def test_gradients_of_gradients_are_those_of_the_rounded_products():
    """By `scan`, which rounds as the kernel does: the first gradients are the kernel's own."""
    layer, x = carrousel.LSTM(3, 40), torch.randn(5, 2, 3)

    def first(create_graph):
        given = x.clone().requires_grad_()
        with autocast():
            y, _ = layer(given)
        return given, torch.autograd.grad(y.square().sum(), given, create_graph=create_graph)[0]

    (_, by_kernel), (given, by_scan) = first(False), first(True)
    assert largest(by_kernel - by_scan) <= 0.1 * EPS * largest(by_kernel)
    (second,) = torch.autograd.grad(by_scan.square().sum(), given)
    assert second.isfinite().all()
    assert second.any()


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_compiled_layer_gives_the_same(name):
    layer, x = getattr(carrousel, name)(3, 40), torch.randn(5, 2, 3)

    def results(run):
        layer.zero_grad()
        with autocast():
            y, _ = run(x)
        y.float().square().sum().backward()
        return {"y": y.detach()} | {name: p.grad.clone() for name, p in layer.named_parameters()}

    expected = results(layer)
    torch._dynamo.reset()
    found = results(torch.compile(layer, backend="aot_eager", fullgraph=True))
    assert_same_bits(found, expected)


def test_without_kernels_torch_computes_its_own_layers(monkeypatch):
    layer, x = carrousel.LSTM(3, 40), torch.randn(5, 2, 3)
    monkeypatch.setattr(torch_backend, "has_kernel", lambda cell, x: False)
    theirs = make_layer(nn, "LSTM", Size(5, 2, 3, 40))
    theirs.load_state_dict(layer.state_dict())
    with autocast():
        assert torch.equal(layer(x)[0], theirs(x)[0])


def test_a_cell_of_ones_own_rounds_too():
    def step(rows, states):
        return (torch.tanh(rows[0]),)

    own = carrousel.cell(rows="a", from_x="a", from_h="a", states="h")(step)
    layer = own(3, 40)
    twin = carrousel.RNN(3, 40)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(5, 2, 3)
    with autocast():
        y, h = layer(x)
        expected, _ = twin(x)
    assert y.dtype == h.dtype == torch.bfloat16
    assert largest(y.float() - expected.float()) <= EPS
