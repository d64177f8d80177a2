"""The states of streams: rows, copies, files."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from streams import assert_same, data, layer_of, started, tuple_of, without_gradients

import carrousel
from carrousel import State
from carrousel.errors import UserError

no_gradients = pytest.fixture(autouse=True)(without_gradients)


@pytest.fixture(params=["lstm", "gru"])
def layer(request):
    return layer_of(request.param, 3, 7, num_layers=2)


ROWS = [
    0,
    -1,
    slice(1, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(9, 3),
    [2, 0],
    [],
    [True, False, False, True],
    np.array([1, 3]),
]


@pytest.mark.parametrize("rows", [*ROWS, torch.tensor([False] * 4), torch.tensor([3, 1])], ids=str)
def test_rows(layer, rows):
    state = started(layer)
    index = torch.tensor([*range(4)[rows]]).long() if isinstance(rows, slice) else torch.arange(4)[rows].reshape(-1)
    before = tuple_of(state.hx())
    some = state[rows]
    assert_same(some.hx(), tuple(t[:, index] for t in before))
    some.reset()
    assert not any(t.any() for t in tuple_of(some.hx()))
    assert_same(state.hx(), before)  # a copy
    state.reset(rows)
    left = torch.ones(4, dtype=torch.bool)
    left[index] = False
    for t, old in zip(tuple_of(state.hx()), before, strict=True):
        assert not t[:, ~left].any()
        assert torch.equal(t[:, left], old[:, left])
    other = started(layer)[index]
    state[rows] = other
    assert_same(tuple(t[:, index] for t in tuple_of(state.hx())), other.hx())


def test_a_reset_row_begins_anew_and_the_others_go_on(layer):
    x = data(layer, 6, 3)
    state = layer.start(3)
    layer.block(x[:4], state)
    state.reset([1])
    y = layer.block(x[4:], state)
    torch.testing.assert_close(y[:, [0, 2]], layer(x[:, [0, 2]])[0][4:])
    torch.testing.assert_close(y[:, 1], layer(x[4:, 1:2])[0][:, 0])


def test_not_a_number_does_not_survive_a_reset(layer):
    state = layer.start(2)
    layer.step(torch.full((2, 3), float("nan")), state)
    state.reset(0)
    for t in tuple_of(state.hx()):
        assert not t[:, 0].any()
        assert t[:, 1].isnan().any()


def test_parts_are_joined(layer):
    state = started(layer)
    assert_same(State.cat([state[2:], state[:2]]).hx(), state[[2, 3, 0, 1]].hx())


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (4, IndexError, r"rows \[4\] are not all among the state's 4 rows"),
        ([0, -5], IndexError, "not all among"),
        ([True, False], ValueError, r"mask of rows has shape \[2\], but the state has 4 rows"),
        ([[0, 1]], ValueError, r"rows have shape \[1, 2\]"),
        ([0.5], TypeError, "integers or bool, not torch.float32"),
        ("first", TypeError, "not 'first'"),
        (None, TypeError, "not None"),
    ],
)
def test_wrong_rows(layer, rows, error, words):
    state = started(layer)
    before = state.hx()
    with pytest.raises(error, match=words):
        state[rows]
    with pytest.raises(error, match=words):
        state[rows] = state[:1]
    if rows is not None:
        with pytest.raises(error, match=words):
            state.reset(rows)
    assert_same(state.hx(), before)


def test_wrong_parts(layer):
    state, other = started(layer), layer_of("lstm", 3, 7, num_layers=2).start(2)
    with pytest.raises(ValueError, match="the states belong to two layers"):
        State.cat([state, other])
    with pytest.raises(ValueError, match=r"one state is torch.float32 on cpu, another torch.float64"):
        State.cat([state, state.to(torch.float64)])
    with pytest.raises(ValueError, match="takes one state or more"):
        State.cat([])
    with pytest.raises(TypeError, match=r"State.cat takes a sequence of states, not NoneType"):
        State.cat(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes states from layer.start, not Tensor"):
        state[:1] = torch.zeros(1)
    with pytest.raises(ValueError, match="2 rows are replaced, but other has 1"):
        state[:2] = state[:1]
    for rows in ([0, 0], [1, -3, 0], torch.tensor([1, 1])):
        before = state.hx()
        with pytest.raises(ValueError, match=r"rows \[.*\] name one of them twice"):
            state[rows] = State.cat([state[:1]] * len(rows))
        assert_same(state.hx(), before)


def through_pickle(state):
    return pickle.loads(pickle.dumps(state))


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, through_pickle, State.clone])
def test_a_copy_goes_its_own_way(layer, way):
    state, x = started(layer), data(layer, 2, 4)
    layer.step(x[0], state)  # it has a compiled stream, which the copy must not share
    twin = way(state)
    assert_same(twin.hx(), state.hx())
    before = state.hx()
    y = layer.step(x[1], twin)
    assert_same(state.hx(), before)
    assert_same(layer.step(x[1], state), y)


def test_a_model_is_copied_with_its_stream(layer):
    pair = [layer, started(layer)]
    for twin, state in (copy.deepcopy(pair), through_pickle(pair)):
        x = data(layer, 1, 4)[0]
        assert_same(twin.step(x, state), layer.step(x, pair[1].clone()))


def test_saved_and_loaded(layer, tmp_path):
    state, file = started(layer), tmp_path / "state.safetensors"
    state.save(file)
    twin = layer_of(layer.cell.name, 3, 7, num_layers=2)
    twin.load_state_dict(layer.state_dict())
    loaded_state, x = State.load(str(file), twin), data(layer, 1, 4)[0]
    assert_same(loaded_state.hx(), state.hx())
    assert_same(twin.step(x, loaded_state), layer.step(x, state))


def test_files_that_are_refused(layer, tmp_path):
    file = tmp_path / "state.safetensors"
    started(layer).save(file)
    cell = layer.cell.name
    with pytest.raises(
        ValueError, match=rf"a state of Recurrent\({cell}, 3, 7, num_layers=2\), but the layer is .*3, 8"
    ):
        State.load(file, layer_of(cell, 3, 8, num_layers=2))
    with pytest.raises(ValueError, match=r"contains a state in torch.float32, but the layer computes in torch.float64"):
        State.load(file, layer_of(cell, 3, 7, num_layers=2, dtype=torch.float64))
    with pytest.raises(UserError, match=r"does not exist: name a file that State.save has written"):
        State.load(tmp_path / "nothing", layer)
    with pytest.raises(TypeError, match="layer=3 is not a layer"):
        State.load(file, 3)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match="truncated"):
        State.load(file, layer)
    with pytest.raises(
        UserError, match=r"could not be saved \(No such file or directory\); free some disk space, or name another file"
    ):
        started(layer).save(tmp_path / "no folder" / "state")


def test_it_prints_what_it_is():
    assert repr(carrousel.LSTM(3, 4).start(2)) == "State(LSTM(3, 4), batch=2, dtype=torch.float32, device='cpu')"
    assert repr(layer_of("gru", 3, 4).start(1)).startswith("State(Recurrent(gru, 3, 4), batch=1")
    assert len(carrousel.LSTM(3, 4).start(2)) == 2


def test_hx_is_a_copy_both_ways():
    layer = layer_of("lstm", 3, 7)
    hx = (torch.randn(1, 2, 7), torch.randn(1, 2, 7))
    before = tuple(t.clone() for t in hx)
    state = layer.start(hx=hx)
    layer.step(torch.randn(2, 3), state)
    assert_same(hx, before)
    taken = state.hx()
    kept = tuple(t.clone() for t in taken)
    layer.step(torch.randn(2, 3), state)
    assert_same(taken, kept)
