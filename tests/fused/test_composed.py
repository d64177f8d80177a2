"""Calls that depend on each other: gradients of first order, with and without a graph of them, and of second order.

Each composition is held against the same one of torch.nn's layers, or of the same cell in torch operations.
"""

from __future__ import annotations

import pytest
from composed_layers import (
    LAYERS,
    TORCHS,
    B,
    as_input,
    assert_same_gradients,
    first_order,
    inputs_of,
    kinds,
    make,
    plain_of,
    row_of,
    torchs_of,
    twin_of,
)
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map
from twins import assert_equal_to_1e10


def chunks(a, b, x, hx):
    """A sequence in three calls, with carried state."""
    first, hx = a(x[:2], hx)
    second, hx = a(x[2:3], hx)
    third, hx = a(x[3:], hx)
    return first, second, third, hx


def last_of_chunks(a, b, x, hx):
    """The outputs of the last call alone: the others matter by their states only."""
    return chunks(a, b, x, hx)[2]


def encoder_into_decoder(a, b, x, hx):
    _, hx = a(x[:2], hx)
    return b(x[2:], hx)


def fed_back(a, b, x, hx):
    """Each output is the next input."""
    step, steps = x[:1], []
    for _ in range(4):
        y, hx = a(step, hx)
        step = as_input(y)
        steps.append(y)
    return steps


def one_layer_on_itself(a, b, x, hx):
    y, _ = a(x, hx)
    return a(as_input(y), hx)


def in_turns(a, b, x, hx):
    """Two layers pass a state back and forth."""
    ys = []
    for t, layer in enumerate((a, b, a, b)):
        y, hx = layer(x[t : t + 1], hx)
        ys.append(y)
    return ys, hx


def side_by_side(a, b, x, hx):
    """Two calls on the same tensors."""
    return a(x, hx), a(x.flip(0), hx)


def input_made_of_the_states(a, b, x, hx):
    return a(x + row_of(hx), hx)


def states_made_of_the_input(a, b, x, hx):
    return a(x, tree_map(lambda state: state + x.sum(), hx))


def input_made_of_a_weight(a, b, x, hx):
    return a(x * a.weight_ih_l0.mean(), hx)


def weight_made_of_others(a, b, x, hx):
    """A weight that is a function of the others, of the states and of the input."""
    changed = a.weight_ih_l0 * b.weight_ih_l0.tanh() + row_of(hx).sum() * x.mean()
    return functional_call(a, {"weight_ih_l0": changed}, (x, hx))


SCENARIOS = [
    chunks,
    last_of_chunks,
    encoder_into_decoder,
    fed_back,
    one_layer_on_itself,
    in_turns,
    side_by_side,
    input_made_of_the_states,
    states_made_of_the_input,
    input_made_of_a_weight,
    weight_made_of_others,
]
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@every_scenario
@kinds()
def test_compositions(kind, scenario):
    ours = make(kind), make(kind)
    theirs = tuple(twin_of(kind, layer) for layer in ours)
    assert_same_gradients(scenario, ours, theirs, inputs_of(ours[0]))


@pytest.mark.parametrize("scenario", [chunks, weight_made_of_others])
@kinds(*TORCHS)
def test_torch_operations_are_torchs_layer(kind, scenario):
    """What the cells that torch has not are held against is right."""
    ours = make(kind), make(kind)
    theirs = tuple(torchs_of(kind, layer) for layer in ours)
    assert_same_gradients(scenario, tuple(map(plain_of, ours)), theirs, inputs_of(ours[0]))


@kinds()
def test_a_graph_of_the_gradients_does_not_change_them(kind):
    """The issue's case, which needs nothing to be held against."""
    layer = make(kind)
    inputs = inputs_of(layer)
    leaves = inputs.leaves(layer)
    without, with_graph = (
        first_order(chunks(layer, None, inputs.x, inputs.hx), leaves, create_graph=create) for create in (False, True)
    )
    assert_equal_to_1e10(with_graph, without)


# ---- one tensor in several places -----------------------------------------------------------------------------------


def one_tensor_everywhere(a, b, x, hx):
    """The same tensor as the input and as each state."""
    h = tree_leaves(hx)[0]
    return a(h, tree_map(lambda _: h, hx))


@kinds(*[kind for kind in LAYERS if kind not in ("LSTM_projected", "MLSTM")])  # their states have other shapes
def test_one_tensor_everywhere(kind):
    ours = (make(kind),)
    theirs = (twin_of(kind, *ours),)
    assert_same_gradients(lambda a, x, hx: one_tensor_everywhere(a, None, x, hx), ours, theirs, inputs_of(*ours))


@kinds(*[kind for kind in LAYERS if kind not in ("MinGRU", "MinLSTM", "MLSTM", "FGR", "FGR_compiled")])
def test_recurrent_weights_tied_to_those_of_the_input(kind):
    """weight_hh is weight_ih where shapes fit; the biases are one too."""
    ours = make(kind)
    if ours.weight_hh_l0.shape == ours.weight_ih_l0.shape:
        tie(ours, "weight_hh_l0", ours.weight_ih_l0)
    tie(ours, "bias_hh_l0", ours.bias_ih_l0)
    theirs = tied_again(twin_of(kind, ours), ours)
    assert_same_gradients(lambda a, x, hx: chunks(a, None, x, hx), (ours,), (theirs,), inputs_of(ours))


@kinds()
def test_two_layers_of_the_same_weights(kind):
    """Tied between two layers: by a Parameter that both have."""
    ours = make(kind), make(kind)
    for name, parameter in list(ours[0].named_parameters()):
        tie(ours[1], name, parameter)
    theirs = tuple(twin_of(kind, layer) for layer in ours)
    for name, parameter in list(theirs[0].named_parameters()):
        tie(theirs[1], name, parameter)
    assert_same_gradients(encoder_into_decoder, ours, theirs, inputs_of(ours[0]))


def tie(layer, name, parameter):
    setattr(layer, name, parameter)


def tied_again(theirs, ours):
    """A twin whose parameters are one where ours are."""
    for name, parameter in ours.named_parameters(remove_duplicate=False):
        first = next(other for other, p in ours.named_parameters(remove_duplicate=False) if p is parameter)
        tie(theirs, name, getattr(theirs, first))
    return theirs


@kinds()
def test_one_state_for_all_rows(kind):
    """A state of one row, expanded: what a learned initial state is when it is passed by hand."""
    ours = (make(kind),)
    inputs = inputs_of(*ours)
    inputs.hx = tree_map(lambda s: s.detach()[:, :1].clone().requires_grad_(), inputs.hx)

    def expanded(a, x, hx):
        return chunks(a, None, x, tree_map(lambda s: s.expand(-1, B, *s.shape[2:]), hx))

    assert_same_gradients(expanded, ours, (twin_of(kind, *ours),), inputs)
