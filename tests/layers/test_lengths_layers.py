"""Rows of different lengths, in layers: torch's on packed data, rows without steps, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from custom_ops import needs_ops
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    make_ragged,
)
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence
from twins import Size, assert_equal_to_1e10, scalar_of

import carrousel
from carrousel.fused import fused
from carrousel.scan import scan

SIZE = Size(T=6, B=5, I=3, H=7)


OPTIONS = {
    "plain": {},
    "two_layers": {"num_layers": 2},
    "both_directions": {"bidirectional": True},
    "projected": {"proj_size": 4},
    "batch_first_stacked_both": {"batch_first": True, "num_layers": 2, "bidirectional": True},
}
ORDERS = {"any_order": [3, 1, 6, 2, 5], "sorted": [6, 5, 3, 2, 1], "equal": [4, 4, 4, 4, 4]}


def states_for(layer, B=SIZE.B):
    return tuple(torch.randn(places, B, width, dtype=torch.float64) for places, width in layer._state_sizes)


def outcome(layer, x, outputs):
    layer.zero_grad()
    x.grad = None
    scalar_of(outputs).backward()
    named = {str(k): output.detach() for k, output in enumerate(outputs)}
    return named | {"x": x.grad} | {name: p.grad.clone() for name, p in layer.named_parameters()}


@pytest.mark.grid(options=OPTIONS, lengths=ORDERS)
def test_a_layer_is_torchs_on_packed_data(options, lengths):
    """The oracle is torch.nn.LSTM on a PackedSequence, padded again."""
    layer, theirs = carrousel.LSTM(3, 7, **options).double(), torch.nn.LSTM(3, 7, **options).double()
    theirs.load_state_dict(layer.state_dict())
    x = torch.randn(*((5, 6) if layer.batch_first else (6, 5)), 3, dtype=torch.float64, requires_grad=True)
    hx = states_for(layer)
    y, states = layer(x, hx, lengths=lengths)
    got = outcome(layer, x, [y, *states])
    packed = pack_padded_sequence(x, torch.tensor(lengths), layer.batch_first, enforce_sorted=False)
    y, states = theirs(packed, hx)
    y, _ = pad_packed_sequence(y, layer.batch_first, total_length=6)
    assert_equal_to_1e10(got, outcome(theirs, x, [y, *states]))


@pytest.mark.parametrize("batch_first", [False, True])
def test_offsets_are_lengths_laid_end_to_end(batch_first):
    layer = carrousel.GRU(3, 7, num_layers=2, bidirectional=True, batch_first=batch_first).double()
    lengths, x = [3, 0, 6, 1], torch.randn(4, 6, 3, dtype=torch.float64)
    resets = torch.rand(4, 6) < 0.4
    there = torch.arange(6) < torch.tensor(lengths)[:, None]
    flat, h = layer(x[there], offsets=[0, 3, 3, 9, 10], resets=resets[there])
    given, flags = (x, resets) if batch_first else (x.transpose(0, 1), resets.T)
    padded, expected = layer(given, lengths=lengths, resets=flags)
    padded = padded if batch_first else padded.transpose(0, 1)
    assert_equal_to_1e10({"y": flat, "h": h}, {"y": padded[there], "h": expected})


@pytest.mark.parametrize("hx", ["given", "left out"])
def test_a_row_without_steps_keeps_its_state(hx):
    layer = carrousel.LSTM(3, 7, num_layers=2).double()
    states = tuple(s.requires_grad_() for s in states_for(layer)) if hx == "given" else None
    y, final = layer(torch.randn(6, 5, 3, dtype=torch.float64), states, lengths=[6, 0, 2, 0, 4])
    assert not y[:, [1, 3]].any()
    for k, state in enumerate(final):
        expected = states[k] if states else torch.zeros_like(state)
        assert torch.equal(state[:, [1, 3]], expected[:, [1, 3]])
    if states:
        final[1][:, 1].sum().backward()
        assert torch.equal(states[1].grad[:, 1], torch.ones(2, 7, dtype=torch.float64))


def test_no_steps_at_all():
    layer, hx = carrousel.GRU(3, 7), torch.randn(1, 4, 7)
    y, h = layer(torch.randn(6, 4, 3), hx, lengths=[0, 0, 0, 0])
    assert not y.any()
    assert torch.equal(h, hx)
    y, h = layer(torch.randn(0, 3), hx, offsets=[0, 0, 0, 0, 0])
    assert y.shape == (0, 7)
    assert torch.equal(h, hx)


def test_padding_value_of_a_stack():
    """It is in the last layer's output alone: what stands between two layers is nobody's business."""
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True, dropout=0.5)
    x, lengths = torch.randn(6, 4, 3), torch.tensor([2, 6, 0, 3])
    there = torch.arange(6)[:, None] < lengths
    torch.manual_seed(1)
    y, _ = layer(x.masked_fill(~there[..., None], float("nan")), lengths=lengths, padding_value=float("-inf"))
    torch.manual_seed(1)
    expected, _ = layer(x, lengths=lengths)
    assert torch.equal(y[there], expected[there])
    assert (y[~there] == float("-inf")).all()


def test_padding_with_nan_marks_what_is_not_there():
    """And no gradient sees it."""
    layer, x, lengths = carrousel.LSTM(3, 7), torch.randn(6, 4, 3), torch.tensor([2, 6, 0, 3])
    there = torch.arange(6)[:, None] < lengths
    y, _ = layer(x, lengths=lengths, padding_value=math.nan)
    assert torch.equal(~y.isnan().any(-1), there)
    y.nansum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.uint8, list, tuple])
def test_lengths_of_any_kind(kind):
    layer, x, lengths = carrousel.LSTM(3, 7), torch.randn(6, 4, 3), [2, 6, 0, 3]
    given = torch.tensor(lengths, dtype=kind) if isinstance(kind, torch.dtype) else kind(lengths)
    assert torch.equal(layer(x, lengths=given)[0], layer(x, lengths=torch.tensor(lengths))[0])


def test_a_type_without_kernels():
    layer, x, lengths = carrousel.LSTM(3, 7).bfloat16(), torch.randn(6, 4, 3).bfloat16(), [2, 6, 0, 3]
    exact = carrousel.LSTM(3, 7).double()
    exact.load_state_dict(layer.state_dict())
    y, expected = layer(x, lengths=lengths)[0], exact(x.double(), lengths=lengths)[0]
    assert y.dtype == torch.bfloat16
    assert (y.double() - expected).abs().max() < 0.1


@needs_ops
def test_a_compiled_layer():
    torch.compiler.reset()
    layer = carrousel.LSTM(3, 7, num_layers=2, bidirectional=True)
    x, lengths = torch.randn(6, 4, 3), torch.tensor([2, 6, 0, 3])
    expected = layer(x, lengths=lengths)[0]
    compiled_layer = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled_layer(x, lengths=lengths)[0], expected)
    with pytest.raises(ValueError, match=r"lengths\[1\]=7"):
        compiled_layer(x, lengths=torch.tensor([2, 7, 0, 3]))


# ---- what is refused ------------------------------------------------------------------------------------------------

BAD = {
    "negative": ({"lengths": [2, -1, 0, 3]}, ValueError, r"lengths\[1\]=-1 is not among 0 .. 6"),
    "too long": ({"lengths": [2, 6, 7, 3]}, ValueError, r"lengths\[2\]=7 is not among 0 .. 6"),
    "floats": ({"lengths": torch.tensor([2.0, 6, 1, 3])}, TypeError, "lengths must be integers, got torch.float32"),
    "bool": ({"lengths": torch.ones(4, dtype=torch.bool)}, TypeError, "lengths must be integers, got torch.bool"),
    "too few": ({"lengths": [2, 6, 3]}, ValueError, "lengths has 3 numbers for a batch of 4 rows"),
    "too many": ({"lengths": [2, 6, 3, 1, 1]}, ValueError, "lengths has 5 numbers for a batch of 4 rows"),
    "none": ({"lengths": []}, ValueError, "lengths has 0 numbers for a batch of 4 rows"),
    "a table": ({"lengths": torch.ones(4, 1, dtype=torch.int64)}, ValueError, r"lengths .*shape \[4, 1\]"),
    "offsets of 3-D": ({"offsets": [0, 6]}, ValueError, "x has 3 dimensions, expected 2 with offsets"),
    "a word": ({"lengths": "abc"}, TypeError, "lengths must be integers, got 'abc'"),
    "nothing": ({"lengths": [None] * 4}, TypeError, "lengths must be integers"),
    "huge": ({"lengths": [2**70, 1, 1, 1]}, TypeError, "lengths must be integers"),
    "padding": ({"lengths": [1] * 4, "padding_value": "a"}, TypeError, "padding_value='a' must be a number"),
    "padding alone": ({"padding_value": -1.0}, ValueError, "padding_value=-1.0 is given without lengths: no row ends"),
    "NaN alone": ({"padding_value": math.nan}, ValueError, "padding_value=nan is given without lengths"),
    "a word alone": ({"padding_value": "a"}, TypeError, "padding_value='a' must be a number"),
    "both": ({"lengths": [1] * 4, "offsets": [0, 6]}, ValueError, "lengths and offsets"),
    "resets": ({"lengths": [1] * 4, "resets": torch.ones(6, dtype=torch.bool)}, ValueError, r"resets .*\[6, 4\]"),
}
BAD_OFFSETS = {
    "falling": ([0, 4, 3, 6], r"offsets\[2\]=3 is less than offsets\[1\]=4"),
    "late start": ([1, 6], "run 1 .. 6"),
    "early end": ([0, 5], "run 0 .. 5"),
    "empty": ([], "run nothing"),
}


@pytest.mark.parametrize(("options", "error", "words"), BAD.values(), ids=list(BAD))
def test_bad_arguments_are_named(options, error, words):
    layer, x = carrousel.LSTM(3, 7), torch.randn(6, 4, 3)
    expected = layer(x)[0]
    with pytest.raises(error, match=words):
        layer(x, **options)
    assert torch.equal(layer(x)[0], expected)


@pytest.mark.parametrize(("offsets", "words"), BAD_OFFSETS.values(), ids=list(BAD_OFFSETS))
def test_bad_offsets_are_named(offsets, words):
    with pytest.raises(ValueError, match=words):
        carrousel.LSTM(3, 7)(torch.randn(6, 3), offsets=offsets)


def test_padding_of_what_has_none():
    """Rows laid end to end, packed, or alone end where they end; 0, the default, may always be said."""
    layer, x = carrousel.GRU(3, 7), torch.randn(6, 3)
    forms = [(x, {"offsets": [0, 2, 6]}), (pack_sequence([x, x[:2]]), {}), (x, {})]
    for form, options in forms:
        with pytest.raises(ValueError, match=r"padding_value=9 is given without lengths"):
            layer(form, padding_value=9, **options)
        layer(form, padding_value=0, **options)


@given(lengths=st.lists(st.integers(-3, 9) | st.sampled_from([2**40, -(2**40)]), max_size=6))
def test_any_lengths_run_or_are_refused(lengths):
    layer, x = carrousel.LSTM(3, 7), torch.randn(6, 4, 3)
    if len(lengths) == 4 and all(0 <= n <= 6 for n in lengths):
        assert layer(x, lengths=lengths)[0].isfinite().all()
    else:
        with pytest.raises(ValueError, match="lengths"):
            layer(x, lengths=lengths)


@given(offsets=st.lists(st.integers(-3, 9) | st.sampled_from([2**40, -(2**40)]), max_size=6))
def test_any_offsets_run_or_are_refused(offsets):
    layer, x = carrousel.GRU(3, 7), torch.randn(6, 3)
    if offsets[:1] == [0] and offsets[-1:] == [6] and offsets == sorted(offsets):
        assert layer(x, offsets=offsets)[0].isfinite().all()
    else:
        with pytest.raises(ValueError, match="offsets"):
            layer(x, offsets=offsets)


def test_lengths_where_they_say_nothing():
    layer = carrousel.LSTM(3, 7)
    packed = pack_padded_sequence(torch.randn(6, 2, 3), torch.tensor([6, 2]))
    with pytest.raises(ValueError, match="lengths is given with a PackedSequence"):
        layer(packed, lengths=[6, 2])
    with pytest.raises(ValueError, match="offsets is given with a PackedSequence"):
        layer(packed, offsets=[0, 8])
    with pytest.raises(ValueError, match="lengths is given with an input without a batch"):
        layer(torch.randn(6, 3), lengths=[6])


@pytest.mark.parametrize("function", [scan, fused])
def test_kernels_and_scan_refuse_alike(function):
    for lengths, words in [([2, 7, 0, 1, 1], r"lengths\[1\]=7"), ([2, 2], "lengths has 2 numbers")]:
        sequence = make_ragged("lstm", SIZE)
        sequence.options["lengths"] = torch.tensor(lengths)
        with pytest.raises(ValueError, match=words):
            sequence.call(function)
