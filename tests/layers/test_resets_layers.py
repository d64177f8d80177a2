"""Resets inside a sequence, in layers: the parts by hand, learned states, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    Sequence,
    make_sequence,
    parts_of,
    restored_name,
    with_resets,
)
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from twins import Size, assert_equal_to_1e10, scalar_of

import carrousel
from carrousel.fused import fused
from carrousel.scan import scan

SIZE = Size(T=6, B=4, I=3, H=7)


LAYERS = {
    "LSTM": lambda **o: carrousel.LSTM(3, 7, **o),
    "LSTM_projected": lambda **o: carrousel.LSTM(3, 7, proj_size=4, **o),
    "GRU": lambda **o: carrousel.GRU(3, 7, **o),
    "RNN": lambda **o: carrousel.RNN(3, 7, **o),
    "PeepholeLSTM": lambda **o: carrousel.PeepholeLSTM(3, 7, **o),
}
OPTIONS = {
    "plain": {},
    "two_layers": {"num_layers": 2},
    "both_directions": {"bidirectional": True},
    "batch_first_stacked_both": {"batch_first": True, "num_layers": 2, "bidirectional": True},
}


def states_for(layer, B=SIZE.B):
    return tuple(torch.randn(places, B, width, dtype=torch.float64) for places, width in layer._state_sizes)


def as_hx(states):
    return states if len(states) > 1 else states[0]


def as_tuple(hx):
    return hx if isinstance(hx, tuple) else (hx,)


def layer_by_hand(layer, x, hx, resets, initial):
    """What a layer is to return: one call for each part of each row [T, I], in float64."""
    ys, finals = [], []
    for b in range(x.shape[1]):
        parts, row = parts_of(resets[:, b]), []
        for k, (start, end) in enumerate(parts):
            first, last = k == 0 and not resets[0, b], k == len(parts) - 1
            before = [
                torch.stack([(h if (last if place % 2 and layer.bidirectional else first) else i)[place, b]
                             for place in range(len(h))]) for h, i in zip(hx, initial)
            ]  # fmt: skip
            row.append(layer(x[start:end, b], as_hx(tuple(before))))
        ys.append(torch.cat([y for y, _ in row]))
        ends = zip(as_tuple(row[0][1]), as_tuple(row[-1][1]))
        finals.append([
            torch.stack([(first if place % 2 and layer.bidirectional else last)[place] for place in range(len(last))])
            for first, last in ends
        ])  # fmt: skip
    return torch.stack(ys, dim=1), [torch.stack(s, dim=1) for s in zip(*finals)]


def outcome(layer, outputs, leaves):
    layer.zero_grad()
    for leaf in leaves:
        leaf.grad = None
    scalar_of(outputs).backward()
    named = {str(k): output.detach() for k, output in enumerate(outputs)}
    named |= {f"leaf {k}": leaf.grad for k, leaf in enumerate(leaves)}
    return named | {name: p.grad.clone() for name, p in layer.named_parameters()}


@pytest.mark.grid(kind=LAYERS, options=OPTIONS)
def test_a_layer_is_the_parts_by_hand(kind, options):
    layer = kind(**options).double()
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I, dtype=torch.float64, requires_grad=True)
    resets = torch.rand(SIZE.T, SIZE.B) < 0.4
    hx, initial = ([s.requires_grad_() for s in states_for(layer)] for _ in range(2))
    leaves = [x, *hx, *initial]
    given, flags = (x.transpose(0, 1), resets.T) if layer.batch_first else (x, resets)
    y, final = layer(given, as_hx(tuple(hx)), resets=flags, initial=as_hx(tuple(initial)))
    got = outcome(layer, [y.transpose(0, 1) if layer.batch_first else y, *as_tuple(final)], leaves)
    y, final = layer_by_hand(layer, x, hx, resets, initial)
    y = y + 0 * sum(s.sum() for s in (*hx, *initial))  # which all have a gradient, if of zeros
    assert_equal_to_1e10(got, outcome(layer, [y, *final], leaves))


def test_gradients_stop_at_a_reset():
    layer = carrousel.LSTM(3, 7, num_layers=2)
    x = torch.randn(6, 1, 3, requires_grad=True)
    resets = torch.zeros(6, 1, dtype=torch.bool)
    resets[4] = True
    layer(x, resets=resets)[0][4:].sum().backward()
    assert not x.grad[:4].any()
    assert x.grad[4:].all()


def test_a_learned_initial_state_learns_from_every_reset():
    """One state for all rows: its gradient is the sum over rows and resets, and over the start where hx is left out."""
    layer = carrousel.LSTM(3, 7).double()
    initial = [torch.randn(1, 1, 7, dtype=torch.float64, requires_grad=True) for _ in "hc"]
    x, resets = torch.randn(6, 4, 3, dtype=torch.float64), torch.rand(6, 4) < 0.4
    layer(x, resets=resets, initial=tuple(initial))[0].square().sum().backward()
    got = {name: state.grad for name, state in zip("hc", initial)}
    wide = [state.detach().expand(1, 4, 7).clone().requires_grad_() for state in initial]
    y, _ = layer_by_hand(layer, x, wide, resets, wide)
    y.square().sum().backward()
    assert_equal_to_1e10(got, {name: state.grad.sum(1, keepdim=True) for name, state in zip("hc", wide)})


def test_initial_alone_is_hx():
    layer = carrousel.GRU(3, 7, bidirectional=True)
    x, initial = torch.randn(6, 4, 3), torch.randn(2, 1, 7)
    assert torch.equal(layer(x, initial=initial)[0], layer(x, initial.expand(2, 4, 7).contiguous())[0])


@pytest.mark.parametrize("batch_first", [False, True])
def test_without_a_batch(batch_first):
    layer = carrousel.LSTM(3, 7, bidirectional=True, batch_first=batch_first).double()
    x, resets = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 1, 0, 1, 0], dtype=torch.bool)
    initial = tuple(torch.randn(2, 7, dtype=torch.float64) for _ in "hc")
    batch = 0 if batch_first else 1
    y, (h, c) = layer(x, resets=resets, initial=initial)
    wide = tuple(state.unsqueeze(1) for state in initial)
    expected = layer(x.unsqueeze(batch), resets=resets.unsqueeze(batch), initial=wide)
    assert torch.equal(y, expected[0].squeeze(batch))
    assert torch.equal(h, expected[1][0][:, 0])
    assert torch.equal(c, expected[1][1][:, 0])


@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_sequences(batch_first):
    """The resets of a PackedSequence are those of its padded form, in the caller's order of rows."""
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True, batch_first=batch_first).double()
    x, resets = torch.randn(6, 4, 3, dtype=torch.float64), torch.rand(6, 4) < 0.4
    lengths, initial = [3, 6, 1, 5], tuple(states_for(layer))
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    y, (h, c) = layer(packed, resets=resets.T if batch_first else resets, initial=initial)
    y, _ = pad_packed_sequence(y)
    for b, n in enumerate(lengths):
        alone = [s[:, b : b + 1] for s in initial]
        row = x[:n, b : b + 1].transpose(0, 1) if batch_first else x[:n, b : b + 1]
        flags = resets[:n, b : b + 1].T if batch_first else resets[:n, b : b + 1]
        expected, (h_row, c_row) = layer(row, resets=flags, initial=tuple(alone))
        expected = expected.transpose(0, 1) if batch_first else expected
        got = {"y": y[:n, b], "h": h[:, b], "c": c[:, b]}
        assert_equal_to_1e10(got, {"y": expected[:, 0], "h": h_row[:, 0], "c": c_row[:, 0]})


