"""Autocast to bfloat16: the rounding, by kernel and by scan."""

from __future__ import annotations

import pytest
import torch
from sequences import (
    CELLS,
    F32,
    F64,
    RAGGED,
    SIZES,
    WAYS,
    Shape,
    assert_same_bits,
    make_ragged,
    make_sequence,
    reads_h,
    run,
    with_masks,
    with_options,
    with_resets,
)
from twins import Size, largest, root_mean_square

from carrousel.cells import ALL
from carrousel.fused import fused, instruction_set, instruction_sets, use_instruction_set
from carrousel.scan import scan
from carrousel.scan.bfloat16 import linear

EPS = torch.finfo(torch.bfloat16).eps  # 2^-7; rounding is off by half of it at most
SIZE = Size(T=20, B=6, I=28, H=65)
KERNEL = SIZES | {"I70_H100": Size(T=8, B=16, I=70, H=100)}
rounded_fused, rounded_scan = with_options(fused, bfloat16=True), with_options(scan, bfloat16=True)


# ---- the rounding


def test_the_rounded_product_is_the_product_of_rounded_operands():
    x, W, b, dy = torch.randn(4, 3), torch.randn(5, 3), torch.randn(5), torch.randn(4, 5)
    x_low, W_low, dy_low = (t.bfloat16().float() for t in (x, W, dy))
    for t in (x, W, b):
        t.requires_grad_()
    y = linear(x, W, b)
    y.backward(dy)
    torch.testing.assert_close(y, x_low @ W_low.T + b)
    torch.testing.assert_close(x.grad, dy_low @ W_low)
    torch.testing.assert_close(W.grad, dy_low.T @ x_low)
    torch.testing.assert_close(b.grad, dy.sum(0))


def assert_rounds_as_meant(sequence):
    """The kernel rounds what `scan` rounds, and nothing else.

    In another arithmetic a number may fall to the other side of a middle now and then: one operand is then off by EPS.
    """
    ours, expected = run(rounded_fused, sequence, F32), run(rounded_scan, sequence, F64)
    assert list(ours) == list(expected)
    for name, exact in expected.items():
        error, big = ours[name].double() - exact, EPS * max(largest(exact), 1e-3)
        assert ours[name].dtype == F32
        assert root_mean_square(error) <= 0.1 * big, name
        assert largest(error) <= 0.5 * big, name


@pytest.mark.grid(cell=CELLS, size=KERNEL, way=list(WAYS), shape={"biases": Shape(), "no_bias": Shape(bias=False)})
def test_fused_rounds_as_scan(cell, size, way, shape):
    assert_rounds_as_meant(make_sequence(cell, size, way, shape))


@pytest.mark.grid(cell=[name for name, cell in ALL.items() if not reads_h(cell)], size=KERNEL, way=list(WAYS))
def test_projections_round_as_scan(cell, size, way):
    assert_rounds_as_meant(make_sequence(cell, size, way, Shape(projected=True)))


@pytest.mark.grid(cell=CELLS, way=list(RAGGED))
def test_ragged_batches_and_resets_round_as_scan(cell, way):
    size = Size(T=30, B=9, I=5, H=37)
    assert_rounds_as_meant(with_resets(make_ragged(cell, size, way)))


@pytest.mark.grid(cell=CELLS, way=list(WAYS))
def test_masks_are_drawn_before_h_is_rounded(cell, way):
    assert_rounds_as_meant(with_masks(make_sequence(cell, Size(T=12, B=7, I=5, H=37), way)))


def test_rounding_changes_the_numbers():
    sequence = make_sequence("lstm", SIZE)
    plain, low = run(fused, sequence, F32), run(rounded_fused, sequence, F32)
    for name, number in plain.items():
        error = root_mean_square((low[name] - number).double())
        assert 1e-3 * EPS < error / largest(number) < EPS, name


@pytest.mark.parametrize("name", instruction_sets())
def test_every_instruction_set_rounds_alike(name):
    before = instruction_set()
    use_instruction_set(name)
    try:
        assert_rounds_as_meant(make_sequence("lstm", KERNEL["I70_H100"]))
        assert_rounds_as_meant(make_sequence("gru", SIZES["H17_vector_and_tail"], "packed_reverse"))
    finally:
        use_instruction_set(before)


@pytest.mark.parametrize("size", [Size(T=40, B=50, I=30, H=40), Size(T=6, B=4, I=70, H=300)], ids=["rows", "units"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_same_bits_for_any_number_of_threads(cell, size):
    sequence = make_sequence(cell, size)
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(run(rounded_fused, sequence, F32))
    for other in found[1:]:
        assert_same_bits(found[0], other)


def test_a_row_of_a_batch_is_the_row_alone_among_others():
    sequence = make_sequence("lstm", SIZE).to(F32)
    y, _ = sequence.call(rounded_fused)
    struck = sequence.tensors["x"].clone()
    struck[3, 2] = float("nan")
    other, _ = sequence.call(rounded_fused, x=struck)
    assert other[3:, 2].isnan().all()
    assert torch.equal(other[:, [0, 1, 3, 4, 5]], y[:, [0, 1, 3, 4, 5]])


def test_float64_is_not_rounded_by_a_kernel_but_by_scan():
    sequence = make_sequence("lstm", SIZES["H7_tail_only"])
    assert_same_bits(run(rounded_fused, sequence, F64), run(rounded_scan, sequence, F64))
