"""MLSTM's options that all layers have: initial values, learned states, streams; and those that it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from twins import assert_equal_to_1e10

import carrousel
from carrousel import State
from carrousel.layers.mlstm.memory import Memory

DOUBLE = torch.float64


def make(**options):
    """A layer whose gates depend on the input too, and without gradients."""
    layer = carrousel.MLSTM(3, 8, **{"num_layers": 2, "num_heads": 2, "chunk_size": 4, "dtype": DOUBLE} | options)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return layer.requires_grad_(False)


def of(y, hx):
    return {"y": y.detach()} | {name: state.detach() for name, state in zip("Cnm", hx, strict=True)}


# ---- initial values


def test_forget_bias():
    layer = carrousel.MLSTM(3, 8, num_layers=2, bidirectional=True, num_heads=2, forget_bias=1.5)
    for suffix in ("l0", "l0_reverse", "l1", "l1_reverse"):
        assert layer.get_parameter(f"bias_ih_{suffix}")[-2:].tolist() == [1.5, 1.5]
        assert layer.get_parameter(f"bias_ih_{suffix}")[-4:-2].any()


def test_chrono():
    layer = carrousel.MLSTM(3, 400, num_heads=200, longest_lag=101)
    i, f = layer.bias_ih_l0[-400:].split(200)
    assert torch.equal(i, -f)
    assert 0 <= f.min() < math.log(10)
    assert math.log(90) < f.max() <= math.log(100)


def test_torchs_draw():
    layer = carrousel.MLSTM(3, 100, num_heads=2, initialise="torch")
    for parameter in layer.parameters():
        assert 0.08 < parameter.abs().max() <= 0.1
    assert "initialise='torch'" in repr(layer)
    without = carrousel.MLSTM(3, 100, bias=False, initialise="torch")
    assert without.weight_ih_l0[-2:].abs().max() > 0


def test_the_cell_is_the_layers_step():
    layer = make(num_layers=1, num_heads=1)
    x = torch.randn(1, 5, 3, dtype=DOUBLE)
    hx = tuple(torch.randn(1, 5, *rest, dtype=DOUBLE) for _, *rest in layer._state_sizes)
    rows = (x[0] @ layer.weight_ih_l0.T + layer.bias_ih_l0).split([8, 8, 8, 8, 1, 1], -1)
    by_head = [row[:, None] for row in rows[:4]] + list(rows[4:])
    last = layer.cell.step(by_head, Memory(*(state[0] for state in hx)))
    assert_equal_to_1e10(dict(zip("Cnm", last)), dict(zip("Cnm", (state[0] for state in layer(x, hx)[1]))))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"initialise": "orthogonal"}, ValueError, "initialise='orthogonal'.*MLSTM has no recurrent weights"),
        ({"initialise": "zeros"}, ValueError, "initialise='zeros' is not among"),
        ({"forget_bias": 1.0, "bias": False}, ValueError, "forget_bias=1.0 sets biases, and with bias=False"),
        ({"forget_bias": "1"}, TypeError, "forget_bias='1' must be a number"),
        ({"forget_bias": 1.0, "longest_lag": 9}, ValueError, "set the same biases: give one"),
        ({"learn_initial": 1}, TypeError, "learn_initial=1 must be True or False"),
        ({"proj_size": 2}, ValueError, "proj_size=2 does not go with MLSTM"),
        ({"memory": "none"}, ValueError, "memory='none' is not known"),
        ({"zoneout": 0.1}, TypeError, "zoneout"),
    ],
    ids=str,
)
def test_bad_options(options, error, says):
    with pytest.raises(error, match=says):
        carrousel.MLSTM(3, 8, **options)


# ---- learned initial states


def test_a_learned_initial_state():
    """Where sequences begin, and after resets; not where hx is given."""
    layer = make(bidirectional=True, learn_initial=True)
    plain = make(bidirectional=True)
    plain.load_state_dict({name: w for name, w in layer.state_dict().items() if not name.startswith("initial_")})
    x, resets = torch.randn(6, 3, 3, dtype=DOUBLE), torch.rand(6, 3) < 0.3
    assert list(layer.state_dict())[-3:] == ["initial_C", "initial_n", "initial_m"]
    initial = (layer.initial_C, layer.initial_n, layer.initial_m)
    assert [tuple(s.shape) for s in initial] == [(4, 1, 2, 4, 4), (4, 1, 2, 4), (4, 1, 2)]
    hx = tuple(s.expand(-1, 3, *s.shape[2:]) for s in initial)
    assert_equal_to_1e10(of(*layer(x, resets=resets)), of(*plain(x, hx, resets=resets, initial=initial)))
    other = tuple(torch.rand_like(s) for s in hx)
    assert_equal_to_1e10(of(*layer(x, other)), of(*plain(x, other)))
    assert_equal_to_1e10(of(*layer(x[:, 1])), {k: v[:, 1] for k, v in of(*layer(x)).items()})


def test_it_begins_with_zeros_and_learns():
    layer = carrousel.MLSTM(3, 8, num_heads=2, learn_initial=True)
    assert not any(state.any() for state in layer._initial())
    layer(torch.randn(6, 3, 3))[0].square().sum().backward()
    assert layer.initial_C.grad.any()


# ---- streams


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"learn_initial": True}], ids=str)
def test_steps_and_blocks_are_the_whole_sequence(options):
    layer = make(**options)
    x = torch.randn(9, 3, 3, dtype=DOUBLE)
    turned = (lambda t: t.transpose(0, 1)) if layer.batch_first else (lambda t: t)
    y, hx = layer(turned(x))
    state, room = layer.start(3), torch.empty(3, 8, dtype=DOUBLE)
    ys = [layer.step(x[0], state), layer.step(x[1], state, out=room).clone()]
    ys += turned(layer.block(turned(x[2:7]), state)).unbind(0)
    wide = torch.empty_like(turned(torch.empty(2, 3, 8, dtype=DOUBLE))).contiguous()
    assert layer.block(turned(x[7:]), state, out=wide) is wide
    assert_equal_to_1e10(of(torch.stack([*ys, *turned(wide)]), state.hx()), of(turned(y), hx))
    assert layer.block(turned(x[:0]), state).shape == (*turned(x[:0]).shape[:2], 8)


def test_one_row_and_numpy():
    layer = make()
    x = np.random.default_rng(0).standard_normal((5, 3))
    state, other = layer.start(), layer.start()
    out = np.empty(8)
    ys = [layer.step(x[0], state), layer.step(x[1], state, out=out).copy(), *layer.block(x[2:], state)]
    assert all(isinstance(y, np.ndarray) for y in ys)
    expected = [layer.step(torch.from_numpy(row), other).numpy() for row in x]
    np.testing.assert_allclose(np.stack(ys), np.stack(expected), atol=1e-12)


def test_rows_begin_anew_are_taken_and_joined(tmp_path):
    layer = make(learn_initial=True)
    x, state = torch.randn(4, 3, 3, dtype=DOUBLE), layer.start(3)
    layer.block(x, state)
    before, fresh = state.hx(), layer.start(1).hx()
    state.save(tmp_path / "state")
    state.reset([1])
    for now, old, new in zip(state.hx(), before, fresh, strict=True):
        assert torch.equal(now[:, [0, 2]], old[:, [0, 2]])
        assert torch.equal(now[:, 1], new[:, 0])
    state[:1] = State.load(tmp_path / "state", layer)[[2]]
    joined = State.cat([state[[1]], state[:1]]).hx()
    for both, old, new in zip(joined, before, fresh, strict=True):
        assert torch.equal(both, torch.stack([new[:, 0], old[:, 2]], 1))
    again = layer.start(hx=before)
    again.reset()
    assert all(torch.equal(now, new.expand_as(now)) for now, new in zip(again.hx(), fresh, strict=True))


STREAMS = {
    "negative": (lambda layer: layer.start(-1), ValueError, r"MLSTM.start: batch=-1 must not be negative"),
    "a float": (lambda layer: layer.start(2.0), TypeError, r"batch=2\.0 must be an int"),
    "both directions": (lambda _: make(bidirectional=True).start(), ValueError, "a bidirectional layer needs the end"),
    "two states": (lambda layer: layer.start(hx=(torch.zeros(1),) * 2), TypeError, r"a tuple of 3 tensors \(C, n, m\)"),
    "shapes": (lambda layer: layer.start(hx=(torch.zeros(1),) * 3), ValueError, r"C of hx is \[1\], expected \[2, 1"),
    "no state": (lambda layer: layer.step(torch.zeros(1, 3), None), TypeError, "the state is a NoneType"),
    "width": (lambda layer: layer.step(torch.zeros(1, 4), layer.start()), ValueError, r"is \[1, 1, 4\], expected"),
    "steps": (lambda layer: layer.step(torch.zeros(1, 1, 3), layer.start()), ValueError, r"is \[1, 1, 3\], expected"),
    "out": (
        lambda layer: layer.step(torch.zeros(1, 3, dtype=DOUBLE), layer.start(), out=torch.zeros(1, 7)),
        ValueError,
        r"out is \[1, 7\], expected \[1, 8\]",
    ),
    "dropout": (
        lambda _: (layer := make(dropout=0.5)).step(torch.zeros(1, 3, dtype=DOUBLE), layer.start()),
        RuntimeError,
        "dropout=0.5 acts in training mode",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "error", "says"), STREAMS.values(), ids=list(STREAMS))
def test_what_streams_refuse(wrong, error, says):
    with pytest.raises(error, match=says):
        wrong(make())
