"""Layers beyond torch.nn's contract: parameters of other cells, cells of one's own, weights that change."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import carrousel
from carrousel.cells import ALL, Cell, sigmoid, tanh
from carrousel.scan import Weights, scan

X = torch.randn(5, 2, 3)


def step_of_three(rows, states):
    a, b = rows
    h, c, m = states
    m = m / 2 + tanh(b)
    c = sigmoid(a) * c + m
    return tanh(c) - h / 4, c, m


# Not among the discovered ones: what a person writes in their own program.
THREE_STATES = Cell("slow", rows="ab", from_x="ab", from_h="b", states="hcm", step=step_of_three)


def weights_of(layer, suffix="_l0"):
    own = "weight_ln" if layer.cell.normed else "weight_ch"
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", own, "weight_hr")
    weights = Weights(*[getattr(layer, name + suffix, None) for name in names])
    return weights if layer.cell.from_h else weights._replace(R=weights.W.new_empty(0, layer.hidden_size))


# ---- parameters of the cells that torch has not


def test_parameters_of_the_peephole_lstm():
    layer = carrousel.PeepholeLSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2)
    shapes = [(name, tuple(p.shape)) for name, p in layer.named_parameters()]
    assert shapes[:6] == [
        ("weight_ih_l0", (16, 3)),
        ("weight_hh_l0", (16, 2)),
        ("bias_ih_l0", (16,)),
        ("bias_hh_l0", (16,)),
        ("weight_hr_l0", (2, 4)),
        ("weight_ch_l0", (12,)),
    ]
    assert shapes[6:12] == [(name + "_reverse", shape) for name, shape in shapes[:6]]
    assert shapes[12] == ("weight_ih_l1", (16, 4))


def test_parameters_of_the_lstm_of_1997():
    shapes = {name: tuple(p.shape) for name, p in carrousel.LSTM1997(3, 4).named_parameters()}
    assert shapes == {"weight_ih_l0": (12, 3), "weight_hh_l0": (12, 4), "bias_ih_l0": (12,), "bias_hh_l0": (12,)}


def test_torchs_weights_go_into_a_peephole_lstm_whose_peepholes_are_shut():
    ours, theirs = carrousel.PeepholeLSTM(3, 4).double(), nn.LSTM(3, 4).double()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing, unexpected) == (["weight_ch_l0"], [])
    nn.init.zeros_(ours.weight_ch_l0)
    torch.testing.assert_close(ours(X.double())[0], theirs(X.double())[0], rtol=0, atol=1e-12)


# ---- Recurrent over any cell


@pytest.mark.parametrize("cell", [*ALL.values(), THREE_STATES], ids=lambda cell: cell.name)
def test_recurrent_is_scan(cell):
    layer = carrousel.Recurrent(cell, 3, 4).double()
    x, zero = X.double(), torch.zeros(2, 4, dtype=torch.float64)
    y, hx = layer(x)
    y_expected, states, _ = scan(cell, x, (zero,) * len(cell.states), weights_of(layer))
    torch.testing.assert_close(y, y_expected, rtol=0, atol=1e-12)
    for state, expected in zip(hx if len(states) > 1 else (hx,), states, strict=True):
        torch.testing.assert_close(state, expected[None], rtol=0, atol=1e-12)


def test_a_cell_of_three_states_carries_all_of_them():
    layer = carrousel.Recurrent(THREE_STATES, 3, 4, num_layers=2, bidirectional=True).double()
    forward = carrousel.Recurrent(THREE_STATES, 3, 4, num_layers=2).double()
    x = X.double()
    assert [tuple(state.shape) for state in layer(x)[1]] == [(4, 2, 4)] * 3
    first, hx = forward(x[:2])
    second, _ = forward(x[2:], hx)
    torch.testing.assert_close(torch.cat([first, second]), forward(x)[0], rtol=0, atol=1e-12)


def test_a_wrong_number_of_states_is_named():
    h = torch.zeros(1, 2, 4)
    with pytest.raises(RuntimeError, match="slow expects 3 hidden states, got 4"):
        carrousel.Recurrent(THREE_STATES, 3, 4)(X, (h, h, h, h))
    with pytest.raises(RuntimeError, match="lstm expects two hidden states, got 3"):
        carrousel.LSTM(3, 4)(X, (h, h, h))
    with pytest.raises(RuntimeError, match="hx and cx and mx should also be 3-D"):
        carrousel.Recurrent(THREE_STATES, 3, 4)(X, (h, h, h[0]))


def test_it_prints_its_cell():
    assert repr(carrousel.Recurrent(ALL["gru"], 3, 4, bias=False)) == "Recurrent(gru, 3, 4, bias=False)"
    assert repr(carrousel.LSTM1997(3, 4, proj_size=2)) == "LSTM1997(3, 4, proj_size=2)"


def through_pickle(layer):
    return pickle.loads(pickle.dumps(layer))


@pytest.mark.parametrize("way", [copy.deepcopy, through_pickle])
def test_a_copy_has_the_same_cell(way):
    for cell in (*ALL.values(), THREE_STATES):
        layer = carrousel.Recurrent(cell, 3, 4)
        twin = way(layer)
        assert twin.cell == cell
        assert torch.equal(twin(X)[0], layer(X)[0])


# ---- weights that change


@pytest.mark.parametrize("way", ["dense", "packed", "by_torch"])
def test_a_parametrised_weight_is_computed_once_a_call(way):
    """A spectral norm takes a step at each look at its weight, dropped weights a new mask."""
    dtype = torch.bfloat16 if way == "by_torch" else torch.float32
    x = pack_padded_sequence(X, [5, 3]) if way == "packed" else X.to(dtype)
    looks = []

    class Looked(nn.Module):
        def forward(self, weight):
            looks.append(1)
            return weight * 2

    layer = carrousel.LSTM(3, 4, dtype=dtype)
    nn.utils.parametrize.register_parametrization(layer, "weight_hh_l0", Looked())
    looks.clear()
    layer(x)
    assert len(looks) == 1


def test_a_replica_of_data_parallel_computes_with_the_weights_it_was_given():
    """DataParallel empties the parameters and sets tensors in their place."""
    layer = carrousel.GRU(3, 4)
    replica = layer._replicate_for_data_parallel()
    for name, parameter in layer.named_parameters():
        setattr(replica, name, parameter.detach() * 2)
    assert not replica._parameters
    expected = torch.func.functional_call(layer, {name: p.detach() * 2 for name, p in layer.named_parameters()}, X)
    assert torch.equal(replica(X)[0], expected[0])


def test_the_dropout_warning_points_to_the_line_that_made_the_layer():
    for make in (carrousel.LSTM, carrousel.GRU, carrousel.RNN, carrousel.LSTM1997):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            make(3, 4, dropout=0.5)
        assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("name", ["gru", "rnn_tanh"])
def test_a_projection_by_position_is_refused_at_once(name):
    """torch.nn makes such a layer and refuses each input."""
    layer_class, arguments = {
        "gru": (carrousel.GRU, (3, 4, 1, True, False, 0.0, False)),
        "rnn_tanh": (carrousel.RNN, (3, 4, 1, "tanh", True, False, 0.0, False)),
    }[name]
    with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM"):
        layer_class(*arguments, 2)
    assert layer_class(*arguments, 0, "cpu", torch.float64).weight_ih_l0.dtype == torch.float64
