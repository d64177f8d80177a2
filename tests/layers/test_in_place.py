"""Outputs that are changed in place before the backward pass: as torch.nn has it, the gradients are those of a copy."""

from __future__ import annotations

import pytest
import torch
from composed_layers import TORCHS, B, T, few_kinds, first_order, inputs_of, kinds, make, torchs_of
from torch.nn.functional import dropout
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10

CHANGES = {
    "relu_": lambda y: y.relu_(),
    "tanh_": lambda y: y.tanh_(),
    "add_": lambda y: y.add_(1.5),
    "add_another": lambda y: y.add_(torch.full_like(y, 0.5)),
    "mul_": lambda y: y.mul_(3),
    "neg_": lambda y: y.neg_(),
    "zero_": lambda y: y.zero_(),
    "clamp_": lambda y: y.clamp_(-0.1, 0.1),
    "masked_fill_": lambda y: y.masked_fill_(torch.arange(y.shape[-1]) % 2 == 0, 2.0),
    "dropout": lambda y: dropout(y, 0.5, inplace=True),
    "slice": lambda y: y[..., 0].fill_(1.0),
    "first_step": lambda y: y[0].mul_(2),
    "last_step": lambda y: y[-1].zero_(),
    "index_copy": lambda y: y.index_fill_(0, torch.tensor([0]), 0.0),
}
OPTIONS = {
    "two_layers": {"num_layers": 2},
    "both_directions": {"bidirectional": True},
    "batch_first": {"batch_first": True},
}
PLACES = {"y": 0, "h": 1, "last_state": -1}


CALLS = {
    "lengths": {"lengths": [2, 3]},
    "resets": {"resets": torch.tensor([[False], [True], [False], [False]]).expand(T, B)},
}


def outcome(layer, inputs, change, place, call, copied):
    """Outputs and gradients after the change of an output; of a copy of it, which nothing can forbid."""
    torch.manual_seed(3)  # dropout
    leaves = inputs.leaves(layer)
    y, hx, *_ = layer(inputs.x, inputs.hx, **call)
    outputs = [y.clone() if copied else y, *(state.clone() if copied else state for state in tree_leaves(hx))]
    CHANGES[change](outputs[place])
    found = torch.autograd.grad(sum(o.sin().sum() for o in outputs), list(leaves.values()), materialize_grads=True)
    return {str(k): o.detach() for k, o in enumerate(outputs)} | dict(zip(leaves, found))


def compare(layer, place, **call):
    """All changes of one output: those that are refused by name, or the first that is wrong."""
    inputs, refused = inputs_of(layer), []
    for change in CHANGES:
        expected = outcome(layer, inputs, change, place, call, copied=True)
        try:
            got = outcome(layer, inputs, change, place, call, copied=False)
        except RuntimeError as error:
            refused.append(change)
            words = str(error)[:200]
        else:
            assert_equal_to_1e10(got, expected)
    assert not refused, f"{refused}: {words}"


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@kinds()
def test_outputs_may_be_changed(kind, place):
    compare(make(kind), place)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("options", OPTIONS)
@few_kinds
def test_options(kind, options, place):
    compare(make(kind, **OPTIONS[options]), place)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("call", CALLS)
@kinds("LSTM", "GRU", "PeepholeLSTM")
def test_options_of_calls(kind, call, place):
    compare(make(kind), place, **CALLS[call])


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@kinds(*TORCHS)
def test_torchs_layers_pass(kind, place):
    """What is asked of ours is possible."""
    compare(torchs_of(kind, make(kind)), place)


@few_kinds
def test_packed(kind):
    layer, found = make(kind), []
    inputs = inputs_of(layer)
    for copied in (True, False):
        y = layer(pack_padded_sequence(inputs.x, [4, 2]), inputs.hx)[0].data
        y = y.clone() if copied else y
        y.relu_()
        found.append(first_order([y], inputs.leaves(layer)))
    assert_equal_to_1e10(*found)


@few_kinds
def test_an_output_is_added_to(kind):
    """A residual connection, and a mask, as people write them: y += x; y *= mask."""
    layer, found = make(kind), []
    inputs = inputs_of(layer)
    for copied in (True, False):
        y, _ = layer(inputs.x, inputs.hx)
        y = y.clone() if copied else y
        y += inputs.x[..., : y.shape[-1]]
        y *= (inputs.x > 0)[..., : y.shape[-1]]
        found.append(first_order([y], inputs.leaves(layer)))
    assert_equal_to_1e10(*found)


@few_kinds
def test_second_order_after_a_change(kind):
    layer, found = make(kind), []
    inputs = inputs_of(layer)
    for copied in (True, False):
        y, hx = layer(inputs.x, inputs.hx)
        y = y.clone() if copied else y
        y.mul_(2)
        slopes = first_order([y, hx], inputs.leaves(layer), create_graph=True)
        found.append(first_order(list(slopes.values()), inputs.leaves(layer)))
    assert_equal_to_1e10(*found)
