"""States and gates of every step, in layers; and how gates are found."""

from __future__ import annotations

import pytest
import torch
from custom_ops import needs_ops
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import carrousel
from carrousel.cells import Cell, sigmoid, tanh
from carrousel.scan.gates import gates_of


def test_fields_are_named_and_shaped_as_documented():
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True, proj_size=5)
    y, (h, c), inside = layer(torch.randn(6, 4, 3), return_states=True, return_gates=True)
    assert inside._fields == ("h", "c", "i", "f", "g", "o")
    for name, field in zip(inside._fields, inside):
        assert len(field) == 4
        assert all(tensor.shape == (6, 4, 5 if name == "h" else 7) for tensor in field)
    assert torch.equal(torch.cat(inside.h[2:], -1), y)
    for k in range(4):
        last = 0 if k % 2 else -1  # the second direction ends at the first step
        assert torch.equal(inside.h[k][last], h[k])
        assert torch.equal(inside.c[k][last], c[k])


def test_only_what_is_asked_for():
    layer, x = carrousel.GRU(3, 7), torch.randn(6, 4, 3)
    assert len(layer(x)) == 2
    assert layer(x, return_states=True)[2]._fields == ("h",)
    assert layer(x, return_gates=True)[2]._fields == ("r", "z", "n")
    assert carrousel.RNN(3, 7)(x, return_gates=True)[2]._fields == ()


@pytest.mark.parametrize("form", ["batch_first", "without a batch", "packed", "offsets"])
def test_forms_of_input(form):
    """Every form holds the numbers of the padded batch."""
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True, batch_first=form == "batch_first").double()
    x, lengths = torch.randn(4, 6, 3, dtype=torch.float64), torch.tensor([3, 6, 1, 5])
    there = torch.arange(6) < lengths[:, None]
    padded = x if form == "batch_first" else x.transpose(0, 1)
    ask = {"return_states": True, "return_gates": True}
    whole = layer(padded, lengths=lengths, **ask)[2]
    by_row = [[t if form == "batch_first" else t.transpose(0, 1) for t in field] for field in whole]
    if form == "packed":
        packed = pack_padded_sequence(padded, lengths, enforce_sorted=False)
        inside = layer(packed, **ask)[2]
        assert isinstance(inside.c[0], PackedSequence)
        got = [[pad_packed_sequence(t, batch_first=True)[0] for t in field] for field in inside]
        expected = by_row
    elif form == "offsets":
        got = layer(x[there], offsets=[0, 3, 9, 10, 15], **ask)[2]
        expected = [[t[there] for t in field] for field in by_row]
    elif form == "without a batch":
        got = layer(x[1], **ask)[2]
        expected = [[t[1] for t in field] for field in by_row]
    else:
        got = [[torch.stack([layer(x[b : b + 1, :n], **ask)[2][f][k][0, 0] for b, n in enumerate(lengths)])
                for k in range(4)] for f in range(len(whole))]  # fmt: skip
        expected = [[t[:, 0] for t in field] for field in by_row]
    for ours, theirs in zip(got, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_a_loss_on_gates_alone_reaches_every_weight_below():
    layer = carrousel.LSTM(3, 7, num_layers=2)
    inside = layer(torch.randn(6, 4, 3), return_gates=True)[2]
    inside.f[1].square().mean().backward()
    assert all(p.grad.any() for name, p in layer.named_parameters())


def test_dropout_with_batch_first():
    layer = carrousel.LSTM(3, 7, num_layers=2, dropout=0.5, batch_first=True)
    x = torch.randn(4, 6, 3)
    torch.manual_seed(5)
    y, _, inside = layer(x, return_states=True)
    torch.manual_seed(5)
    assert torch.equal(layer(x)[0], y)
    assert torch.equal(inside.h[1], y)
    assert inside.c[0].shape == (4, 6, 7)


def test_a_change_in_place_is_noticed():
    layer = carrousel.LSTM(3, 7)
    y, _, inside = layer(torch.randn(6, 4, 3), return_gates=True)
    inside.i[0].data_ptr()
    with torch.no_grad():
        inside.i[0].zero_()
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


def test_a_type_without_kernels():
    layer, x = carrousel.LSTM(3, 7).bfloat16(), torch.randn(6, 4, 3).bfloat16()
    exact = carrousel.LSTM(3, 7).double()
    exact.load_state_dict(layer.state_dict())
    inside, expected = (m(v, return_states=True)[2] for m, v in ((layer, x), (exact, x.double())))
    assert inside.c[0].dtype == torch.bfloat16
    assert (inside.c[0].double() - expected.c[0]).abs().max() < 0.1


@pytest.mark.parametrize("name", ["return_states", "return_gates"])
@pytest.mark.parametrize("value", ["yes", 1, 0, None, [True], torch.tensor(True)])
def test_what_is_neither_true_nor_false(name, value):
    with pytest.raises(TypeError, match=f"{name}=.* must be True or False"):
        carrousel.LSTM(3, 7)(torch.randn(6, 4, 3), **{name: value})


@needs_ops
def test_a_compiled_layer():
    torch.compiler.reset()
    layer, x = carrousel.GRU(3, 7, num_layers=2, bidirectional=True), torch.randn(6, 4, 3)
    expected = layer(x, return_states=True, return_gates=True)[2]
    got = torch.compile(layer, fullgraph=True, backend="aot_eager")(x, return_states=True, return_gates=True)[2]
    for ours, theirs in zip(got, expected, strict=True):
        assert all(map(torch.equal, ours, theirs))


# ---- how gates are found --------------------------------------------------------------------------------------------


def test_a_cell_of_ones_own():
    """What a row goes into: arithmetic before its function; a state's function, and a second one, are no gates."""

    def step(rows, states):
        s, a, b = rows
        h, s_old = states
        s_new = s_old + s  # a state with a row in it, whose function is not the row's
        gate = sigmoid(2 * a - 1) * tanh(b) + sigmoid(b)
        return gate * tanh(s_new) + 0 * h, s_new

    cell = Cell("own", rows="sab", from_x="abs", from_h="ab", states=("h", "s"), step=step)
    assert tuple(gates_of(cell)) == ("a", "b")
    *_, inside = carrousel.Recurrent(cell, 3, 7)(torch.randn(6, 4, 3), return_states=True, return_gates=True)
    assert inside._fields == ("h", "s", "a", "b")
    assert ((inside.a[0] > 0) & (inside.a[0] < 1)).all()
    assert inside.b[0].min() < 0  # tanh, not sigmoid
