"""Cells that feed back more than h, by kernel: full gate recurrence, whose R multiplies four of five states."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from custom_cells import compiled_variants, needs_compiler
from sequences import (
    RAGGED,
    SIZES,
    WAYS,
    Shape,
    assert_same_bits,
    draws_of,
    make_ragged,
    make_sequence,
    run,
    with_masks,
    with_options,
    with_resets,
)
from test_autocast import assert_rounds_as_meant
from test_compile import check_ops
from torch.autograd import gradcheck
from twins import Size, assert_as_exact, assert_equal_to_1e10

import carrousel
from carrousel import odyssey
from carrousel.cells import Cell
from carrousel.fused import fused, has_kernel
from carrousel.scan import scan

pytestmark = [pytest.mark.slow, needs_compiler]
F32, F64 = torch.float32, torch.float64
SHAPES = {"plain": Shape(), "projected": Shape(projected=True)}
SIZE = Size(T=5, B=3, I=4, H=7)
# On several threads these are dealt by rows, and by units.
BUSY = {"by_rows": Size(T=40, B=13, I=5, H=41), "by_units": Size(T=5, B=3, I=70, H=150)}


def fgr() -> Cell:
    return compiled_variants()["FGR"]


def assert_fused_is_scan(sequence):
    assert has_kernel(sequence.cell, sequence.tensors["x"])
    assert_equal_to_1e10(run(fused, sequence, F64), run(scan, sequence, F64))


@pytest.mark.grid(size=SIZES, way=list(WAYS), shape=SHAPES)
def test_float64_equals_scan(size, way, shape):
    assert_fused_is_scan(make_sequence(fgr(), size, way, shape))


@pytest.mark.grid(way=list(RAGGED), shape=SHAPES, resets=[True, False])
def test_ragged_batches_and_resets_equal_scan(way, shape, resets):
    sequence = make_ragged(fgr(), Size(T=9, B=7, I=3, H=20), way, shape)
    assert_fused_is_scan(with_resets(sequence) if resets else sequence)


@pytest.mark.parametrize("B", [1, 4])
def test_a_mask_is_of_h_alone(B):
    assert_fused_is_scan(with_masks(make_sequence(fgr(), Size(T=6, B=B, I=3, H=20))))


@pytest.mark.parametrize("size", [SIZES["H33_two_vectors_and_tail"], SIZES["B1"]], ids=str)
def test_float32_is_as_near_as_scan(size):
    assert_as_exact(draws_of(lambda: make_sequence(fgr(), size)))


@pytest.mark.grid(size={"odd": Size(T=8, B=5, I=7, H=37), "B1": Size(T=8, B=1, I=7, H=37)}, shape=SHAPES)
def test_operands_are_rounded_as_scan_rounds_them(size, shape):
    assert_rounds_as_meant(make_sequence(fgr(), size, "plain", shape))


@pytest.mark.grid(size=BUSY, shape=SHAPES, dtype=[F32, F64])
def test_threads_and_less_memory_give_the_same_bits(size, shape, dtype):
    sequence = with_resets(make_sequence(fgr(), size, shape=shape), often=0.1)
    torch.set_num_threads(1)
    alone = run(fused, sequence, dtype)
    torch.set_num_threads(3)
    for memory in ("full", "low"):
        assert_same_bits(run(with_options(fused, memory=memory), sequence, dtype), alone)


@pytest.mark.grid(memory=["full", "low"], shown=[{}, {"states": True}, {"gates": True}])
def test_gradients_through_all_that_is_shown(memory, shown):
    sequence = make_sequence(fgr(), SIZE)
    sequence = replace(sequence, options=shown)
    ours, theirs = run(with_options(fused, memory=memory), sequence, F64), run(scan, sequence, F64)
    assert_equal_to_1e10(ours, theirs)


def test_gradients_are_the_slopes():
    sequence = with_resets(make_sequence(fgr(), Size(T=3, B=2, I=2, H=3))).requires_grad_()
    names = list(sequence.tensors)

    def outputs(*tensors):
        y, states = sequence.call(fused, **dict(zip(names, tensors, strict=True)))
        return (y, *states)

    assert gradcheck(outputs, tuple(sequence.tensors.values()), fast_mode=True)


def test_opcheck():
    torch.compiler.reset()
    check_ops(make_sequence(fgr(), SIZE))


# ---- the layer


def layers(**options):
    """By kernel and by `scan`, with the same weights, in float64."""
    fgr()  # compiled without optimisation, or the layer would wait for the compiler
    by_kernel, by_scan = (odyssey.FGR(3, 20, **options, compile=how).double() for how in (True, False))
    by_scan.load_state_dict(by_kernel.state_dict())
    assert (by_kernel.compiled, by_scan.compiled) == (True, False)
    return by_kernel, by_scan


@pytest.mark.parametrize(
    "options", [{"num_layers": 2, "bidirectional": True}, {"proj_size": 5}, {"bias": False}], ids=str
)
def test_layers_by_kernel_equal_layers_by_scan(options):
    x = torch.randn(6, 3, 3, dtype=F64)
    found = []
    for layer in layers(**options):
        y, hx = layer(x)
        sum((1 + k) * t.sin().sum() for k, t in enumerate((y, *hx))).backward()
        found.append(
            {"y": y, **dict(zip("hcifo", hx, strict=True)), **{n: p.grad for n, p in layer.named_parameters()}}
        )
    assert_equal_to_1e10(*found)


@pytest.mark.parametrize("B", [1, 3])
@pytest.mark.parametrize("options", [{"num_layers": 2}, {"proj_size": 5}], ids=str)
def test_streams_are_the_whole_sequence_to_the_last_bit(B, options):
    layer, _ = layers(**options)
    layer.requires_grad_(False)
    x = torch.randn(7, B, 3, dtype=F64)
    y, hx = layer(x)
    state = layer.start(B)
    first = torch.stack([layer.step(one, state) for one in x[:4]])
    assert torch.equal(torch.cat([first, layer.block(x[4:], state)]), y)
    assert state._stream is not None
    assert all(map(torch.equal, state.hx(), hx))


def test_a_stream_sees_that_a_gate_is_fed_back_otherwise():
    """By torch's count, and where torch does not count: R is made of two parameters."""
    layer, _ = layers()
    layer.requires_grad_(False)
    x = torch.randn(2, 3, dtype=F64)
    for change in (lambda w: w.mul_(2), lambda w: w.data.mul_(2), lambda w: w.numpy().fill(0.1)):
        state = layer.start(2)
        layer.step(x, state)
        change(layer.weight_gh_l0)
        expected = layer(x[None], state.hx())[0][0]
        assert torch.equal(layer.step(x, state), expected)


def test_a_person_says_which_states_are_fed_back():
    """weight_hh multiplies h and c side by side."""

    @carrousel.cell(rows="fg", states="hc", fed="hc")
    def Both(rows, states):
        f, g = rows
        _, c = states
        c = c + torch.sigmoid(f) * (torch.tanh(g) - c)
        return torch.sin(c), c

    layer = Both(3, 5, bias=False, dtype=F64)
    assert layer.weight_hh_l0.shape == (10, 10)
    x = torch.randn(4, 2, 3, dtype=F64)
    h = c = x.new_zeros(2, 5)
    for y, one in zip(layer(x)[0], x, strict=True):
        f, g = (one @ layer.weight_ih_l0.T + torch.cat([h, c], 1) @ layer.weight_hh_l0.T).chunk(2, 1)
        h, c = Both.CELL.step((f, g), (h, c))
        torch.testing.assert_close(y, h, rtol=0, atol=1e-12)
