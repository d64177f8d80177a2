"""What a stream can not pass on (tangents, batches of vmap, fake tensors, subclasses) is refused in our words."""

from __future__ import annotations

import re

import pytest
import torch
from composed_layers import I, kinds, make
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.func import grad, jvp, vmap
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._pytree import tree_map

T, B = 3, 2
every_kind = kinds("LSTM", "GRU", "RNN_tanh", "PeepholeLSTM", "SLSTM_heads", "MLSTM", "own", "own_compiled")
METHODS = ["step", "block", "started step", "start"]
every_method = pytest.mark.parametrize("method", METHODS)


def made(kind):
    layer = make(kind).eval().requires_grad_(False)
    x = torch.randn(T, B, I, dtype=torch.float64)
    return layer, (x, tree_map(torch.zeros_like, layer(x)[1]))


def stream(layer, method, data, wrap):
    """A result of a stream into which `wrap` of a tensor goes: the input, or the states that it starts from."""
    x, hx = data
    if method == "start":
        state = layer.start(hx=tree_map(wrap, hx))
        return layer.step(x[0], state)
    state = layer.start(hx=hx)
    if method == "started step":
        layer.step(x[0], state)
    return layer.block(wrap(x), state) if method == "block" else layer.step(wrap(x[0]), state)


def whole(layer, method, data, wrap):
    """The same by the layer itself."""
    x, hx = data
    if method == "start":
        return layer(x[:1], tree_map(wrap, hx))[0][0]
    if method == "started step":
        hx = layer(x[:1], hx)[1]
    return layer(wrap(x), hx)[0] if method == "block" else layer(wrap(x[:1]), hx)[0][0]


def refused_or(layer, method, call):
    """What `call` returns, or None where it is refused by an error that names the method and what to call instead."""
    try:
        return call()
    except (RuntimeError, TypeError, ValueError) as refused:
        text = str(refused)
    called = method.removeprefix("started ")
    assert re.search(rf"{type(layer).__name__}\.(start|{called})\b", text), text
    assert re.search(r"layer\(|the layer itself|forward", text), text
    return None


def compare(layer, method, data, transform):
    """`transform` of a stream is that of the layer itself, or refused."""
    got, expected = (
        lambda: transform(lambda wrap: stream(layer, method, data, wrap)),
        lambda: transform(lambda wrap: whole(layer, method, data, wrap)),
    )
    found = refused_or(layer, method, got)
    if found is not None:
        torch.testing.assert_close(found, expected(), rtol=0, atol=1e-10)


# ---- tangents and gradients -----------------------------------------------------------------------------------------


def tangent(run):
    """By dual tensors; zeros where none comes out."""
    with forward_ad.dual_level():
        y = run(lambda t: forward_ad.make_dual(t, torch.ones_like(t)))
        found = forward_ad.unpack_dual(y).tangent
        return torch.zeros_like(y) if found is None else found.clone()


@every_method
@every_kind
def test_dual_tensors(kind, method):
    layer, data = made(kind)
    compare(layer, method, data, tangent)


@every_kind
def test_dual_weights(kind):
    layer, data = made(kind)
    weight = layer.weight_ih_l0.detach()
    del layer._parameters["weight_ih_l0"]

    def of_a_weight(run):
        with forward_ad.dual_level():
            layer.weight_ih_l0 = forward_ad.make_dual(weight, torch.ones_like(weight))
            return forward_ad.unpack_dual(run(lambda t: t)).tangent

    compare(layer, "step", data, of_a_weight)


@every_method
@every_kind
def test_jvp(kind, method):
    layer, data = made(kind)
    one = torch.ones((), dtype=torch.float64)
    compare(layer, method, data, lambda run: jvp(lambda seed: run(lambda t: t + seed), (one,), (one,))[1])


@every_method
@every_kind
def test_grad(kind, method):
    """The words that a stream has for gradients will do."""
    layer, data = made(kind)
    with pytest.raises(RuntimeError, match=r"streams compute none|streams have no transforms"):
        grad(lambda seed: stream(layer, method, data, lambda t: t + seed).sum())(torch.ones((), dtype=torch.float64))


# ---- vmap -----------------------------------------------------------------------------------------------------------


@every_method
@every_kind
def test_vmap(kind, method):
    layer, data = made(kind)
    seeds = torch.arange(3, dtype=torch.float64)
    compare(layer, method, data, lambda run: vmap(lambda seed: run(lambda t: t + seed))(seeds))


@kinds("LSTM", "GRU", "PeepholeLSTM", "SLSTM_heads", "MLSTM", "own_compiled")
@pytest.mark.parametrize("place", ["lengths", "offsets"])
def test_vmap_of_lengths(kind, place):
    """Of a layer's own call: lengths decide about sizes, so they can not be a batch; or it is right."""
    layer, data = made(kind)
    batch = torch.tensor([[3, 1], [2, 2]]) if place == "lengths" else torch.tensor([[0, 1, 6], [0, 2, 6]])
    x = data[0]
    given = x if place == "lengths" else x.flatten(0, 1)

    def run(lengths):
        return layer(given, **{place: lengths})[0]

    try:
        got = vmap(run)(batch)
    except (RuntimeError, TypeError, ValueError) as refused:
        text = str(refused)
    else:
        return torch.testing.assert_close(got, torch.stack([run(one) for one in batch]), rtol=0, atol=1e-10)
    assert place in text
    assert "vmap" in text


# ---- tensors of other classes ---------------------------------------------------------------------------------------


class Named(torch.Tensor):
    """A subclass that adds nothing."""


def wrapped(t):
    return TwoTensor(t, t.clone())


def fake(t):
    return FakeTensorMode().from_tensor(t)


def check_refused_or_right(kind, method, wrap):
    layer, data = made(kind)
    y = refused_or(layer, method, lambda: stream(layer, method, data, wrap))
    if y is not None:
        y = y.a if isinstance(y, TwoTensor) else y.as_subclass(torch.Tensor)
        torch.testing.assert_close(y, whole(layer, method, data, lambda t: t), rtol=0, atol=1e-10)


def named(t):
    return t.as_subclass(Named)


@pytest.mark.parametrize("wrap", [named, wrapped])
@every_method
@every_kind
def test_subclasses(kind, method, wrap, separately):
    separately(check_refused_or_right, kind, method, wrap)


def check_fake(kind, method):
    layer, data = made(kind)
    assert refused_or(layer, method, lambda: stream(layer, method, data, fake)) is None


@every_method
@every_kind
def test_fake_tensors(kind, method, separately):
    separately(check_fake, kind, method)
