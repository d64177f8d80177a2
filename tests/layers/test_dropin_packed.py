"""PackedSequence in, PackedSequence out: order, batch sizes, states where torch puts them, and rows that stay apart."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
)
from twins import (
    KINDS,
    OURS,
    Size,
    assert_equal_to_1e10,
    make_example,
    make_twins,
    run,
    scalar_of,
    state_shape,
    states_of,
    to_hx,
)

import carrousel

SIZE = Size(T=6, B=5, I=4, H=7)
LENGTHS = {
    "sorted": [6, 5, 3, 3, 1],
    "unsorted": [3, 6, 1, 5, 3],
    "all_equal": [4, 4, 4, 4, 4],
    "all_one": [1, 1, 1, 1, 1],
    "one_row": [6],
    "long_tail_of_one": [30, 1, 1, 1, 1],
    "a_row_less_each_step": [1, 2, 3, 4, 5],
}
OPTIONS = {
    "plain": {},
    "both_directions": {"bidirectional": True},
    "stacked": {"num_layers": 2, "bidirectional": True, "bias": False},
    "batch_first": {"batch_first": True, "num_layers": 2},
}


def make_rows(lengths):
    return [torch.randn(n, SIZE.I, dtype=torch.float64) for n in lengths]


def make_states(layer, rows):
    return [torch.randn(state_shape(layer, (len(rows),), k), dtype=torch.float64) for k in range(states_of(layer))]


def row_of(hx, b):
    """The states of row b, as of a batch of one."""
    return [h[:, b : b + 1] for h in hx]


def as_tuple(states):
    return states if isinstance(states, tuple) else (states,)


@pytest.mark.grid(kind=list(KINDS), lengths=LENGTHS, options=OPTIONS)
def test_same_packed_output_as_torch(kind, lengths, options):
    ours, theirs = (layer.double() for layer in make_twins(kind, SIZE, **options))
    packed = pack_sequence(make_rows(lengths), enforce_sorted=False)
    hx = to_hx(theirs, make_states(theirs, lengths))
    (got, got_states), (expected, expected_states) = ours(packed, *hx), theirs(packed, *hx)
    assert type(got) is PackedSequence
    for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        assert torch.equal(getattr(got, field), getattr(expected, field)), field
    assert_equal_to_1e10({"y": got.data}, {"y": expected.data})
    assert type(got_states) is type(expected_states)
    for got_state, expected_state in zip(as_tuple(got_states), as_tuple(expected_states), strict=True):
        assert_equal_to_1e10({"state": got_state}, {"state": expected_state})


@pytest.mark.parametrize("kind", KINDS)
def test_sorted_input_keeps_no_indices(kind):
    """pack_padded_sequence(enforce_sorted=True) gives none, and the output has none."""
    ours, theirs = make_twins(kind, SIZE)
    packed = pack_padded_sequence(torch.randn(6, 3, SIZE.I), torch.tensor([6, 4, 1]))
    assert packed.sorted_indices is None
    for layer in (ours, theirs):
        y, _ = layer(packed)
        assert y.sorted_indices is None
        assert y.unsorted_indices is None
        assert torch.equal(y.batch_sizes, packed.batch_sizes)


@pytest.mark.grid(name=OURS, lengths=LENGTHS, options=OPTIONS)
def test_each_row_as_if_it_ran_alone(name, lengths, options):
    """The meaning of packing: outputs and final states of a row are those of the row without the others."""
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H, **options).double()
    rows = make_rows(lengths)
    hx = make_states(layer, rows)
    y, states = layer(pack_sequence(rows, enforce_sorted=False), *to_hx(layer, hx))
    for b, (row, y_row) in enumerate(zip(rows, unpack_sequence(y), strict=True)):
        batch = row[None] if layer.batch_first else row[:, None]
        alone, alone_states = layer(batch, *to_hx(layer, row_of(hx, b)))
        assert_equal_to_1e10({"y": y_row}, {"y": alone[0] if layer.batch_first else alone[:, 0]})
        for state, alone_state in zip(as_tuple(states), as_tuple(alone_states), strict=True):
            assert_equal_to_1e10({"state": state[:, b : b + 1]}, {"state": alone_state})


@pytest.mark.grid(name=OURS, options=OPTIONS)
def test_equal_lengths_are_a_plain_batch(name, options):
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H, **options).double()
    rows = make_rows([5, 5, 5])
    x = pad_sequence(rows, batch_first=layer.batch_first)
    y, states = layer(x)
    packed, packed_states = layer(pack_sequence(rows))
    unpacked, _ = pad_packed_sequence(packed, batch_first=layer.batch_first)
    assert_equal_to_1e10({"y": unpacked}, {"y": y})
    for a, b in zip(as_tuple(packed_states), as_tuple(states), strict=True):
        assert_equal_to_1e10({"state": a}, {"state": b})


@pytest.mark.parametrize("name", OURS)
def test_order_of_the_rows_does_not_matter(name):
    """The same rows shuffled: the same outputs, states and weight gradients, shuffled."""
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H, bidirectional=True).double()
    rows, order = make_rows([3, 6, 1, 5, 3]), [4, 2, 0, 1, 3]
    hx = make_states(layer, rows)

    def results(order):
        layer.zero_grad()
        shuffled = [h[:, order] for h in hx]
        y, states = layer(pack_sequence([rows[b] for b in order], enforce_sorted=False), *to_hx(layer, shuffled))
        padded, _ = pad_packed_sequence(y)
        outputs = [padded, *as_tuple(states)]
        sum(output.square().sum() for output in outputs).backward()
        return [output.detach() for output in outputs], [p.grad for p in layer.parameters()]

    outputs, gradients = results(order)
    expected, expected_gradients = results(range(5))
    for got, wanted in zip(outputs, expected, strict=True):
        assert_equal_to_1e10({"output": got}, {"output": wanted[:, order]})
    for got, wanted in zip(gradients, expected_gradients, strict=True):
        assert_equal_to_1e10({"gradient": got}, {"gradient": wanted})


@pytest.mark.parametrize("name", OURS)
def test_padding_is_never_read(name):
    """NaN behind each row's end reaches neither outputs nor gradients; padded outputs are zero."""
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H, num_layers=2, bidirectional=True, batch_first=True)
    lengths = torch.tensor([3, 6, 1])
    x = torch.randn(3, 6, SIZE.I)
    behind = torch.arange(6) >= lengths[:, None]
    x[behind] = float("nan")
    x.requires_grad_()
    y, _ = layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    padded, back = pad_packed_sequence(y, batch_first=True)
    padded.sum().backward()
    assert torch.equal(back, lengths)
    assert padded.isfinite().all()
    assert not padded[behind].any()
    assert not x.grad[behind].any()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", OURS)
