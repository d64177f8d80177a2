"""Random masks where calls depend on each other: gradients of both orders by finite differences, for torch has none."""

from __future__ import annotations

import pytest
import torch
from composed_layers import H, I, Twice, first_order, inputs_of, two_calls
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10

import carrousel

MASKS = {
    "recurrent_dropout": 0.3,
    "variational_dropout": (0.2, 0.4),
    "drop_connect": 0.25,
    "zoneout": 0.2,
}


@pytest.mark.parametrize("mask", [*MASKS, "all"])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_random_masks(name, mask):
    layer = getattr(carrousel, name)(I, H, dtype=torch.float64, **(MASKS if mask == "all" else {mask: MASKS[mask]}))
    inputs = inputs_of(layer)
    leaves = inputs.leaves(layer)

    def run():
        return two_calls(layer, inputs.x, inputs.hx, seed=5)

    assert_equal_to_1e10(first_order(run(), leaves, create_graph=True), first_order(run(), leaves))
    given = {name: leaf.detach().clone().requires_grad_() for name, leaf in leaves.items()}

    def outputs(*tensors):
        changed = dict(zip(leaves, tensors, strict=True))
        states = [changed.pop(name) for name in list(changed) if name.startswith("state")]
        hx = tuple(states) if len(states) > 1 else states[0]
        x = changed.pop("x")
        weights = {name.replace("0.", "layer."): weight for name, weight in changed.items()}
        return tuple(tree_leaves(functional_call(Twice(layer, seed=5), weights, (x, hx))))

    assert gradcheck(outputs, tuple(given.values()), fast_mode=True)
    assert gradgradcheck(outputs, tuple(given.values()), fast_mode=True)