def test_dropout_with_batch_first():
    """Masks are drawn as without resets: with none set, the same outputs are dropped."""
    layer = carrousel.LSTM(3, 7, num_layers=2, dropout=0.5, batch_first=True)
    x, resets = torch.randn(4, 6, 3), torch.zeros(4, 6, dtype=torch.bool)
    ys = []
    for flags in (None, resets):
        torch.manual_seed(5)
        ys.append(layer(x, resets=flags)[0])
    assert torch.equal(*ys)


def test_a_type_without_kernels():
    layer, resets = carrousel.LSTM(3, 7).bfloat16(), torch.rand(6, 4) < 0.4
    x = torch.randn(6, 4, 3).bfloat16()
    exact = carrousel.LSTM(3, 7).double()
    exact.load_state_dict(layer.state_dict())
    y, expected = layer(x, resets=resets)[0], exact(x.double(), resets=resets)[0]
    assert y.dtype == torch.bfloat16
    assert (y.double() - expected).abs().max() < 0.1


def test_a_compiled_layer():
    torch.compiler.reset()
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True)
    x, resets = torch.randn(6, 4, 3), torch.rand(6, 4) < 0.4
    initial = tuple(torch.randn(4, 1, 7) for _ in "hc")
    expected = layer(x, resets=resets, initial=initial)[0]
    compiled_layer = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled_layer(x, resets=resets, initial=initial)[0], expected)


