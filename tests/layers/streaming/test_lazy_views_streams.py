"""Streams fed with tensors that are not plain memory, and results written into such: as with plain ones."""

from __future__ import annotations

import pytest
import torch
from composed_layers import I, kinds, make
from lazy_views import VIEWS, every_view, plain
from torch.utils._pytree import tree_leaves, tree_map
from twins import assert_equal_to_1e10

T, B = 4, 2
every_kind = kinds("LSTM", "LSTM_projected", "GRU", "RNN_tanh", "PeepholeLSTM", "SLSTM_heads", "MLSTM", "own_compiled")


def made(kind):
    layer = make(kind, num_layers=2).eval().requires_grad_(False)
    x = torch.randn(T, B, I, dtype=torch.float64)
    return layer, x, tree_map(lambda state: torch.rand_like(state) + 0.1, layer(x)[1])


def stream(layer, x, hx):
    """Half of the steps one by one, the others as a block, and the state after them."""
    state = layer.start(hx=hx)
    steps = [layer.step(x[t], state) for t in range(2)]
    return torch.stack(steps), layer.block(x[2:], state), *tree_leaves(state.hx())


def assert_same(got, expected):
    assert_equal_to_1e10(*(dict(zip(map(str, range(9)), outputs)) for outputs in (got, expected)))


def check_inputs(kind, view):
    layer, x, hx = made(kind)
    seen = VIEWS[view](x)
    assert_same(stream(layer, seen, hx), stream(layer, plain(seen), hx))


def check_states(kind, view):
    layer, x, hx = made(kind)
    seen = tree_map(VIEWS[view], hx)
    assert_same(stream(layer, x, seen), stream(layer, x, tree_map(plain, seen)))


def check_weights(kind, view):
    """Each parameter in turn, exchanged between two steps of a stream too."""
    layer, x, hx = made(kind)
    for name, weight in list(layer.named_parameters()):
        state, other = layer.start(hx=hx), layer.start(hx=hx)
        seen = VIEWS[view](weight.detach())
        found = []
        for place, exchanged in ((state, seen), (other, plain(seen))):
            setattr(layer, name, weight)
            first = layer.step(x[0], place)
            setattr(layer, name, torch.nn.Parameter(exchanged, requires_grad=False))
            found.append((first, layer.step(x[1], place), *stream(layer, x, hx), *tree_leaves(layer(x, hx))))
        setattr(layer, name, weight)
        assert_same(*found)


@kinds("LSTM", "GRU", "RNN_tanh", "PeepholeLSTM", "own_compiled")
def test_a_weight_is_exchanged_for_a_view_of_it(kind):
    """At the same address, and with the same number of changes, lie other weights."""
    layer, x, hx = made(kind)
    state = layer.start(hx=hx)
    layer.step(x[0], state)
    for name, weight in list(layer.named_parameters()):
        setattr(layer, name, torch.nn.Parameter(weight[:1].expand(weight.shape), requires_grad=False))
    expected = layer(x[1:2], state.hx())[0][0]
    assert_same([layer.step(x[1], state)], [expected])


@every_view
@every_kind
def test_inputs(kind, view, separately):
    separately(check_inputs, kind, view)


@every_view
@every_kind
def test_states(kind, view, separately):
    separately(check_states, kind, view)


@every_view
@every_kind
def test_weights(kind, view, separately):
    separately(check_weights, kind, view)


def check_out(kind):
    """A negated view is contiguous: it reads as what was written, or is refused."""
    layer, x, hx = made(kind)
    state, other = layer.start(hx=hx), layer.start(hx=hx)
    for t in range(T):
        expected = layer.step(x[t], other)
        out = torch._neg_view(torch.zeros_like(expected))
        try:
            layer.step(x[t], state, out=out)
        except ValueError as refused:
            if "out" not in str(refused):
                raise
            layer.step(x[t], state)
        else:
            assert_same([out.resolve_neg()], [expected])


def check_out_without_memory(kind):
    layer, x, hx = made(kind)
    state = layer.start(hx=hx)
    before = layer.step(x[0], state)
    out = torch._efficientzerotensor(before.shape, dtype=before.dtype)
    for give in (lambda: layer.step(x[1], state, out=out), lambda: layer.block(x[1:2], state, out=out[None])):
        with pytest.raises((ValueError, RuntimeError), match=r"out|ZeroTensor"):
            give()
    again = layer.start(hx=hx)
    layer.step(x[0], again)
    assert_same([layer.step(x[1], state)], [layer.step(x[1], again)])


@every_kind
def test_out_negated(kind, separately):
    separately(check_out, kind)


@every_kind
def test_out_without_memory(kind, separately):
    separately(check_out_without_memory, kind)
