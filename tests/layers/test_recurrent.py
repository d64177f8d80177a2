"""Any cell as a layer: `Recurrent`, PeepholeLSTM and LSTM1997 are runs of `scan`, stacked and in both directions."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from sequences import CELLS, reads_h
from torch.nn.utils.rnn import pack_sequence
from twins import Size, assert_equal_to_1e10, scalar_of

import carrousel
from carrousel.cells import ALL, Cell, sigmoid, tanh
from carrousel.scan import Rows, Weights, scan

SIZE = Size(T=5, B=4, I=3, H=6)
CLASSES = {
    "lstm": "LSTM",
    "gru": "GRU",
    "peephole": "PeepholeLSTM",
    "coupled": "CoupledLSTM",
    "lstm1997": "LSTM1997",
    "mingru": "MinGRU",
    "minlstm": "MinLSTM",
    "slstm": "SLSTM",
}
OPTIONS = {
    "plain": {},
    "no_bias": {"bias": False},
    "three_layers": {"num_layers": 3},
    "both_directions": {"bidirectional": True},
    "stacked_both": {"num_layers": 2, "bidirectional": True},
}


def weights_of(layer, k, direction):
    """One layer's and direction's weights, by the names of its parameters."""
    suffix = f"_l{k}" + ("_reverse" if direction else "")
    own = "weight_ln" if layer.cell.normed else "weight_ch"
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", own, "weight_hr"]
    weights = Weights(*(getattr(layer, name + suffix, None) for name in names))
    return weights if layer.cell.from_h else weights._replace(R=weights.W.new_empty(0, layer.hidden_size))


def by_scan(layer, cell, x, hx, batch_sizes=None):
    """What a layer must return, put together from scan: y [T, B, D*P] and the states [L*D, B, .]."""
    finals = []
    for k in range(layer.num_layers):
        ys = []
        for direction in range(1 + layer.bidirectional):
            start = tuple(h[len(finals)] for h in hx)
            weights = weights_of(layer, k, direction)
            rows = Rows(reverse=bool(direction), batch_sizes=batch_sizes)
            y, states, _ = scan(cell, x, start, weights, rows)
            ys.append(y)
            finals.append(states)
        x = torch.cat(ys, dim=-1)
    return x, tuple(torch.stack(state) for state in zip(*finals, strict=True))


def results(layer, outputs):
    """Outputs and gradients of the parameters, by name."""
    layer.zero_grad()
    scalar_of(outputs).backward()
    named = {str(k): output.detach() for k, output in enumerate(outputs)}
    return named | {name: p.grad.clone() for name, p in layer.named_parameters()}


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


def make_hx(layer, cell):
    """Random states as a layer takes them: a tuple, or h alone."""
    shape = (layer.num_layers * (1 + layer.bidirectional), SIZE.B)
    widths = [layer.proj_size or SIZE.H, *[SIZE.H] * (len(cell.states) - 1)]
    hx = tuple(torch.randn(*shape, width, dtype=torch.float64) for width in widths)
    return hx if len(hx) > 1 else hx[0]


@pytest.mark.grid(cell=CELLS, options=OPTIONS)
def test_a_layer_is_a_run_of_scan(cell, options):
    found = ALL[cell]
    layer = carrousel.Recurrent(found, SIZE.I, SIZE.H, **options).double()
    x, hx = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64), make_hx(layer, found)
    y, states = layer(x, hx)
    got = results(layer, [y, *as_tuple(states)])
    y, states = by_scan(layer, found, x, as_tuple(hx))
    assert_equal_to_1e10(got, results(layer, [y, *states]))


@pytest.mark.grid(cell=[name for name in CELLS if not reads_h(ALL[name])], options=OPTIONS)
def test_a_projected_layer_is_a_run_of_scan(cell, options):
    found = ALL[cell]
    layer = carrousel.Recurrent(found, SIZE.I, SIZE.H, proj_size=2, **options).double()
    x, hx = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64), make_hx(layer, found)
    y, states = layer(x, hx)
    got = results(layer, [y, *as_tuple(states)])
    y, states = by_scan(layer, found, x, as_tuple(hx))
    assert_equal_to_1e10(got, results(layer, [y, *states]))


@pytest.mark.grid(cell=CELLS, proj_size=[0, 2], form=["batched", "packed"])
def test_a_type_without_kernels(cell, proj_size, form):
    """bfloat16 takes another path, with all options too; its numbers are right to its own seven bits."""
    found = ALL[cell]
    proj_size = 0 if reads_h(found) else proj_size
    layer = carrousel.Recurrent(found, SIZE.I, SIZE.H, proj_size=proj_size, bidirectional=True).bfloat16()
    packed = pack_sequence([torch.randn(n, SIZE.I).bfloat16() for n in (5, 3, 3, 1)])
    x = packed if form == "packed" else torch.randn(SIZE.T, SIZE.B, SIZE.I).bfloat16()
    got = [layer(x)[0], copy.deepcopy(layer).double()(x.to(torch.float64))[0]]
    y, exact = (y.data if form == "packed" else y for y in got)
    assert y.dtype == torch.bfloat16
    assert (y.double() - exact).abs().max() <= 16 * torch.finfo(torch.bfloat16).eps * exact.abs().max()


@pytest.mark.grid(cell=CELLS, options=OPTIONS)
def test_packed_rows_are_a_run_of_scan(cell, options):
    found = ALL[cell]
    layer = carrousel.Recurrent(found, SIZE.I, SIZE.H, **options).double()
    packed = pack_sequence([torch.randn(n, SIZE.I, dtype=torch.float64) for n in (5, 3, 3, 1)])
    hx = make_hx(layer, found)
    y, states = layer(packed, hx)
    got = results(layer, [y.data, *as_tuple(states)])
    y, states = by_scan(layer, found, packed.data, as_tuple(hx), packed.batch_sizes)
    assert_equal_to_1e10(got, results(layer, [y, *states]))


@pytest.mark.grid(cell=CELLS, options=OPTIONS)
def test_states_left_out_are_zeros(cell, options):
    found = ALL[cell]
    layer = carrousel.Recurrent(found, SIZE.I, SIZE.H, **options)
    x, hx = torch.randn(SIZE.T, SIZE.B, SIZE.I), make_hx(layer, found)
    zeros = tuple(torch.zeros_like(h).float() for h in as_tuple(hx))
    assert torch.equal(layer(x)[0], layer(x, zeros if len(zeros) > 1 else zeros[0])[0])


@pytest.mark.parametrize("cell", CLASSES)
def test_the_named_classes_are_their_cells(cell):
    named = getattr(carrousel, CLASSES[cell])(SIZE.I, SIZE.H, num_layers=2, bidirectional=True)
    layer = carrousel.Recurrent(ALL[cell], SIZE.I, SIZE.H, num_layers=2, bidirectional=True)
    layer.load_state_dict(named.state_dict(), strict=True)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I)
    assert torch.equal(named(x)[0], layer(x)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_every_weight_matters(cell):
    """Each parameter has a gradient that is not zero, and each state a say in the output."""
    found = ALL[cell]
    layer = carrousel.Recurrent(found, SIZE.I, SIZE.H, num_layers=2, bidirectional=True).double()
    hx = [h.requires_grad_() for h in as_tuple(make_hx(layer, found))]
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64, requires_grad=True)
    layer(x, tuple(hx) if len(hx) > 1 else hx[0])[0].square().sum().backward()
    for name, tensor in {"x": x, **dict(zip(found.states, hx)), **dict(layer.named_parameters())}.items():
        assert tensor.grad.any(), f"{name} has no gradient"


@pytest.mark.parametrize("cell", CELLS)
def test_copies_of_a_layer_of_any_cell(cell):
    layer = carrousel.Recurrent(ALL[cell], SIZE.I, SIZE.H, num_layers=2)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I)
    for twin in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x)[0], layer(x)[0])


def coupled_step(rows, states):
    """A cell that does not ship: forget is one minus input."""
    i, g, o = (sigmoid(rows[0]), tanh(rows[1]), sigmoid(rows[2]))
    _, c = states
    c = c + i * (g - c)
    return o * tanh(c), c


@pytest.mark.parametrize("name", ["coupled", "lstm1997"])
def test_a_cell_of_ones_own(name):
    """Runs by scan; also where it is named as one that ships, whose kernel would be another cell's."""
    own = Cell(name, rows="igo", from_x="igo", from_h="igo", states="hc", step=coupled_step)
    layer = carrousel.Recurrent(own, SIZE.I, SIZE.H, num_layers=2, bidirectional=True).double()
    x, hx = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64), make_hx(layer, own)
    y, states = layer(x, hx)
    got = results(layer, [y, *states])
    y, states = by_scan(layer, own, x, hx)
    assert_equal_to_1e10(got, results(layer, [y, *states]))


