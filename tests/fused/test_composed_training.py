"""How people train with gradients of gradients: penalties, MAML, hooks, checkpoints, and the third order."""

from __future__ import annotations

from functools import partial

import torch
from composed_layers import (
    Twice,
    both_orders,
    few_kinds,
    first_order,
    inputs_of,
    loss_of,
    make,
    plain_of,
    row_of,
    twin_of,
    two_calls,
)
from torch.func import functional_call
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint
from twins import assert_equal_to_1e10


@few_kinds
def test_gradient_penalty(kind):
    """As WGAN-GP trains a critic: the norm of the slope of what it judges, here a state, is driven to one."""
    ours = make(kind)
    inputs, found = inputs_of(ours), []
    for critic in (ours, twin_of(kind, ours)):
        score = loss_of(two_calls(critic, inputs.x + row_of(inputs.hx), inputs.hx))
        (slope,) = torch.autograd.grad(score, tree_leaves(inputs.hx)[0], create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        found.append({"penalty": penalty.detach(), "slope": slope.detach()})
        (score + 10 * penalty).backward()
        found[-1] |= {name: p.grad for name, p in critic.named_parameters()}
    assert_equal_to_1e10(*found)


@few_kinds
def test_maml(kind):
    """Two steps of gradient descent inside, differentiated from outside."""
    ours = make(kind)
    inputs, found = inputs_of(ours), []
    for layer in (ours, twin_of(kind, ours)):
        model = Twice(layer)
        learned = dict(model.named_parameters())
        for _ in range(2):
            loss = loss_of(functional_call(model, learned, (inputs.x, inputs.hx)))
            slopes = torch.autograd.grad(loss, list(learned.values()), create_graph=True)
            learned = {name: p - 0.1 * slope for (name, p), slope in zip(learned.items(), slopes)}
        outer = loss_of(functional_call(model, learned, (inputs.x.flip(0), inputs.hx)))
        found.append(first_order([outer], inputs.leaves(layer)))
    assert_equal_to_1e10(*found)


@few_kinds
def test_third_order(kind):
    ours = make(kind)
    inputs, found = inputs_of(ours, T=3), []
    for layer in (ours, plain_of(ours)):
        leaves = inputs.leaves(layer)
        slopes = [two_calls(layer, inputs.x, inputs.hx)]
        for order in range(3):
            slopes = list(first_order(slopes, leaves, create_graph=order < 2).values())
        found.append(dict(zip(leaves, slopes)))
    assert_equal_to_1e10(*found)


@few_kinds
def test_hooks_between_calls(kind):
    """What a hook makes of the gradient of an output or a carried state goes on to earlier calls."""
    ours = make(kind)
    inputs = inputs_of(ours)

    def hooked(layer):
        y, hx = layer(inputs.x[:2], inputs.hx)
        for output in (y, *tree_leaves(hx)):
            output.register_hook(lambda slope: slope.clamp(-0.05, 0.05) * 3)
        return layer(inputs.x[2:] + y.mean(), hx)

    assert_equal_to_1e10(
        *(both_orders(partial(hooked, layer), inputs.leaves(layer)) for layer in (ours, twin_of(kind, ours)))
    )


@few_kinds
def test_checkpoints(kind):
    ours = make(kind)
    inputs = inputs_of(ours)
    theirs = twin_of(kind, ours)
    expected = both_orders(partial(two_calls, theirs, inputs.x, inputs.hx), inputs.leaves(theirs))
    saved = partial(checkpoint, partial(two_calls, ours), inputs.x, inputs.hx, use_reentrant=False)
    assert_equal_to_1e10(both_orders(saved, inputs.leaves(ours)), expected)
