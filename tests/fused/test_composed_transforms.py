"""torch.func and torch.autograd.functional over calls that depend on each other; many gradients of one graph."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from composed_layers import (
    Twice,
    few_kinds,
    inputs_of,
    kinds,
    loss_of,
    make,
    plain_of,
    two_calls,
)
from torch.autograd import functional
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10

# forward mode outside, as torch.autograd.functional names it
FORWARD = "forward-mode"


def functions_of(layer, inputs, place):
    """The loss as a function of the input, the first state or a weight, and where: (function, point)."""
    model, states = Twice(layer), tree_leaves(inputs.hx)
    x, states = inputs.x.detach(), [state.detach() for state in states]
    weights = {name: p.detach() for name, p in model.named_parameters()}
    points = {"x": x, "state": states[0], "weight": weights["layer.weight_ih_l0"]}

    def outputs(changed):
        h = changed if place == "state" else states[0]
        hx = (h, *states[1:]) if len(states) > 1 else h
        given = weights | ({"layer.weight_ih_l0": changed} if place == "weight" else {})
        return functional_call(model, given, (changed if place == "x" else x, hx))

    return outputs, points[place]


def flat(outputs, point):
    return torch.cat([output.flatten() for output in tree_leaves(outputs(point))])


def scalar(outputs, point):
    return loss_of(outputs(point))


def directional(f, point, direction):
    return jvp(grad(f), (point,), (direction,))[1]


TRANSFORMS = {
    "grad": lambda f, g, point, d: grad(f)(point),
    "vjp": lambda f, g, point, d: vjp(f, point)[1](torch.ones_like(f(point)))[0],
    "jvp": lambda f, g, point, d: jvp(g, (point,), (d,))[1],
    "jvp of vjp": lambda f, g, point, d: directional(f, point, d),
    "vjp of vjp": lambda f, g, point, d: vjp(grad(f), point)[1](d)[0],
    "hessian": lambda f, g, point, d: hessian(f)(point),
    "jacrev": lambda f, g, point, d: jacrev(g)(point),
    "jacfwd": lambda f, g, point, d: jacfwd(g)(point),
    "jacrev of jacrev": lambda f, g, point, d: jacrev(jacrev(f))(point),
    "vmap of grad": lambda f, g, point, d: vmap(grad(f))(torch.stack([point, d])),
    "vmap of hessian": lambda f, g, point, d: vmap(hessian(f))(torch.stack([point, d])),
    "functional.jacobian": lambda f, g, point, d: functional.jacobian(g, point),
    "functional.jacobian with a graph": lambda f, g, point, d: functional.jacobian(g, point, create_graph=True),
    "functional.jacobian vectorized": lambda f, g, point, d: functional.jacobian(g, point, vectorize=True),
    "functional.jacobian forward": lambda f, g, point, d: functional.jacobian(
        g, point, vectorize=True, strategy=FORWARD
    ),
    "functional.hessian": lambda f, g, point, d: functional.hessian(f, point),
    "functional.hessian vectorized": lambda f, g, point, d: functional.hessian(f, point, vectorize=True),
    "functional.hessian forward": lambda f, g, point, d: functional.hessian(
        f, point, vectorize=True, outer_jacobian_strategy=FORWARD
    ),
    "functional.hvp": lambda f, g, point, d: functional.hvp(f, point, d)[1],
    "functional.vhp": lambda f, g, point, d: functional.vhp(f, point, d)[1],
}


@pytest.mark.parametrize("place", ["x", "state", "weight"])
@pytest.mark.parametrize("transform", TRANSFORMS)
@kinds("GRU", "PeepholeLSTM")
def test_transforms(kind, transform, place):
    layer = make(kind)
    inputs, found = inputs_of(layer, T=3), []
    for one in (layer, plain_of(layer)):
        outputs, point = functions_of(one, inputs, place)
        direction = torch.linspace(-1, 1, point.numel(), dtype=point.dtype).view_as(point)
        got = TRANSFORMS[transform](partial(scalar, outputs), partial(flat, outputs), point, direction)
        found.append({"slope": got.detach()})
    assert_equal_to_1e10(*found)


@pytest.mark.parametrize("transform", ["jvp of vjp", "functional.hessian vectorized", "vmap of grad"])
@few_kinds
def test_transforms_of_every_kind(kind, transform):
    test_transforms(kind, transform, "weight")


@few_kinds
def test_one_graph_many_times(kind):
    """retain_graph, and many gradients at once by is_grads_batched, with and without a graph of them."""
    layer = make(kind)
    inputs = inputs_of(layer)
    leaves = inputs.leaves(layer)
    y = two_calls(layer, inputs.x, inputs.hx)[0]
    dys = torch.randn(3, *y.shape, dtype=y.dtype)
    again = partial(torch.autograd.grad, y, list(leaves.values()), retain_graph=True)
    one_by_one = [again(dy, create_graph=create) for create in (False, True) for dy in dys]
    expected = {name: torch.stack(of[:3]) for name, of in zip(leaves, zip(*one_by_one))}
    assert_equal_to_1e10({name: torch.stack(of[3:]).detach() for name, of in zip(leaves, zip(*one_by_one))}, expected)
    for create in (False, True):
        batched = again(dys, is_grads_batched=True, create_graph=create)
        assert_equal_to_1e10({name: g.detach() for name, g in zip(leaves, batched)}, expected)
