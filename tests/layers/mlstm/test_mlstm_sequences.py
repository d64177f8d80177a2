"""MLSTM on ragged batches, with resets, in both directions, and what it shows: all as step by step, row by row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mlstm_forms import row_by_steps
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from twins import assert_equal_to_1e10, scalar_of

import carrousel

DOUBLE = torch.float64
ASK = {"return_states": True, "return_gates": True}


def make(**options):
    """A layer whose gates depend on the input too."""
    layer = carrousel.MLSTM(3, 4, **{"num_heads": 2, "chunk_size": 4, "dtype": DOUBLE} | options)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return layer


def states_for(layer, B):
    return [torch.randn(places, B, *rest, dtype=DOUBLE) for places, *rest in layer._state_sizes]


def by_rows(layer, rows, hx, resets, initial):
    """What a layer is to give for rows [T_b, I]: their y, the states after all of them, what is inside of each."""
    states = [[[state[:, b] for state in of] for of in (hx, initial)] for b in range(len(rows))]
    found = [row_by_steps(layer, x, h, flags, i) for x, flags, (h, i) in zip(rows, resets, states)]
    ys, finals, inside = zip(*found)
    return list(ys), [torch.stack(states, 1) for states in zip(*finals)], inside


def call(layer, form, rows, hx, resets, initial, **asked):
    """The same by the layer, in one of its forms: ys by row, states, and each field of what is inside, by row."""
    lengths = [len(row) for row in rows]
    options = asked | {"initial": tuple(initial)}
    if form == "offsets":
        offsets = [sum(lengths[:b]) for b in range(len(rows) + 1)]
        y, hx, *inside = layer(torch.cat(rows), tuple(hx), offsets=offsets, resets=torch.cat(resets), **options)
        return list(y.split(lengths)), hx, [[list(t.split(lengths)) for t in f] for i in inside for f in i]
    batch = 0 if layer.batch_first else 1
    x, flags = (
        torch.nn.utils.rnn.pad_sequence(seqs, layer.batch_first, padding_value=filler)
        for seqs, filler in ((rows, 0.0 if form == "packed" else 1e30), (resets, True))
    )
    if form == "packed":
        given = pack_padded_sequence(x, torch.tensor(lengths), layer.batch_first, enforce_sorted=False)
        y, hx, *inside = layer(given, tuple(hx), resets=flags, **options)
        assert isinstance(y, PackedSequence)
        unpacked = lambda t: pad_packed_sequence(t, layer.batch_first)[0]  # noqa: E731
    else:
        more = {} if form == "dense" else {"lengths": lengths, "padding_value": 7.0}
        y, hx, *inside = layer(x, tuple(hx), resets=flags, **more, **options)
        unpacked = lambda t: t  # noqa: E731

    def cut(t):
        of_rows = unpacked(t).unbind(batch)
        if form == "lengths":
            assert all((row[n:] == 7).all() for row, n in zip(of_rows, lengths))
        return [row[:n] for row, n in zip(of_rows, lengths)]

    return cut(y), hx, [[cut(t) for t in field] for i in inside for field in i]


def outcome(layer, ys, hx, inside, leaves):
    outputs = [*ys, *hx, *(t for field in inside for of_place in field for t in of_place)]
    layer.zero_grad()
    for leaf in leaves:
        leaf.grad = None
    scalar_of(outputs).backward()
    named = {str(k): output.detach() for k, output in enumerate(outputs)}
    zeros = {f"leaf {k}": torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for k, leaf in enumerate(leaves)}
    return named | zeros | {name: p.grad.clone() for name, p in layer.named_parameters()}


LENGTHS = {
    "dense": st.integers(1, 11).flatmap(lambda T: st.integers(1, 3).map(lambda B: [T] * B)),
    "packed": st.lists(st.integers(1, 11), min_size=1, max_size=4),
    "lengths": st.lists(st.integers(0, 11), min_size=1, max_size=4).filter(any),
    "offsets": st.lists(st.integers(0, 11), min_size=1, max_size=4).filter(any),
}


@settings(max_examples=12)
@given(data=st.data(), shows=st.booleans(), often=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
@pytest.mark.parametrize("form", list(LENGTHS))
def test_everything_at_once_is_step_by_step(form, data, shows, often):
    """Layers, directions, lengths, resets, states, chunks; values and gradients of all that comes out."""
    options = {"num_layers": st.integers(1, 2), "bidirectional": st.booleans(), "batch_first": st.booleans()}
    options |= {"chunk_size": st.sampled_from([1, 3, 4, 64]), "memory": st.sampled_from(["full", "low"])}
    layer = make(**data.draw(st.fixed_dictionaries(options)))
    lengths = data.draw(LENGTHS[form])
    rows = [torch.randn(n, 3, dtype=DOUBLE, requires_grad=True) for n in lengths]
    hx, initial = ([s.requires_grad_() for s in states_for(layer, len(rows))] for _ in range(2))
    resets = [torch.rand(n) < often for n in lengths]
    leaves = [*rows, *hx, *initial]
    got = outcome(layer, *call(layer, form, rows, hx, resets, initial, **(ASK if shows else {})), leaves)
    ys, finals, inside = by_rows(layer, rows, hx, resets, initial)
    names = "hCnmoif" if shows else ""
    fields = [[[row[k][name] for row in inside] for k in range(len(inside[0]))] for name in names]
    finals = [s + 0 * sum(other.sum() for other in (*hx, *initial, *rows)) for s in finals]
    assert_equal_to_1e10(got, outcome(layer, ys, finals, fields, leaves))


def test_fields_are_named_and_shaped_as_documented():
    layer = make(num_layers=2, bidirectional=True)
    y, hx, inside = layer(torch.randn(6, 5, 3, dtype=DOUBLE), **ASK)
    assert inside._fields == ("h", "C", "n", "m", "o", "i", "f")
    shapes = [(4,), (2, 2, 2), (2, 2), (2,), (4,), (2,), (2,)]
    for field, shape in zip(inside, shapes, strict=True):
        assert [t.shape for t in field] == [(6, 5, *shape)] * 4
    assert torch.equal(torch.cat(inside.h[2:], -1), y)
    for state, field in zip(hx, inside[1:4], strict=True):
        assert_equal_to_1e10(
            {str(k): state[k].detach() for k in range(4)},
            {str(k): field[k][0 if k % 2 else -1].detach() for k in range(4)},
        )
    assert layer(torch.randn(6, 3, dtype=DOUBLE), return_gates=True)[2]._fields == ("o", "i", "f")
    one = layer(torch.randn(6, 3, dtype=DOUBLE), **ASK)[2]
    assert one.C[0].shape == (6, 2, 2, 2)


@pytest.mark.parametrize("function", [gradcheck, gradgradcheck])
def test_gradients_through_ragged_rows_with_resets(function):
    layer = make(chunk_size=2, bidirectional=True)
    x, resets = torch.randn(5, 3, 3, dtype=DOUBLE, requires_grad=True), torch.rand(5, 3) < 0.3
    initial = [s.requires_grad_() for s in states_for(layer, 1)]
    names, leaves = zip(*layer.named_parameters())

    def outputs(x, *tensors):
        weights = dict(zip(names, tensors[3:], strict=True))
        options = {"lengths": [5, 2, 4], "resets": resets, "initial": tensors[:3], "return_gates": True}
        y, hx, inside = torch.func.functional_call(layer, weights, (x,), options)
        return (y, *hx, *(t for field in inside for t in field))

    assert function(outputs, (x, *initial, *leaves), fast_mode=True)


def test_gradients_stop_at_a_reset():
    layer = make(num_layers=2)
    x, resets = torch.randn(6, 1, 3, dtype=DOUBLE, requires_grad=True), torch.zeros(6, 1, dtype=torch.bool)
    resets[4] = True
    layer(x, resets=resets)[0][4:].sum().backward()
    assert not x.grad[:4].any()
    assert x.grad[4:].all()


def test_a_row_knows_nothing_of_what_is_not_its_own():
    """Nor of what is beyond its length: that may be anything."""
    layer = make(bidirectional=True, num_layers=2)
    x = torch.randn(9, 4, 3, dtype=DOUBLE)
    lengths = torch.tensor([0, 9, 3, 6])
    there = torch.arange(9)[:, None] < lengths
    expected, states = layer(x, lengths=lengths)
    y, hx = layer(x.masked_fill(~there[..., None], float("nan")), lengths=lengths, padding_value=-1)
    assert torch.equal(y[there], expected[there])
    assert (y[~there] == -1).all()
    assert all(map(torch.equal, hx, states))
    x[:, 3] = float("nan")
    assert torch.equal(layer(x, lengths=lengths)[0][:, :3], expected[:, :3])


def test_no_steps_at_all():
    layer, hx = make(bidirectional=True), None
    hx = tuple(states_for(layer, 3))
    y, last, inside = layer(torch.randn(6, 3, 3, dtype=DOUBLE), hx, lengths=[0, 0, 0], padding_value=2, **ASK)
    assert (y == 2).all()
    assert all(map(torch.equal, last, hx))
    assert (inside.C[1] == 2).all()
    y, last = layer(torch.randn(0, 3, dtype=DOUBLE), hx, offsets=[0, 0, 0, 0])
    assert y.shape == (0, 8)
    assert all(map(torch.equal, last, hx))


def test_a_state_that_is_left_out_is_what_is_restored():
    layer = make()
    x, resets, initial = torch.randn(7, 2, 3, dtype=DOUBLE), torch.rand(7, 2) < 0.4, tuple(states_for(layer, 1))
    wide = tuple(state.expand(-1, 2, *state.shape[2:]) for state in initial)
    expected = layer(x, wide, resets=resets, initial=wide)
    assert torch.equal(layer(x, resets=resets, initial=initial)[0], expected[0])
    empty = tuple(torch.zeros_like(state) for state in initial)
    assert_equal_to_1e10(
        {"y": layer(x, resets=resets)[0].detach()}, {"y": layer(x, resets=resets, initial=empty)[0].detach()}
    )


def test_compiles():
    layer = make(bidirectional=True, chunk_size=3).float()
    x, resets = torch.randn(5, 3, 3), torch.rand(5, 3) < 0.3
    initial = tuple(state.float() for state in states_for(layer, 1))
    whole = torch.compile(layer, fullgraph=True, backend="eager")
    options = {"resets": resets, "initial": initial, "return_gates": True}
    assert_alike(whole(x, **options), layer(x, **options))


def test_compiles_with_lengths():
    """The graph has all chunks that there may be: no number is known in it."""
    layer = make(bidirectional=True, chunk_size=3).float()
    x, resets = torch.randn(5, 3, 3), torch.rand(5, 3) < 0.3
    whole = torch.compile(layer, fullgraph=True, backend="eager")
    for lengths in (torch.tensor([5, 0, 4]), torch.tensor([2, 3, 1])):
        options = {"resets": resets, "lengths": lengths}
        assert_alike(whole(x, **options), layer(x, **options))
    with pytest.raises(RuntimeError, match=r"lengths are not all among 0 \.\. 5"):
        whole(x, resets=resets, lengths=torch.tensor([6, 1, 1]))


def assert_alike(got, expected):
    """y, hx and the fields of what is inside, in float32."""
    torch.testing.assert_close(got[0], expected[0])
    for ours, theirs in zip(got[1:], expected[1:], strict=True):
        torch.testing.assert_close(tuple(ours), tuple(theirs))


# ---- what is refused: words of all layers, names and shapes of this one


BAD = {
    "resets of floats": ({"resets": torch.zeros(6, 4)}, TypeError, "resets must be .* torch.float32"),
    "resets of other order": ({"resets": torch.zeros(4, 6, dtype=torch.bool)}, ValueError, r"resets .*\[6, 4\]"),
    "two initial": ({"initial": (torch.zeros(1),) * 2}, ValueError, "initial has 2 states, the cell mlstm has 3"),
    "initial": ({"initial": (torch.zeros(1),) * 3}, ValueError, r"initial C .*\[1\], expected \[1, 4, 2, 2, 2\]"),
    "padding": ({"lengths": [1] * 4, "padding_value": "a"}, TypeError, "padding_value='a' must be a number"),
    "both": ({"lengths": [1] * 4, "offsets": [0, 6]}, ValueError, "lengths and offsets"),
    "offsets of 3-D": ({"offsets": [0, 6]}, ValueError, "x has 3 dimensions, expected 2 with offsets"),
}


@pytest.mark.parametrize(("options", "error", "words"), BAD.values(), ids=list(BAD))
def test_bad_arguments_are_named(options, error, words):
    layer, x = carrousel.MLSTM(3, 4, num_heads=2), torch.randn(6, 4, 3)
    expected = layer(x)[0]
    with pytest.raises(error, match=words):
        layer(x, **options)
    assert torch.equal(layer(x)[0], expected)


SIZES = st.lists(st.sampled_from([0, 1, 2, 4, 7]), max_size=6)


@given(
    shape=st.lists(st.integers(0, 6), max_size=3),
    dtype=st.sampled_from([torch.bool, torch.bool, torch.int64]),
    sizes=st.one_of(st.lists(SIZES, max_size=4), st.just([[1, 4, 2, 2, 2], [1, 4, 2, 2], [1, 4, 2]])),
    name=st.sampled_from(["hx", "initial"]),
)
def test_any_resets_and_states_run_or_are_refused(shape, dtype, sizes, name):
    """And the layer is as it was."""
    layer, x = carrousel.MLSTM(3, 4, num_heads=2), torch.randn(5, 4, 3)
    expected = layer(x)[0]
    states, resets = tuple(torch.zeros(size) for size in sizes), torch.zeros(shape).to(dtype)
    full = [[1, 4, 2, 2, 2], [1, 4, 2, 2], [1, 4, 2]]
    one = [[1, 1, *size[2:]] for size in full]
    fits = sizes == full or (name == "initial" and all(a in (b, c) for a, b, c in zip(sizes, full, one, strict=False)))
    if shape == [5, 4] and dtype == torch.bool and fits and len(sizes) == 3:
        torch.testing.assert_close(layer(x, resets=resets, **{name: states})[0], expected)
    else:
        with pytest.raises((TypeError, ValueError, RuntimeError), match=r"resets|initial|hx"):
            layer(x, resets=resets, **{name: states})
    assert torch.equal(layer(x)[0], expected)
