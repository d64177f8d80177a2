"""Every cell, found by itself: the fused kernels return what `scan`, the plain specification, returns."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sequences import CELLS, SIZES, WAYS, Shape, differentiable, draws_of, make_sequence, reads_h, run
from torch.autograd import gradcheck, gradgradcheck
from twins import Size, assert_alike, assert_as_exact, assert_equal_to_1e10, distance, largest

from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.scan import scan

SHAPES = {"biases": Shape(bias=True), "no_bias": Shape(bias=False)}
PROJECTABLE = [name for name, cell in ALL.items() if not reads_h(cell)]
SUMS = {
    "T100_B64": Size(T=100, B=64, I=3, H=5),
    "B2000_many_rows": Size(T=2, B=2000, I=3, H=5),
    "T30_B40_H64": Size(T=30, B=40, I=16, H=64),
}
TINY = Size(T=3, B=2, I=2, H=3)


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS), shape=SHAPES)
def test_float64_equals_scan(cell, size, way, shape):
    sequence = make_sequence(cell, size, way, shape)
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, size=SIZES, way=list(WAYS), shape=SHAPES)
def test_float32_rounds_like_scan(cell, size, way, shape):
    assert_as_exact(draws_of(lambda: make_sequence(cell, size, way, shape)))


@pytest.mark.grid(cell=PROJECTABLE, size=SIZES, way=list(WAYS), shape=SHAPES)
def test_projection_equals_scan(cell, size, way, shape):
    shape = shape._replace(projected=True)
    sequence = make_sequence(cell, size, way, shape)
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))
    assert_as_exact(draws_of(lambda: make_sequence(cell, size, way, shape)))


@given(
    cell=st.sampled_from(CELLS),
    size=st.builds(Size, T=st.integers(1, 12), B=st.integers(1, 15), I=st.integers(1, 20), H=st.integers(1, 70)),
    way=st.sampled_from(list(WAYS)),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_shape_equals_scan(cell, size, way, bias, seed):
    torch.manual_seed(seed)
    sequence = make_sequence(cell, size, way, Shape(bias))
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))


@pytest.mark.grid(cell=CELLS, way=list(WAYS))
def test_gradients_are_the_slopes(cell, way):
    """gradcheck: against differences of the outputs, so that scan's own gradients are not taken on trust."""
    assert gradcheck(*differentiable(make_sequence(cell, TINY, way)))


@pytest.mark.parametrize("cell", PROJECTABLE)
def test_projection_gradients_are_the_slopes(cell):
    assert gradcheck(*differentiable(make_sequence(cell, TINY, shape=Shape(projected=True))))


@pytest.mark.grid(cell=CELLS, way=["plain", "packed_reverse"])
def test_second_derivatives_are_the_slopes_of_the_first(cell, way):
    assert gradgradcheck(*differentiable(make_sequence(cell, Size(T=2, B=2, I=1, H=2), way)))


@pytest.mark.parametrize("cell", CELLS)
def test_a_gradient_penalty_equals_scan(cell):
    """The common use of create_graph: the norm of the gradient of x, itself part of the loss."""
    sequence = make_sequence(cell, Size(T=4, B=3, I=5, H=9))

    def penalty(function):
        ready = sequence.to(torch.float64).requires_grad_()
        (slope,) = torch.autograd.grad(ready.call(function)[0].sum(), ready.tensors["x"], create_graph=True)
        slope.square().sum().backward()
        return {name: tensor.grad for name, tensor in ready.tensors.items() if tensor.grad is not None}

    assert_equal_to_1e10(penalty(fused), penalty(scan))


@pytest.mark.grid(cell=CELLS, size=SUMS)
def test_gradients_that_are_long_sums(cell, size):
    """A weight's gradient is a sum over all steps and rows: one running sum in float32 loses what torch's keep."""
    assert_as_exact(draws_of(lambda: make_sequence(cell, size)))


@pytest.mark.grid(cell=CELLS, magnitude=[30.0, 200.0, 1e4])
def test_shut_and_open_gates_stay_finite(cell, magnitude):
    """Pre-activations far outside the activations' bends: exact ends, no overflow, no NaN in the gradients."""

    def make():
        sequence = make_sequence(cell, Size(T=3, B=4, I=5, H=18))
        sequence.tensors["x"] *= magnitude
        return sequence

    sequence = make()
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))
    # A unit in a hundred is not at an end, and all there is of a gradient: it has the rounding of a pre-activation that
    # is a sum of numbers of this magnitude, and whether torch's is smaller is the luck of one number.
    rounding = 4 * torch.finfo(torch.float32).eps * magnitude
    for ours, _, exact in draws_of(make):
        for name, expected in exact.items():
            assert_alike(name, ours[name], expected.float())
            assert distance(ours[name], expected) <= rounding * max(1.0, largest(expected)), name


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_come_out_where_scan_lets_them_out(cell, bad):
    sequence = make_sequence(cell, Size(T=4, B=3, I=5, H=18))
    sequence.tensors["x"][1, 2, 3] = bad
    ours, plain = (sequence.call(function) for function in (fused, scan))
    for got, expected in zip((ours[0], *ours[1]), (plain[0], *plain[1]), strict=True):
        if (
            cell == "mingru"
        ):  # whose candidate has no bound: 0 times infinity, where a kernel's sigmoid is never quite 0
            assert torch.equal(got.isfinite(), expected.isfinite())
            got, expected = got[got.isfinite()], expected[expected.isfinite()]
        assert torch.equal(got.isnan(), expected.isnan())
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-10, equal_nan=True)
