"""MLSTM with memory="low": what it keeps, every kind of gradient, and what is changed too early."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradgradcheck
from torch.autograd.graph import saved_tensors_hooks
from twins import assert_equal_to_1e10

import carrousel

pytestmark = pytest.mark.slow

DOUBLE = torch.float64


def pair(**options):
    """A layer that keeps all, and one that keeps little, with the same weights."""
    full, low = (
        carrousel.MLSTM(3, 8, **{"num_heads": 2, "chunk_size": 4, "dtype": DOUBLE} | options, memory=memory)
        for memory in ("full", "low")
    )
    for parameter in full.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    low.load_state_dict(full.state_dict())
    return full, low


def kept(layer, x, **options):
    """The bytes that a call keeps for its backward pass, every memory once."""
    found = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = layer(x, **options)
    del result
    return sum(found.values())


@pytest.mark.parametrize("options", [{}, {"lengths": [200, 150, 180]}], ids=["dense", "lengths"])
def test_it_keeps_little(options):
    full, low = pair(chunk_size=16)
    x = torch.randn(200, 3, 3, dtype=DOUBLE)
    assert kept(low, x, **options) < 0.2 * kept(full, x, **options)


def test_gradients_of_every_kind():
    full, low = pair(bidirectional=True)
    x, resets = torch.randn(9, 2, 3, dtype=DOUBLE), torch.rand(9, 2) < 0.3
    options = {"resets": resets, "lengths": [9, 6]}
    names, leaves = zip(*low.named_parameters())

    def outputs(layer, weights, x):
        return torch.func.functional_call(layer, weights, (x,), options)[0]

    assert gradgradcheck(
        lambda x, *tensors: outputs(low, dict(zip(names, tensors, strict=True)), x),
        (x.clone().requires_grad_(), *leaves),
        fast_mode=True,
    )
    weights = {name: leaf.detach() for name, leaf in zip(names, leaves)}
    of_each = (
        torch.func.grad(lambda weights, layer=layer: outputs(layer, weights, x).square().sum())(weights)
        for layer in (low, full)
    )
    assert_equal_to_1e10(*of_each)


def test_compiles():
    full, low = pair()
    x = torch.randn(6, 2, 3, dtype=DOUBLE)
    whole = torch.compile(low, fullgraph=True, backend="eager")
    assert_equal_to_1e10({"y": whole(x)[0].detach()}, {"y": full(x)[0].detach()})


@pytest.mark.parametrize("what", ["x", "a weight", "a state"])
def test_what_is_changed_before_the_backward_pass_is_noticed(what):
    _, low = pair()
    x = torch.randn(9, 2, 3, dtype=DOUBLE)
    hx = tuple(torch.randn(1, 2, *rest, dtype=DOUBLE) for _, *rest in low._state_sizes)
    y, _ = low(x, hx)
    with torch.no_grad():
        {"x": x, "a weight": low.weight_ih_l0, "a state": hx[0]}[what].add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


def test_resets_changed_before_the_backward_pass_do_not_count():
    full, low = pair()
    x, resets = torch.randn(9, 2, 3, dtype=DOUBLE), torch.rand(9, 2) < 0.5
    grads = []
    for layer in (full, low):
        flags = resets.clone()
        y, _ = layer(x, resets=flags)
        flags.logical_not_()
        y.sum().backward()
        grads.append({name: p.grad for name, p in layer.named_parameters()})
    assert_equal_to_1e10(*grads)
