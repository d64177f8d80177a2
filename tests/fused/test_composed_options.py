"""The options of layers and of calls, where calls depend on each other: gradients of both orders."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from composed_layers import (
    TORCHS,
    as_input,
    assert_same_gradients,
    few_kinds,
    inputs_of,
    make,
    plain_of,
    torchs_of,
    twin_of,
    two_calls,
)
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils._pytree import tree_map

OPTIONS = {
    "two_layers": {"num_layers": 2},
    "both_directions": {"bidirectional": True},
    "two_layers_of_both": {"num_layers": 2, "bidirectional": True},
    "without_biases": {"bias": False},
    "batch_first": {"batch_first": True},
    "dropout": {"num_layers": 2, "dropout": 0.5},
}


@pytest.mark.parametrize("options", OPTIONS)
@few_kinds
def test_options_of_layers(kind, options):
    ours = make(kind, **OPTIONS[options])
    theirs = torchs_of(kind, ours, **OPTIONS[options]) if kind in TORCHS else plain_of(ours)
    assert_same_gradients(two_calls, (ours,), (theirs,), inputs_of(ours))


@pytest.mark.parametrize("kind", ["GRU", "PeepholeLSTM", "SLSTM_heads", "LayerNormLSTM"])
def test_memory_low(kind):
    ours = make(kind, memory="low", bidirectional=True)
    theirs = plain_of(make(kind, bidirectional=True))
    theirs.load_state_dict(ours.state_dict())
    assert_same_gradients(two_calls, (ours,), (theirs,), inputs_of(ours))


# ---- options of a call ----------------------------------------------------------------------------------------------

RESETS = torch.tensor([[False, True], [True, False]])
CALLS = {
    "lengths": {"lengths": torch.tensor([2, 1])},
    "a_length_of_zero": {"lengths": torch.tensor([0, 2])},
    "resets": {"resets": RESETS},
    "return_states": {"return_states": True},
    "return_gates": {"return_gates": True},
    "all_inside_of_a_ragged_batch": {"lengths": [2, 1], "return_states": True, "return_gates": True},
}


@pytest.mark.parametrize("call", CALLS)
@few_kinds
def test_options_of_calls(kind, call):
    layers = (make(kind, bidirectional=True),)
    scenario = partial(two_calls, **CALLS[call])
    assert_same_gradients(scenario, layers, tuple(map(plain_of, layers)), inputs_of(*layers))


def packed_twice(layer, x, hx):
    """What comes out packed goes in packed."""
    y, hx = layer(pack_padded_sequence(x, torch.tensor([2, 4]), enforce_sorted=False), hx)
    y, hx = layer(y._replace(data=as_input(y.data)), hx)
    return y.data, hx


@pytest.mark.parametrize("option", [{}, {"bidirectional": True, "num_layers": 2}], ids=["plain", "stacked_both"])
@few_kinds
def test_packed_sequences(kind, option):
    ours = make(kind, **option)
    theirs = torchs_of(kind, ours, **option) if kind in TORCHS else plain_of(ours)
    assert_same_gradients(packed_twice, (ours,), (theirs,), inputs_of(ours))


def without_a_batch(layer, x, hx):
    return two_calls(layer, x[:, 0], tree_map(lambda state: state[:, 0], hx))


@few_kinds
def test_without_a_batch(kind):
    ours = make(kind)
    assert_same_gradients(without_a_batch, (ours,), (twin_of(kind, ours),), inputs_of(ours))


def end_to_end(layer, x, hx):
    """Rows of 3 and 5 steps, one after the other."""
    y, hx = layer(x.flatten(0, 1), hx, offsets=[0, 3, 8])
    return layer(as_input(y), hx, offsets=[0, 3, 8])


@few_kinds
def test_offsets(kind):
    ours = make(kind)
    assert_same_gradients(end_to_end, (ours,), (plain_of(ours),), inputs_of(ours))


# ---- learned and shared initial states ------------------------------------------------------------------------------


@few_kinds
def test_learned_initial_states_and_resets(kind):
    """The learned state is where a call begins, and what each reset of it restores."""
    ours = make(kind, learn_initial=True)
    for name, parameter in ours.named_parameters():
        if name.startswith("initial"):
            torch.nn.init.uniform_(parameter, 0.5, 1.5)

    def learned(layer, x, hx):
        return two_calls(layer, x, None, resets=RESETS)

    assert_same_gradients(learned, (ours,), (plain_of(ours),), inputs_of(ours))


@few_kinds
def test_resets_to_the_states_of_the_start(kind):
    """One tensor as hx and as initial."""
    ours = make(kind)

    def restored(layer, x, hx):
        return two_calls(layer, x, hx, resets=RESETS, initial=hx)

    assert_same_gradients(restored, (ours,), (plain_of(ours),), inputs_of(ours))


# ---- frozen weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wants", ["weight_hh", "bias", "state", "x", "weight_ih"])
@few_kinds
def test_frozen_weights(kind, wants):
    """Only some tensors require gradients; those of the others are not asked for."""
    ours = make(kind)
    theirs, inputs = twin_of(kind, ours), inputs_of(ours)
    for name, leaf in [*inputs.leaves(ours).items(), *theirs.named_parameters()]:
        leaf.requires_grad_(wants in name)
    assert_same_gradients(two_calls, (ours,), (theirs,), inputs)