def test_rows_never_see_each_other(name):
    """NaN in one row leaves the bits of the others alone, though each has its own length."""
    layer = getattr(carrousel, name)(SIZE.I, SIZE.H, num_layers=2, bidirectional=True)
    rows = [row.float() for row in make_rows([3, 6, 1, 5, 3])]
    clean = unpack_sequence(layer(pack_sequence(rows, enforce_sorted=False))[0])
    for spoiled in range(5):
        bad = [torch.full_like(row, float("nan")) if b == spoiled else row for b, row in enumerate(rows)]
        got = unpack_sequence(layer(pack_sequence(bad, enforce_sorted=False))[0])
        assert got[spoiled].isnan().any()
        assert all(torch.equal(got[b], clean[b]) for b in range(5) if b != spoiled)


@pytest.mark.parametrize("name", OURS)
def test_packed_layers_feed_packed_layers(name):
    """A stack of two is one after the other, by hand, packed all the way."""
    stack = getattr(carrousel, name)(SIZE.I, SIZE.H, num_layers=2).double()
    first, second = (getattr(carrousel, name)(width, SIZE.H).double() for width in (SIZE.I, SIZE.H))
    first.load_state_dict({key: value for key, value in stack.state_dict().items() if "_l0" in key})
    second.load_state_dict({key.replace("_l1", "_l0"): v for key, v in stack.state_dict().items() if "_l1" in key})
    packed = pack_sequence(make_rows([3, 6, 1, 5]), enforce_sorted=False)
    assert_equal_to_1e10({"y": stack(packed)[0].data}, {"y": second(first(packed)[0])[0].data})


@pytest.mark.parametrize("kind", KINDS)
def test_states_carried_from_batch_to_batch(kind):
    """Truncated backpropagation over rows of different lengths: detached states, three batches, torch's numbers."""
    ours, theirs = (layer.double() for layer in make_twins(kind, SIZE, num_layers=2))
    batches = [pack_sequence(make_rows(lengths), enforce_sorted=False) for lengths in ([2, 6, 4], [5, 1, 5], [3, 3, 6])]

    def trained(layer):
        hx, found = [], []
        for packed in batches:
            y, states = layer(packed, *hx)
            found.append(scalar_of([y.data, *as_tuple(states)]))
            hx = to_hx(layer, [state.detach() for state in as_tuple(states)])
        sum(found).backward()
        return {str(k): loss.detach() for k, loss in enumerate(found)} | {
            n: p.grad for n, p in layer.named_parameters()
        }

    assert_equal_to_1e10(trained(ours), trained(theirs))


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_between_packed_layers(kind):
    """The same mask as torch's for the same seed, though rows leave the batch."""
    ours, theirs = make_twins(kind, SIZE, num_layers=3, dropout=0.5, bidirectional=True)
    example = make_example(theirs, SIZE, "packed_unsorted")
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))
