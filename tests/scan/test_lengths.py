"""Rows of different lengths, without packing: kernels, scan and each row alone, their bits and gradients."""

from __future__ import annotations

import pytest
import torch
from custom_ops import check_ops, compiled, needs_ops
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    CELLS,
    RAGGED,
    SIZES,
    Shape,
    assert_same_bits,
    differentiable,
    draws_of,
    make_ragged,
    reads_h,
    run,
    with_options,
    with_resets,
)
from torch.autograd import gradcheck, gradgradcheck
from twins import Size, assert_as_exact, assert_equal_to_1e10

from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.scan import Rows, scan

DTYPES = {"float32": torch.float32, "float64": torch.float64}
SIZE = Size(T=6, B=5, I=3, H=7)


def row_by_row(cell, x, states, weights, rows, options):
    """What a ragged scan is to return, from a scan of each row alone; zeros where there is no step."""
    batch_first, offsets = rows.batch_first, rows.offsets
    lengths = rows.lengths if offsets is None else offsets.diff()
    P = states[0].shape[1]
    ys, finals = [], []
    for b, n in enumerate(lengths.tolist()):
        whole = (x[b] if batch_first else x[:, b]) if offsets is None else x[int(offsets[b]) :]
        row = whole[:n, None]
        before = tuple(s[b : b + 1] for s in states)
        y, final = row.new_zeros(0, 1, P), before
        if n:
            y, final, _ = scan(cell, row, before, weights, Rows(reverse=rows.reverse))
        ys.append(y[:, 0])
        finals.append(final)
    states = tuple(torch.cat(s) for s in zip(*finals))
    if offsets is not None:
        return torch.cat(ys), states, None
    T = x.shape[1 if batch_first else 0]
    y = torch.stack([torch.cat([y, y.new_zeros(T - len(y), P)]) for y in ys], 0 if batch_first else 1)
    return y, states, None


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
    filled, _ = sequence.call(with_options(fused, padding_value=-7.5))
    assert torch.equal(filled == -7.5, y == 0)
    assert (y == 0).sum() == (0 if "offsets" in way else 15 * SIZE.H)
    expected, _ = sequence.call(with_options(scan, padding_value=-7.5))
    assert_equal_to_1e10({"y": filled}, {"y": expected})


@pytest.mark.grid(cell=CELLS, way=list(RAGGED))
def test_gradients_are_the_slopes(cell, way):
    assert gradcheck(*differentiable(make_ragged(cell, Size(T=3, B=3, I=2, H=3), way, lengths=[2, 0, 3])))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_second_derivatives_are_the_slopes_of_the_first(cell):
    assert gradgradcheck(*differentiable(make_ragged(cell, Size(T=2, B=3, I=1, H=2), lengths=[1, 0, 2])))


def test_functional_transforms():
    outputs, tensors = differentiable(make_ragged("lstm", SIZE, lengths=[3, 6, 0, 1, 5]))

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
