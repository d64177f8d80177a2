"""Streams: step by step and block by block they are the whole sequence, in every form of input and output."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from custom_cells import AWKWARD, compiled, needs_compiler
from hypothesis import given
from hypothesis import strategies as st
from streams import assert_same, data, layer_of, steps, without_gradients
from torch import nn

import carrousel
from carrousel import State
from carrousel.cells import ALL
from carrousel.fused import instruction_set, instruction_sets, use_instruction_set
from carrousel.fused.kernels import KERNELS
from carrousel.layers.streaming import layer as streaming

no_gradients = pytest.fixture(autouse=True)(without_gradients)

CELLS = list(ALL)
# H: one tail, all groups in registers, group by group; I: in the step, and too wide for it.
SIZES = {"H7_tail_only": (3, 7), "H40_in_registers": (2, 40), "H70_by_groups": (5, 70), "I70_wide": (70, 9)}


# ---- the whole sequence


@pytest.mark.grid(cell=CELLS, size=list(SIZES), B=[1, 3], dtype=[torch.float32, torch.float64], layers=[1, 2])
def test_steps_and_blocks_are_the_whole_sequence(cell, size, B, dtype, layers):
    """To the last bit: the kernels add the same terms in the same order."""
    layer = layer_of(cell, *SIZES[size], num_layers=layers, dtype=dtype)
    x = data(layer, 7, B)
    y, hx = layer(x)
    by_step, by_block = layer.start(B), layer.start(B)
    assert_same(steps(layer, x, by_step), y)
    assert_same(
        torch.cat([layer.block(x[:2], by_block), layer.block(x[2:3], by_block), layer.block(x[3:], by_block)]), y
    )
    assert_same(by_step.hx(), hx)
    assert_same(by_block.hx(), hx)


@pytest.mark.parametrize("option", [{"proj_size": 4}, {"bias": False}, {"batch_first": True}], ids=str)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", ["lstm", "peephole"])
def test_options(cell, layers, option):
    layer = layer_of(cell, 5, 9, num_layers=layers, **option)
    x = data(layer, 6, 4)
    hx = tuple(torch.randn(layers, 4, width) for width in (option.get("proj_size", 9), 9))
    y, final = layer(x, hx)
    state = layer.start(hx=hx)
    time = 1 if layer.batch_first else 0
    first, second = x.split([4, 2], time)
    ys = [layer.block(first, state), torch.stack([layer.step(s, state) for s in second.unbind(time)], time)]
    assert_same(torch.cat(ys, time), y)
    assert_same(state.hx(), final)


@given(
    cell=st.sampled_from(CELLS),
    H=st.integers(1, 50),
    I=st.integers(1, 5),
    B=st.integers(1, 4),
    layers=st.integers(1, 3),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    double=st.booleans(),
)
def test_any_split_is_the_whole_sequence(cell, H, I, B, layers, lengths, double):
    """Blocks of any lengths, none included, and single steps where the length is one."""
    layer = layer_of(cell, I, H, num_layers=layers, dtype=torch.float64 if double else torch.float32)
    x = data(layer, sum(lengths) + 1, B)
    state, ys = layer.start(B), []
    for part in x.split([*lengths, 1]):
        ys.append(layer.step(part[0], state)[None] if len(part) == 1 else layer.block(part, state))
    y, hx = layer(x)
    assert_same(torch.cat(ys), y)
    assert_same(state.hx(), hx)


@pytest.mark.skipif(not KERNELS, reason="without kernels there is one instruction set")
@pytest.mark.parametrize("name", instruction_sets())
def test_every_instruction_set(name):
    """Also when it changes under a stream, whose weights are packed for another."""
    before, layer = instruction_set(), layer_of("gru", 3, 20)
    x, state = data(layer, 6, 2), layer.start(2)
    whole = layer(x)[0]
    layer.step(x[0], state)
    try:
        use_instruction_set(name)
        torch.testing.assert_close(steps(layer, x[1:], state), whole[1:])
        assert_same(steps(layer, x, layer.start(2)), layer(x)[0])
    finally:
        use_instruction_set(before)


def test_many_threads_give_the_same_bits():
    """A step of these sizes is divided among four threads by rows, and by units."""
    for B, H in ((64, 128), (1, 700)):
        layer = layer_of("lstm", 30, H)
        x, ys = data(layer, 3, B), []
        for threads in (1, 4):
            torch.set_num_threads(threads)
            state = layer.start(B)
            ys.append(torch.cat([steps(layer, x[:1], state), layer.block(x[1:], state)]))
        assert_same(*ys)


def step_of_two(rows, states):
    a, b = rows
    h, m = states
    return (a + b).tanh() / 2 + h / 4, m + a.sigmoid()


@pytest.mark.parametrize("case", ["own cell", "bfloat16", "no kernels", "parametrised"])
def test_without_a_kernel_it_is_the_same(case, monkeypatch):
    layer = layer_of("lstm", 3, 7, dtype=torch.bfloat16 if case == "bfloat16" else None)
    if case == "own cell":
        own = carrousel.cells.Cell("own", rows="ab", from_x="ab", from_h="b", states="hm", step=step_of_two)
        layer = carrousel.Recurrent(own, 3, 7).eval()
    elif case == "no kernels":
        monkeypatch.setattr(streaming, "has_kernel", lambda cell, x: False)
    elif case == "parametrised":
        nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    x, state = data(layer, 5, 2), layer.start(2)
    y, hx = layer(x)
    close = {"rtol": 0.05, "atol": 0.02} if case == "bfloat16" else {}
    torch.testing.assert_close(torch.cat([steps(layer, x[:2], state), layer.block(x[2:], state)]), y, **close)
    for mine, theirs in zip(state.hx(), hx, strict=True):
        torch.testing.assert_close(mine, theirs, **close)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("own", AWKWARD, ids=lambda cell: cell.name)
@pytest.mark.parametrize("B", [1, 3])
def test_cells_compiled_at_run_time(own, B):
    layer = carrousel.Recurrent(compiled(*AWKWARD)[own.name], 3, 20, num_layers=2).eval()
    x, state = data(layer, 6, B), layer.start(B)
    y, hx = layer(x)
    assert_same(torch.cat([steps(layer, x[:3], state), layer.block(x[3:], state)]), y)
    assert_same(state.hx(), hx)
    assert state._packed is not None


# ---- forms of input and output


def test_one_row_without_its_batch():
    layer = layer_of("gru", 3, 7)
    x, state = data(layer, 5, 1), layer.start()
    y, _ = layer(x)
    assert_same(layer.step(x[0, 0], state), y[0, 0])
    assert_same(layer.block(x[1:, 0], state), y[1:, 0])


@pytest.mark.parametrize("usable", [True, False])
def test_numpy_gives_numpy(usable):
    layer = layer_of("lstm", 3, 7)
    x = data(layer, 5, 2)
    y, _ = layer(x)
    given, state = x.numpy(), layer.start(2)
    if not usable:
        given = given.copy()[::-1][::-1]
        given.flags.writeable = False
    out = np.empty((2, 7), np.float32)
    first, second, rest = (
        layer.step(given[0], state),
        layer.step(given[1], state, out=out),
        layer.block(given[2:], state),
    )
    assert second is out
    assert isinstance(rest, np.ndarray)
    assert np.array_equal(np.concatenate([first[None], second[None], rest]), y.numpy())


def test_out_is_written_and_given_back():
    layer = layer_of("lstm", 3, 7)
    x, state, out = data(layer, 5, 2), layer.start(2), torch.empty(2, 7)
    y, _ = layer(x)
    for k in range(3):
        assert layer.step(x[k], state, out=out) is out
        assert_same(out, y[k])
    place = torch.empty(2, 2, 7)
    assert layer.block(x[3:], state, out=place) is place
    assert_same(place, y[3:])


def test_a_result_is_not_overwritten_by_the_next():
    layer = layer_of("lstm", 3, 7)
    x, state = data(layer, 2, 1), layer.start()
    first = layer.step(x[0], state)
    kept = first.clone()
    layer.step(x[1], state)
    assert_same(first, kept)


def test_input_may_lie_anywhere():
    layer = layer_of("lstm", 3, 7)
    x = data(layer, 4, 2)
    strided = torch.stack([x, x + 1], -1)[..., 0]
    state = layer.start(2)
    assert_same(torch.cat([layer.step(strided[0], state)[None], layer.block(strided[1:], state)]), layer(x)[0])


def test_nothing_to_do():
    layer = layer_of("lstm", 3, 7)
    state = layer.start(2)
    assert layer.block(torch.empty(0, 2, 3), state).shape == (0, 2, 7)
    none = layer.start(0)
    assert layer.step(torch.empty(0, 3), none).shape == (0, 7)
    assert len(State.cat([none, state])) == 2
    assert not any(t.any() for t in state.hx())


def test_inference_mode_at_any_moment():
    with torch.inference_mode():
        layer = layer_of("lstm", 3, 7)
        state = layer.start(2)
        x = torch.randn(4, 2, 3)
        y = [layer.step(x[0], state), layer.step(x[1], state)]
    y += [layer.step(x[2].clone(), state)]
    state.reset([])
    with torch.inference_mode():
        y += [layer.step(x[3], state)]
        assert torch.equal(torch.stack(y), layer(x)[0])


def test_autocast_does_not_act():
    layer = layer_of("lstm", 3, 7)
    x, state = data(layer, 4, 2), layer.start(2)
    with torch.autocast("cpu", torch.bfloat16):
        y = steps(layer, x, state)
    assert_same(y, layer(x)[0])


def test_under_torch_compile():
    layer = layer_of("lstm", 3, 7)
    x, state = data(layer, 4, 2), layer.start(2)

    @torch.compile(backend="eager")
    def twice(x, state):
        return layer.step(x, state) * 2

    y = torch.stack([twice(step, state) for step in x])
    torch.testing.assert_close(y, layer(x)[0] * 2)