def test_resets_changed_before_backward_are_noticed():
    """A buffer of flags that is filled anew would give the gradient of another sequence."""
    layer, resets = carrousel.LSTM(3, 7), torch.zeros(6, 4, dtype=torch.bool)
    y, _ = layer(torch.randn(6, 4, 3), resets=resets)
    resets.fill_(True)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


# ---- what is refused ------------------------------------------------------------------------------------------------


@given(
    shape=st.lists(st.integers(0, 6), max_size=3),
    dtype=st.sampled_from([torch.bool, torch.bool, torch.uint8, torch.int64, torch.float32]),
    state=st.lists(st.sampled_from([0, 1, 2, 4, 7]), max_size=4),
    given=st.sampled_from(["hx", "initial"]),
)
def test_any_resets_and_states_run_or_are_refused(shape, dtype, state, given):
    """And the layer is as it was."""
    layer, x = carrousel.LSTM(3, 7), torch.randn(5, 4, 3)
    before, expected = {name: w.clone() for name, w in layer.state_dict().items()}, layer(x)[0]
    resets, states = torch.zeros(shape).to(dtype), (torch.zeros(state), torch.zeros(state))
    fits = state == [1, 4, 7] or (given == "initial" and state == [1, 1, 7])
    if shape == [5, 4] and dtype == torch.bool and fits:
        assert torch.equal(layer(x, resets=resets, **{given: states})[0], expected)
    else:
        words = "resets|initial|hidden|hx|[Ii]nput"
        with pytest.raises((TypeError, ValueError, RuntimeError), match=words):
            layer(x, resets=resets, **{given: states})
    assert all(torch.equal(before[name], w) for name, w in layer.state_dict().items())
    assert torch.equal(layer(x)[0], expected)


BAD = {
    "floats": ({"resets": torch.zeros(6, 4)}, TypeError, "resets must be .* torch.float32"),
    "a list": ({"resets": [[True]]}, TypeError, "resets must be .* list"),
    "other order": ({"resets": torch.zeros(4, 6, dtype=torch.bool)}, ValueError, r"resets .*\[4, 6\].*\[6, 4\]"),
    "no batch": ({"resets": torch.zeros(6, dtype=torch.bool)}, ValueError, r"resets .*\[6\].*\[6, 4\]"),
    "one state": ({"initial": torch.zeros(1, 4, 7)}, ValueError, "initial has 1 states, the cell lstm has 2"),
    "wrong rows": ({"initial": (torch.zeros(1, 3, 7),) * 2}, ValueError, r"initial h .*\[1, 3, 7\].*\[1, 4, 7\]"),
    "wrong width": ({"initial": (torch.zeros(1, 4, 7), torch.zeros(1, 4, 8))}, ValueError, r"initial c .*\[1, 4, 8\]"),
    "no tensor": ({"initial": (torch.zeros(1, 4, 7), 0)}, ValueError, "initial c has shape int"),
    "doubles": ({"initial": (torch.zeros(1, 4, 7).double(),) * 2}, ValueError, "initial h has dtype torch.float64"),
}


@pytest.mark.parametrize(("options", "error", "words"), BAD.values(), ids=list(BAD))
def test_bad_arguments_are_named(options, error, words):
    layer = carrousel.LSTM(3, 7)
    x = torch.randn(6, 4, 3)
    expected = layer(x)[0]
    with pytest.raises(error, match=words):
        layer(x, **options)
    assert torch.equal(layer(x)[0], expected)


@pytest.mark.parametrize("function", [scan, fused])
def test_kernels_and_scan_refuse_alike(function):
    sequence = with_resets(make_sequence("lstm", SIZE))
    for name, wrong, words in [
        ("resets", sequence.options["resets"][:-1], r"resets has shape \[5, 4\]"),
        ("resets", sequence.options["resets"].int(), "torch.int32"),
    ]:
        other = Sequence(sequence.cell, sequence.tensors, sequence.options | {name: wrong})
        with pytest.raises((TypeError, ValueError), match=words):
            other.call(function)
    with pytest.raises(ValueError, match="restored c"):
        sequence.call(function, **{restored_name("c"): sequence.tensors["c"][:-1]})
