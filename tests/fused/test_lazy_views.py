"""Tensors that are not plain memory, wherever one goes in: the result is that of the same numbers laid out plainly."""

from __future__ import annotations

from functools import partial

import torch
from composed_layers import I, kinds, make
from lazy_views import VIEWS, every_view, plain
from torch.func import functional_call
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_leaves, tree_structure, tree_unflatten
from twins import assert_equal_to_1e10

T, B = 3, 2


def tensors_of(layer):
    """All that goes into a call and its backward pass, by name."""
    x = torch.randn(T, B, I, dtype=layer.weight_ih_l0.dtype)
    with torch.no_grad():
        y, hx = layer(x)
    states = {f"state {k}": torch.rand_like(state) + 0.1 for k, state in enumerate(tree_leaves(hx))}
    initial = {f"initial {k}": torch.rand_like(state) + 0.1 for k, state in enumerate(tree_leaves(hx))}
    slopes = {f"slope {k}": torch.randn_like(output) for k, output in enumerate([y, *tree_leaves(hx)])}
    weights = {f"weight {name}": p.detach() for name, p in layer.named_parameters()}
    return {"x": x, **states, **initial, **slopes, **weights}, tree_structure(hx)


def outcome(layer, tensors, structure):
    """Outputs and gradients of a call with resets; each tensor is used as it is laid out."""
    named = partial(
        by_prefix, {name: t.detach().requires_grad_() for name, t in tensors.items() if "slope" not in name}
    )
    hx, initial = (tree_unflatten(list(named(name).values()), structure) for name in ("state ", "initial "))
    resets = torch.tensor([[False], [True], [False]]).expand(T, B)
    x, weights = named("x")[""], named("weight ")
    outputs = tree_leaves(functional_call(layer, weights, (x, hx), {"resets": resets, "initial": initial}))
    leaves = {"x": x, **named("state "), **named("initial "), **weights}
    slopes = list(by_prefix(tensors, "slope ").values())
    found = torch.autograd.grad(outputs, list(leaves.values()), slopes, materialize_grads=True)
    return {str(k): output.detach() for k, output in enumerate(outputs)} | dict(zip(leaves, found))


def by_prefix(tensors, prefix):
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def check_all_places(kind, view, dtype):
    layer = make(kind).to(dtype)
    tensors, structure = tensors_of(layer)
    for name, tensor in tensors.items():
        seen = VIEWS[view](tensor)
        expected = outcome(layer, tensors | {name: plain(seen)}, structure)
        assert_close(outcome(layer, tensors | {name: seen}, structure), expected, name)


def assert_close(got, expected, place):
    try:
        if next(iter(got.values())).dtype == torch.float64:
            assert_equal_to_1e10(got, expected)
        else:
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    except AssertionError as error:
        raise AssertionError(f"as {place}: {error}") from None


@every_view
@kinds()
def test_everywhere(kind, view, separately):
    separately(check_all_places, kind, view, torch.float64)


@every_view
@kinds("LSTM", "GRU", "PeepholeLSTM")
def test_everywhere_in_float32(kind, view, separately):
    separately(check_all_places, kind, view, torch.float32)


def check_without_gradients(kind, view):
    """The shortest way, which asks least."""
    layer = make(kind)
    tensors, structure = tensors_of(layer)

    def run(changed):
        given = tensors | changed
        hx = tree_unflatten(list(by_prefix(given, "state ").values()), structure)
        return {str(k): output for k, output in enumerate(tree_leaves(layer(given["x"], hx)))}

    with torch.inference_mode():
        for name in ["x", *(name for name in tensors if "state" in name)]:
            seen = VIEWS[view](tensors[name])
            assert_close(run({name: seen}), run({name: plain(seen)}), name)


@every_view
@kinds("LSTM", "LSTM_low", "GRU", "PeepholeLSTM", "SLSTM_heads", "MLSTM")
def test_without_gradients(kind, view, separately):
    separately(check_without_gradients, kind, view)


def check_packed(kind, view):
    layer = make(kind, bidirectional=True)
    data, sizes = torch.randn(5, I, dtype=torch.float64), torch.tensor([2, 2, 1])
    seen = VIEWS[view](data)
    got, expected = (layer(PackedSequence(d, sizes)) for d in (seen, plain(seen)))
    assert_close(*({"y": y.data.detach(), "h": tree_leaves(hx)[0].detach()} for y, hx in (got, expected)), "data")


@every_view
@kinds("LSTM", "GRU", "PeepholeLSTM", "MLSTM")
def test_packed(kind, view, separately):
    separately(check_packed, kind, view)
