"""Rows of different lengths without packing: each row is what it is alone, padding is neither read nor counted."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    CELLS,
    RAGGED,
    SIZES,
    Shape,
    assert_same_bits,
    draws_of,
    make_ragged,
    reads_h,
    run,
    with_resets,
)
from test_compile import check_ops, compiled, needs_ops
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from twins import Size, assert_as_exact, assert_equal_to_1e10, scalar_of

import carrousel
from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.scan import scan

DTYPES = {"float32": torch.float32, "float64": torch.float64}
SIZE = Size(T=6, B=5, I=3, H=7)


def row_by_row(cell, x, states, weights, lengths=None, offsets=None, reverse=False, batch_first=False):
    """What a ragged scan is to return, from a scan of each row alone; zeros where there is no step."""
    lengths = offsets.diff() if lengths is None else lengths
    P = states[0].shape[1]
    ys, finals = [], []
    for b, n in enumerate(lengths.tolist()):
        whole = (x[b] if batch_first else x[:, b]) if offsets is None else x[int(offsets[b]) :]
        row = whole[:n, None]
        before = tuple(s[b : b + 1] for s in states)
        y, final = scan(cell, row, before, weights, reverse=reverse) if n else (row.new_zeros(0, 1, P), before)
        ys.append(y[:, 0])
        finals.append(final)
    states = tuple(torch.cat(s) for s in zip(*finals))
    if offsets is not None:
        return torch.cat(ys), states
    T = x.shape[1 if batch_first else 0]
    y = torch.stack([torch.cat([y, y.new_zeros(T - len(y), P)]) for y in ys], 0 if batch_first else 1)
    return y, states


@pytest.mark.grid(cell=CELLS, way=list(RAGGED), lengths=[[3, 6, 0, 1, 6], [6, 6, 6, 6, 6], [0, 0, 2, 0, 0]])
def test_scan_is_each_row_alone(cell, way, lengths):
    sequence = make_ragged(cell, SIZE, way, lengths=lengths)
    assert_equal_to_1e10(run(scan, sequence, torch.float64), run(row_by_row, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(RAGGED), bias=[True, False])
def test_kernels_equal_scan(cell, size, way, bias):
    sequence = make_ragged(cell, size, way, Shape(bias))
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(RAGGED))
def test_kernels_round_like_scan(cell, size, way):
    assert_as_exact(draws_of(lambda: make_ragged(cell, size, way)))


@pytest.mark.grid(cell=[name for name in CELLS if not reads_h(ALL[name])], way=list(RAGGED), resets=[True, False])
def test_projected(cell, way, resets):
    sequence = make_ragged(cell, Size(T=7, B=5, I=4, H=19), way, Shape(projected=True))
    sequence = with_resets(sequence) if resets else sequence
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@given(
    cell=st.sampled_from(CELLS),
    size=st.builds(Size, T=st.integers(1, 40), B=st.integers(1, 15), I=st.integers(1, 70), H=st.integers(1, 70)),
    way=st.sampled_from(list(RAGGED)),
    resets=st.booleans(),
    data=st.data(),
    seed=st.integers(0, 1000),
)
def test_any_lengths_equal_scan(cell, size, way, resets, data, seed):
    torch.manual_seed(seed)
    lengths = data.draw(st.lists(st.integers(0, size.T), min_size=size.B, max_size=size.B))
    sequence = make_ragged(cell, size, way, lengths=lengths)
    sequence = with_resets(sequence) if resets else sequence
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


# Sizes that are dealt to threads by rows and by units, and one of many chunks in backward.
BUSY = {
    "by_rows": Size(T=40, B=13, I=20, H=65),
    "by_units": Size(T=6, B=3, I=70, H=330),
    "chunks": Size(T=300, B=20, I=5, H=16),
}


@pytest.mark.grid(cell=CELLS, size=BUSY, way=list(RAGGED), dtype=DTYPES, resets=[True, False])
def test_any_number_of_threads(cell, size, way, dtype, resets):
    sequence = make_ragged(cell, size, way)
    sequence = with_resets(sequence) if resets else sequence
    alone = run(fused, sequence, dtype)
    torch.set_num_threads(3)
    assert_same_bits(run(fused, sequence, dtype), alone)


@pytest.mark.parametrize("cell", CELLS)
def test_long_sums(cell):
    """The gradients of the weights, summed over chunks of few and of many steps."""
    assert_as_exact(draws_of(lambda: make_ragged(cell, BUSY["chunks"])))


@pytest.mark.grid(cell=CELLS, dtype=DTYPES, way=["plain", "reverse"])
def test_full_rows_change_no_bit_of_the_outputs(cell, dtype, way):
    sequence = make_ragged(
        cell, SIZE._replace(H=33), "lengths_reverse" if way == "reverse" else "lengths", lengths=[6] * 5
    )
    got, options = run(fused, sequence, dtype), sequence.options
    del options["lengths"]
    assert_same_bits(got, run(fused, sequence, dtype))


@pytest.mark.parametrize("way", list(RAGGED))
def test_padding_has_the_value_asked_for(way):
    sequence = make_ragged("lstm", SIZE, way, lengths=[3, 6, 0, 1, 5])
    y, _ = sequence.call(fused)
    filled, _ = sequence.call(partial(fused, padding_value=-7.5))
    assert torch.equal(filled == -7.5, y == 0)
    assert (y == 0).sum() == (0 if "offsets" in way else 15 * SIZE.H)
    expected, _ = sequence.call(partial(scan, padding_value=-7.5))
    assert_equal_to_1e10({"y": filled}, {"y": expected})


def arguments(sequence, function=fused):
    """A sequence as gradcheck wants it; NaN has no slope, so x is zero where it is padding."""
    sequence.tensors["x"] = sequence.tensors["x"].nan_to_num(0.0)
    names = list(sequence.requires_grad_().tensors)

    def outputs(*tensors):
        y, states = sequence.call(function, **dict(zip(names, tensors, strict=True)))
        return (y, *states)

    return outputs, tuple(sequence.tensors.values())


@pytest.mark.grid(cell=CELLS, way=list(RAGGED))
def test_gradients_are_the_slopes(cell, way):
    assert gradcheck(*arguments(make_ragged(cell, Size(T=3, B=3, I=2, H=3), way, lengths=[2, 0, 3])))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_second_derivatives_are_the_slopes_of_the_first(cell):
    assert gradgradcheck(*arguments(make_ragged(cell, Size(T=2, B=3, I=1, H=2), lengths=[1, 0, 2])))


def test_functional_transforms():
    outputs, tensors = arguments(make_ragged("lstm", SIZE, lengths=[3, 6, 0, 1, 5]))

    def loss(x):
        return outputs(x, *tensors[1:])[0].square().sum()

    (expected,) = torch.autograd.grad(loss(tensors[0]), tensors[0])
    x = tensors[0].detach()
    got = torch.func.vmap(torch.func.grad(loss))(torch.stack([x, 2 * x]))[0]
    assert_equal_to_1e10({"x": got}, {"x": expected})


@needs_ops
@pytest.mark.parametrize("way", ["lengths", pytest.param("offsets_reverse", marks=pytest.mark.full)])
def test_opcheck(way):
    torch.compiler.reset()
    sequence = with_resets(make_ragged("lstm", SIZE, way))
    sequence.tensors["x"] = sequence.tensors["x"].nan_to_num(0.0)
    check_ops(sequence)


@needs_ops
@pytest.mark.parametrize("way", ["lengths", "offsets"])
def test_compiled(way):
    torch.compiler.reset()
    sequence = make_ragged("lstm", SIZE, way)
    assert_equal_to_1e10(run(compiled(), sequence, torch.float64), run(fused, sequence, torch.float64))


# ---- layers ---------------------------------------------------------------------------------------------------------

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
