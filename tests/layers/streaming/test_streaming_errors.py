"""What streams refuse, and that the state then stays as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from streams import assert_same, layer_of, started, without_gradients

import carrousel
from carrousel.fused.kernels import KERNELS

no_gradients = pytest.fixture(autouse=True)(without_gradients)


def test_a_bidirectional_layer_has_no_streams():
    with pytest.raises(ValueError, match=r"LSTM.start: a bidirectional layer needs the end of a sequence"):
        carrousel.LSTM(3, 4, bidirectional=True).start(1)


def test_states_of_others_are_refused():
    layer, x = layer_of("lstm", 3, 7), torch.randn(1, 3)
    for other, words in (
        (layer_of("lstm", 3, 7), r"belongs to another Recurrent\(lstm, 3, 7\): start one with this layer, or copy it"),
        (layer_of("lstm", 3, 8), r"the state is of Recurrent\(lstm, 3, 8\), but this layer is Recurrent\(lstm, 3, 7\)"),
        (layer_of("gru", 3, 7), r"the state is of Recurrent\(gru, 3, 7\)"),
        (layer_of("lstm", 3, 7, num_layers=2), "num_layers=2"),
    ):
        state = other.start()
        other.step(x, state)
        before = state.hx()
        for run in (lambda state: layer.step(x, state), lambda state: layer.block(x[None], state)):
            with pytest.raises(ValueError, match=words):
                run(state)
        assert_same(state.hx(), before)
    hx = (torch.zeros(1, 1, 7), torch.zeros(1, 1, 7))
    with pytest.raises(TypeError, match=r"the state is a tuple, expected one from layer.start\(\)"):
        layer.step(x, hx)
    with pytest.raises(TypeError, match="the state is a NoneType"):
        layer.block(x[None], None)


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.randn(2, 4), "input_size=3, the state 2 rows"),
        (torch.randn(3, 3), "input_size=3, the state 2 rows"),
        (torch.randn(3), r"input is \[3\], expected \[2, 3\]"),
        (torch.randn(1, 2, 3), r"input is \[1, 2, 3\], expected \[2, 3\]"),
        (torch.randn(2, 3).double(), "input is torch.float64 on cpu, but the state is torch.float32"),
        (torch.zeros(2, 3, dtype=torch.int64), "input is torch.int64"),
        (torch.empty(2, 3, device="meta"), "input is torch.float32 on meta"),
        ([1.0, 2.0, 3.0], "input is a list"),
        (np.zeros((2, 3)), "input is torch.float64"),
    ],
)
def test_inputs_that_do_not_fit_a_step(x, words, bound):
    layer = layer_of("lstm", 3, 7)
    state = started(layer, 2) if bound else layer.start(2)
    before = state.hx()
    with pytest.raises(ValueError, match=words):
        layer.step(x, state)
    assert_same(state.hx(), before)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.randn(5, 2, 4), r"input is \[5, 2, 4\], expected \[T, 2, 3\]"),
        (torch.randn(2, 5, 3), r"expected \[T, 2, 3\]"),
        (torch.randn(2, 3), r"expected \[T, 2, 3\], or \[2, 3\] for one step"),
        (torch.randn(1, 2, 3).half(), "input is torch.float16"),
    ],
)
def test_inputs_that_do_not_fit_a_block(x, words):
    layer = layer_of("lstm", 3, 7)
    state = started(layer, 2)
    before = state.hx()
    with pytest.raises(ValueError, match=words):
        layer.block(x, state)
    assert_same(state.hx(), before)


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (torch.empty(2, 6), r"out is \[2, 6\], expected \[2, 7\]"),
        (torch.empty(2, 7).double(), "out must be torch.float32 on cpu, contiguous"),
        (torch.empty(7, 2).T, "contiguous"),
        (torch.empty(2, 7, device="meta"), "on cpu"),
        (torch.empty(2, 7, requires_grad=True), "without a gradient"),
        (3, r"out is a int, expected \[2, 7\]"),
    ],
)
def test_outs_that_are_refused(out, words):
    layer = layer_of("lstm", 3, 7)
    state = started(layer, 2)
    before = state.hx()
    with pytest.raises(ValueError, match=words):
        layer.step(torch.randn(2, 3), state, out=out)
    assert_same(state.hx(), before)


@pytest.mark.skipif(not KERNELS, reason="torch's operations have read the input when out is written")
def test_a_read_only_out_is_refused():
    layer = layer_of("lstm", 3, 7)
    state, out = started(layer, 2), np.zeros((2, 7), np.float32)
    before = state.hx()
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out is a read-only array"):
        layer.step(np.ones((2, 3), np.float32), state, out=out)
    assert not out.any()
    assert_same(state.hx(), before)


def test_out_must_not_be_the_input():
    layer = layer_of("lstm", 7, 7)
    state, x = started(layer, 2), torch.randn(2, 7)
    with pytest.raises(ValueError, match="out and input overlap in memory"):
        layer.step(x, state, out=x)
    with pytest.raises(ValueError, match="out and input overlap in memory"):
        layer.block(x[None], state, out=x[None])


def test_an_out_that_has_moved_is_looked_at_again():
    layer = layer_of("lstm", 3, 7)
    state, x, out = layer.start(2), torch.randn(2, 3), torch.empty(2, 7)
    layer.step(x, state, out=out)
    layer.step(x, state, out=out)
    out.set_(torch.empty(2, 3))
    with pytest.raises(ValueError, match=r"out is \[2, 3\]"):
        layer.step(x, state, out=out)


@pytest.mark.parametrize("bound", [True, False])
def test_no_gradient_is_given_in_silence(bound):
    layer, x = layer_of("lstm", 3, 7), torch.randn(2, 3)
    state = started(layer, 2) if bound else layer.start(2)
    with torch.enable_grad():
        with pytest.raises(RuntimeError, match=r"weight_ih_l0 requires a gradient, but streams compute none: use"):
            layer.step(x, state)
        layer.requires_grad_(False)
        assert not layer.step(x, state).requires_grad
        with pytest.raises(RuntimeError, match="input requires a gradient"):
            layer.block(x[None].requires_grad_(), state)
        hx = tuple(t.requires_grad_() for t in state.hx())
        with pytest.raises(RuntimeError, match="state h of hx requires a gradient"):
            layer.start(hx=hx)
    assert len(layer.start(hx=hx)) == 2


def test_dropout_is_not_left_out_in_silence():
    layer = layer_of("lstm", 3, 7, num_layers=2, dropout=0.5)
    x, state = torch.randn(2, 3), layer.start(2)
    layer.step(x, state)
    layer.train()
    with pytest.raises(
        RuntimeError, match=r"dropout=0.5 acts in training mode, but streams have no dropout: call layer.eval"
    ):
        layer.step(x, state)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"batch": -1}, ValueError, "batch=-1 must not be negative"),
        ({"batch": 1.0}, TypeError, "batch=1.0 must be an int"),
        ({"batch": True}, TypeError, "batch=True must be an int"),
        ({"hx": torch.zeros(1, 2, 7)}, TypeError, r"hx must be a tuple of 2 tensors \(h, c\), got \[1, 2, 7\]"),
        (
            {"hx": (torch.zeros(1, 2, 7), torch.zeros(1, 3, 7))},
            ValueError,
            r"state c of hx is \[1, 3, 7\], expected \[1, 2",
        ),
        (
            {"hx": (torch.zeros(2, 7), torch.zeros(2, 7))},
            ValueError,
            r"state h of hx is \[2, 7\], expected \[1, 1, 7\]",
        ),
        ({"batch": 3, "hx": (torch.zeros(1, 2, 7),) * 2}, ValueError, r"\[1, 2, 7\], expected \[1, 3, 7\]"),
        (
            {"hx": (torch.zeros(1, 2, 7).double(),) * 2},
            ValueError,
            "is torch.float64 on cpu, but the layer is torch.float32",
        ),
    ],
    ids=str,
)
def test_wrong_starts(arguments, error, words):
    with pytest.raises(error, match=words):
        layer_of("lstm", 3, 7).start(**arguments)


@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.int64, torch.bool, torch.bfloat16]),
    action=st.sampled_from(["step", "block"]),
    out=st.none() | st.lists(st.integers(0, 4), max_size=4),
    bound=st.booleans(),
)
def test_anything_is_right_or_refused(shape, dtype, action, out, bound):
    """An input or out that does not fit is a ValueError, and the state stays; what fits gives what the layer gives."""
    layer = layer_of("gru", 3, 4)
    state = started(layer, 2) if bound else layer.start(2)
    before = state.hx()
    x = torch.ones(shape, dtype=dtype)
    expected = {"step": [2, 3], "block": [len(x) if shape else 0, 2, 3]}[action]
    right = shape == expected and dtype == torch.float32 and out in (None, [*shape[:-1], 4])
    try:
        y = getattr(layer, action)(x, state, out=None if out is None else torch.empty(out))
    except ValueError:
        assert not right
        assert_same(state.hx(), before)
    else:
        assert right
        if x.numel():
            assert_same(y if action == "block" else y[None], layer(x if action == "block" else x[None], before)[0])


def test_a_state_is_never_of_integers():
    with pytest.raises(TypeError, match=r"torch.int64 is not a floating-point dtype"):
        layer_of("lstm", 3, 7).start(1).to(torch.int64)
