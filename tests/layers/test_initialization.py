"""Initialisations: their papers' distributions, the gates they set, and torch's own draw where none is asked for."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import carrousel
from carrousel.cells import ALL

WITH_GATES = [name for name, cell in ALL.items() if cell.forget_gate or cell.input_gate]
WITHOUT = [name for name in ALL if name not in WITH_GATES]


def make(cell, **options):
    return carrousel.Recurrent(ALL[cell], 3, 8, **options)


def bias_of(layer, row, place=0):
    """The sum of both biases of a row [H], of a layer and direction."""
    H, names = layer.hidden_size, layer._all_weights[place]
    total = torch.zeros(H, dtype=layer.weight_ih_l0.dtype)
    for prefix, rows in (("bias_ih", layer.cell.from_x), ("bias_hh", layer.cell.from_h)):
        for name in names:
            if name.startswith(prefix) and row in rows:
                total = total + getattr(layer, name).detach()[rows.index(row) * H :][:H]
    return total


def forgetting(layer, place=0):
    """The biases of the forget gates, or of the input gates that stand for them, which way up."""
    cell = layer.cell
    row, sign = (cell.forget_gate, 1) if cell.forget_gate else (cell.input_gate, -1)
    return sign * bias_of(layer, row, place)


# ---- nothing changes unless it is asked for


@pytest.mark.parametrize("ours", [carrousel.LSTM, carrousel.GRU, carrousel.RNN])
def test_without_an_option_the_draw_is_torchs(ours):
    theirs = getattr(nn, ours.__name__)
    torch.manual_seed(3)
    expected, after = theirs(3, 8, num_layers=2, bidirectional=True).state_dict(), torch.rand(5)
    torch.manual_seed(3)
    got, after_ours = ours(3, 8, num_layers=2, bidirectional=True).state_dict(), torch.rand(5)
    assert list(got) == list(expected)
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert torch.equal(after_ours, after)


def test_repr_shows_what_was_asked_for():
    assert repr(carrousel.LSTM(3, 8)) == "LSTM(3, 8)"
    layer = carrousel.LSTM(3, 8, initialise="orthogonal", forget_bias=1.0, learn_initial=True)
    assert repr(layer) == "LSTM(3, 8, initialise='orthogonal', forget_bias=1.0, learn_initial=True)"


# ---- orthogonal


@pytest.mark.parametrize("cell", ALL)
def test_orthogonal(cell):
    layer = make(cell, num_layers=2, bidirectional=True, initialise="orthogonal")
    for name, weight in layer.named_parameters():
        if name.startswith("weight_hh"):
            for block in weight.split(8):
                torch.testing.assert_close(block @ block.T, torch.eye(8), rtol=0, atol=1e-5)
        elif name.startswith("weight_ih"):
            bound = math.sqrt(6 / (8 + weight.shape[1]))
            assert weight.abs().max() <= bound
            assert weight.std() > bound / 3
        elif name.startswith("weight_ln"):  # layer normalisation begins with gains of one and shifts of zero
            assert set(weight.tolist()) == {0.0, 1.0}
        else:
            assert not weight.any()


def test_orthogonal_blocks_of_heads_and_projections():
    heads = carrousel.SLSTM(3, 8, num_heads=2, initialise="orthogonal")
    for block in heads.weight_hh_l0.split(4):
        torch.testing.assert_close(block @ block.T, torch.eye(4), rtol=0, atol=1e-5)
    projected = carrousel.LSTM(3, 8, proj_size=5, initialise="orthogonal")
    for block in projected.weight_hh_l0.split(8):
        torch.testing.assert_close(block.T @ block, torch.eye(5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_orthogonal_in_other_types(dtype):
    layer = carrousel.LSTM(3, 8, initialise="orthogonal", dtype=dtype)
    block = layer.weight_hh_l0[:8].double()
    torch.testing.assert_close(block @ block.T, torch.eye(8).double(), rtol=0, atol=8 * torch.finfo(dtype).eps)


# ---- forget gates


@pytest.mark.parametrize("cell", WITH_GATES)
def test_forget_bias(cell):
    layer = make(cell, num_layers=2, bidirectional=True, forget_bias=1.5)
    torch.manual_seed(0)
    for place in range(4):
        assert torch.equal(forgetting(layer, place), torch.full((8,), 1.5))


def test_forget_bias_changes_nothing_else():
    torch.manual_seed(3)
    plain = carrousel.LSTM(3, 8)
    torch.manual_seed(3)
    layer = carrousel.LSTM(3, 8, forget_bias=1)
    for name, weight in plain.named_parameters():
        same = torch.eq(getattr(layer, name), weight).unflatten(0, (4, 8))
        assert same[[0, 2, 3]].all()
        assert same[1].all() == name.startswith("weight")


@pytest.mark.parametrize("cell", WITH_GATES)
def test_chrono(cell):
    """Memories from 1 to T - 1 steps, all lengths alike: log u of a uniform u."""
    layer = carrousel.Recurrent(ALL[cell], 3, 2000, longest_lag=101.0)
    u = forgetting(layer).exp()
    assert u.min() >= 1 - 1e-5
    assert u.max() <= 100 + 1e-3
    assert abs(u.mean() - 50.5) < 3
    assert u.unique().numel() > 1500
    if ALL[cell].forget_gate and ALL[cell].input_gate:
        torch.testing.assert_close(bias_of(layer, ALL[cell].input_gate), -u.log())


def test_xlstm_power_law():
    """The first unit of each head at 5, the last at -7; the exponent grows from 0.3 to 1.6 with the layers."""
    layer = carrousel.SLSTM(3, 8, num_layers=3, num_heads=2)
    j = torch.arange(4) / 3
    for depth, exponent in enumerate((0.3, 0.95, 1.6)):
        expected = (5 - 12 * j**exponent).repeat(2)
        torch.testing.assert_close(bias_of(layer, "f", depth), expected)
        assert not bias_of(layer, "i", depth).any()
    assert not layer.weight_hh_l1.any()
    wide = carrousel.SLSTM(500, 100)
    assert abs(wide.weight_ih_l0.std() / math.sqrt(2 / (5 * 500)) - 1) < 0.02
    assert carrousel.SLSTM(3, 4, bias=False).weight_ih_l0.any()


def test_an_own_cell_says_which_gates_it_has():
    @carrousel.cell(rows="fg", states="h", forget_gate="f")
    def Leaky(rows, states):
        f, g = rows
        return (torch.sigmoid(f) * states[0] + (1 - torch.sigmoid(f)) * torch.tanh(g),)

    assert torch.equal(forgetting(Leaky(3, 8, forget_bias=2.0)), torch.full((8,), 2.0))


def test_reset_parameters_draws_as_at_first():
    layer = carrousel.LSTM(3, 8, initialise="orthogonal", forget_bias=1.0, learn_initial=True)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 9.0)
    layer.reset_parameters()
    assert torch.equal(forgetting(layer), torch.ones(8))
    assert not layer.initial_h.any()
    torch.testing.assert_close(layer.weight_hh_l0[:8] @ layer.weight_hh_l0[:8].T, torch.eye(8), rtol=0, atol=1e-5)


def test_copies_keep_how_they_are_drawn():
    layer = copy.deepcopy(carrousel.LSTM(3, 8, forget_bias=1.0))
    layer.reset_parameters()
    assert torch.equal(forgetting(layer), torch.ones(8))


# ---- what is refused


@pytest.mark.parametrize("cell", WITHOUT)
@pytest.mark.parametrize("option", [{"forget_bias": 1.0}, {"longest_lag": 50}, {"initialise": "xlstm"}], ids=str)
def test_cells_without_such_a_gate(cell, option):
    with pytest.raises(ValueError, match=rf"{next(iter(option))}=.* the cell {cell} has none"):
        make(cell, **option)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"initialise": "xavier"}, ValueError, "initialise='xavier' is not among 'torch', 'orthogonal', 'xlstm'"),
        ({"initialise": None}, ValueError, "initialise=None"),
        ({"forget_bias": "1"}, TypeError, "forget_bias='1' must be a number"),
        ({"forget_bias": True}, TypeError, "forget_bias=True"),
        ({"forget_bias": math.nan}, TypeError, "forget_bias=nan"),
        ({"longest_lag": 2}, ValueError, "longest_lag=2 must be more than 2"),
        ({"longest_lag": math.inf}, TypeError, "longest_lag=inf"),
        ({"longest_lag": 9, "forget_bias": 1.0}, ValueError, "forget_bias=1.0 and longest_lag=9"),
        ({"forget_bias": 1.0, "bias": False}, ValueError, "forget_bias=1.0 .* bias=False"),
        ({"longest_lag": 9, "bias": False}, ValueError, "longest_lag=9 .* bias=False"),
        ({"learn_initial": 1}, TypeError, "learn_initial=1 must be True or False"),
    ],
    ids=str,
)
@pytest.mark.parametrize("make", [carrousel.LSTM, carrousel.GRU, carrousel.MinLSTM, carrousel.SLSTM])
def test_bad_options(make, options, error, says):
    with pytest.raises(error, match=says):
        make(3, 8, **options)