def test_a_cell_with_no_h_in_its_rows():
    """from_h empty: nothing is fed back through R, which has no rows."""
    own = Cell(
        "leak", rows="a", from_x="a", from_h="", states="h", step=lambda rows, states: (states[0] * 0.5 + rows[0],)
    )
    layer = carrousel.Recurrent(own, SIZE.I, SIZE.H).double()
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64)
    assert [name for name, _ in layer.named_parameters()] == ["weight_ih_l0", "bias_ih_l0"]
    y, h = layer(x)
    expected = torch.zeros(SIZE.B, SIZE.H, dtype=torch.float64)
    for step in x:
        bias = layer.bias_ih_l0 if layer.bias else 0
        expected = 0.5 * expected + step @ layer.weight_ih_l0.T + bias
    assert_equal_to_1e10({"y": y[-1].detach(), "h": h[0].detach()}, {"y": expected.detach(), "h": expected.detach()})


def test_a_projected_elman_cell_in_bfloat16_is_not_torchs():
    """torch's own RNN knows no projection: scan computes what it would refuse."""
    layer = carrousel.Recurrent(ALL["rnn_tanh"], 3, 6, proj_size=2).bfloat16()
    y, h = layer(torch.ones(4, 2, 3, dtype=torch.bfloat16))
    assert y.shape == (4, 2, 2)
    assert h.shape == (1, 2, 2)


def test_a_cell_that_uses_h_is_not_projected():
    """With proj_size=1 its h would broadcast, and the numbers be wrong without a word."""
    with pytest.raises(ValueError, match=r"proj_size=1 .* gru"):
        carrousel.Recurrent(ALL["gru"], 3, 6, proj_size=1)
