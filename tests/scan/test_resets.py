"""Resets inside a sequence: kernels, scan and the parts by hand, their bits and gradients."""

from __future__ import annotations

import pytest
import torch
from custom_ops import check_ops, compiled, needs_ops
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    CELLS,
    SIZES,
    WAYS,
    Shape,
    assert_same_bits,
    differentiable,
    draws_of,
    make_sequence,
    parts_of,
    reads_h,
    run,
    with_resets,
)
from torch.autograd import gradcheck, gradgradcheck
from twins import Size, assert_as_exact, assert_equal_to_1e10

from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.scan import Rows, scan

DTYPES = {"float32": torch.float32, "float64": torch.float64}
DENSE = [way for way in WAYS if "packed" not in way]
SIZE = Size(T=6, B=4, I=3, H=7)


def by_hand(cell, x, states, weights, rows, options, restored=()):
    """What scan with resets is to return, from a scan of every part of every row."""
    reverse, batch_first = rows.reverse, rows.batch_first
    x, resets = (x.transpose(0, 1), rows.resets.T) if batch_first else (x, rows.resets)
    restored = restored or tuple(torch.zeros_like(s) for s in states)
    ys, finals = [], []
    for b in range(x.shape[1]):
        parts, row = parts_of(resets[:, b]), []
        for k, (start, end) in enumerate(parts):
            carried = k == len(parts) - 1 if reverse else k == 0 and not resets[0, b]
            before = tuple(s[b : b + 1] for s in (states if carried else restored))
            row.append(scan(cell, x[start:end, b : b + 1], before, weights, Rows(reverse=reverse))[:2])
        ys.append(torch.cat([y for y, _ in row]))
        finals.append(row[0 if reverse else -1][1])
    y = torch.cat(ys, dim=1) + 0 * sum(s.sum() for s in (*states, *restored))  # which all have a gradient, if of zeros
    return (y.transpose(0, 1) if batch_first else y), tuple(torch.cat(s) for s in zip(*finals)), None


@pytest.mark.grid(cell=CELLS, way=DENSE, often=[0.0, 0.3, 1.0], restored=[True, False])
def test_scan_is_the_parts_by_hand(cell, way, often, restored):
    sequence = with_resets(make_sequence(cell, SIZE, way), often, restored)
    assert_equal_to_1e10(run(scan, sequence, torch.float64), run(by_hand, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS), often=[0.2, 1.0], restored=[True, False])
def test_kernels_equal_scan(cell, size, way, often, restored):
    sequence = with_resets(make_sequence(cell, size, way), often, restored)
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS))
def test_kernels_round_like_scan(cell, size, way):
    assert_as_exact(draws_of(lambda: with_resets(make_sequence(cell, size, way))))


@pytest.mark.grid(cell=[name for name in CELLS if not reads_h(ALL[name])], way=list(WAYS), restored=[True, False])
def test_projected(cell, way, restored):
    sequence = with_resets(make_sequence(cell, Size(T=7, B=5, I=4, H=19), way, Shape(projected=True)), 0.3, restored)
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@given(
    cell=st.sampled_from(CELLS),
    size=st.builds(Size, T=st.integers(1, 12), B=st.integers(1, 15), I=st.integers(1, 70), H=st.integers(1, 70)),
    way=st.sampled_from(list(WAYS)),
    often=st.sampled_from([0.05, 0.5, 1.0]),
    restored=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_equals_scan(cell, size, way, often, restored, seed):
    torch.manual_seed(seed)
    sequence = with_resets(make_sequence(cell, size, way), often, restored)
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, way=list(WAYS), dtype=DTYPES)
def test_no_reset_changes_no_bit(cell, way, dtype):
    sequence = make_sequence(cell, Size(T=9, B=5, I=4, H=33), way)
    assert_same_bits(
        run(fused, with_resets(sequence, often=0.0, restored=False), dtype),
        run(fused, sequence, dtype),
    )


# Sizes that are dealt to threads by rows and by units.
BUSY = {"by_rows": Size(T=40, B=13, I=20, H=65), "by_units": Size(T=6, B=3, I=70, H=330)}


@pytest.mark.grid(cell=CELLS, size=BUSY, way=list(WAYS), dtype=DTYPES)
def test_any_number_of_threads(cell, size, way, dtype):
    sequence = with_resets(make_sequence(cell, size, way))
    alone = run(fused, sequence, dtype)
    torch.set_num_threads(3)
    assert_same_bits(run(fused, sequence, dtype), alone)


@pytest.mark.grid(cell=CELLS, way=["plain", "reverse", "packed"])
def test_gradients_are_the_slopes(cell, way):
    assert gradcheck(*differentiable(with_resets(make_sequence(cell, Size(T=4, B=2, I=2, H=3), way))))


@pytest.mark.parametrize("cell", CELLS)
def test_second_derivatives_are_the_slopes_of_the_first(cell):
    sequence = with_resets(make_sequence(cell, Size(T=2, B=2, I=1, H=2)), often=0.5)
    sequence.options["resets"][1, 0] = True
    assert gradgradcheck(*differentiable(sequence))


@pytest.mark.parametrize("cell", CELLS)
def test_functional_transforms(cell):
    """torch.func.grad, and vmap over it, which run by scan."""
    sequence = with_resets(make_sequence(cell, SIZE))
    outputs, tensors = differentiable(sequence)

    def loss(x):
        return outputs(x, *tensors[1:])[0].square().sum()

    x = tensors[0].clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(x), x)
    got = torch.func.vmap(torch.func.grad(loss))(torch.stack([tensors[0], 2 * tensors[0]]))[0]
    assert_equal_to_1e10({"x": got}, {"x": expected})


@needs_ops
@pytest.mark.parametrize("way", ["plain", "packed_reverse"])
def test_opcheck(way):
    torch.compiler.reset()
    check_ops(with_resets(make_sequence("peephole", SIZE, way)))


@pytest.mark.parametrize("restored", [True, False])
def test_compiled(restored):
    torch.compiler.reset()
    sequence = with_resets(make_sequence("lstm", SIZE), restored=restored)
    assert_equal_to_1e10(run(compiled(), sequence, torch.float64), run(fused, sequence, torch.float64))
