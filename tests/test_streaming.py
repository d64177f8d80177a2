"""Streams: step by step and block by block they are the whole sequence; their states; what is refused."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from own_cells import AWKWARD, compiled, needs_compiler
from torch import nn

import carrousel
from carrousel import State
from carrousel.cells import ALL
from carrousel.errors import UserError
from carrousel.fused import instruction_set, instruction_sets, use_instruction_set
from carrousel.kernel import KERNELS
from carrousel.layers import streaming

CELLS = list(ALL)
# H: one tail, all groups in registers, group by group; I: in the step, and too wide for it.
SIZES = {"H7_tail_only": (3, 7), "H40_in_registers": (2, 40), "H70_by_groups": (5, 70), "I70_wide": (70, 9)}


@pytest.fixture(autouse=True)
def _no_gradients():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def layer_of(cell="lstm", I=3, H=7, **options):
    return carrousel.Recurrent(ALL[cell], I, H, **options).eval()


def data(layer, T, B, dtype=None):
    shape = (B, T) if layer.batch_first else (T, B)
    return torch.randn(*shape, layer.input_size, dtype=dtype or layer.weight_ih_l0.dtype)


def tuple_of(hx):
    return hx if isinstance(hx, tuple) else (hx,)


def assert_same(a, b):
    """The same bits, where a kernel computes; torch's own products round otherwise in another number of rows."""
    for one, other in zip(tuple_of(a), tuple_of(b), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other) if KERNELS else torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


def steps(layer, xs, state):
    """Every step of xs [T, B, I], one after another -> y [T, B, P]."""
    return torch.stack([layer.step(x, state) for x in xs])


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


# ---- weights that change


def by_optimizer(fused):
    def change(layer):
        layer.requires_grad_()
        optimizer = torch.optim.SGD(layer.parameters(), 1.0, fused=fused)
        for weight in layer.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step()

    return change


def by_data(layer):
    """As target networks follow their originals."""
    for weight in layer.parameters():
        weight.data.mul_(0.9)


def by_numpy(layer):
    layer.weight_hh_l0.detach().numpy()[:] = 0.25


def one_number(layer):
    layer.weight_hh_l0[2, 1] += 3


def other_memory(layer):
    layer.weight_hh_l0.data = torch.randn_like(layer.weight_hh_l0)


def other_parameter(layer):
    layer.weight_ih_l0 = nn.Parameter(torch.randn_like(layer.weight_ih_l0))


def loaded(layer):
    layer.load_state_dict(layer_of("lstm", 3, layer.hidden_size).state_dict())


CHANGES = [
    by_optimizer(False), by_optimizer(True), by_data, by_numpy, one_number, other_memory, other_parameter, loaded
]  # fmt: skip


@pytest.mark.parametrize("H", [7, 40, 200])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__qualname__)
def test_changed_weights_are_seen_at_the_next_step(change, H):
    layer = layer_of("lstm", 3, H)
    x, state = data(layer, 4, 1), layer.start()
    layer.block(x[:2], state)
    layer.step(x[2], state)
    hx = state.hx()
    change(layer)
    assert_same(layer.step(x[3], state)[None], layer(x[3:], hx)[0])


@pytest.mark.skipif(not KERNELS, reason="without kernels nothing is packed")
def test_a_single_number_that_torch_did_not_count_is_seen_in_time():
    layer = layer_of("lstm", 3, 200)
    x, state = data(layer, 1100, 1), layer.start()
    layer.step(x[0], state)
    layer.weight_hh_l0.data[123, 45] += 3
    packed = layer._streams.packed
    for step in x[1:1025]:
        layer.step(step, state)
    assert layer._streams.packed is not packed


def test_the_layer_moves_and_the_state_after_it():
    layer = layer_of("lstm", 3, 7)
    state = layer.start(2)
    layer.step(torch.randn(2, 3), state)
    layer.double()
    x = torch.randn(2, 3).double()
    for run in (layer.step, layer.block):
        with pytest.raises(ValueError, match=r"the state is torch.float32 on cpu, and the layer torch.float64"):
            run(x if run == layer.step else x[None], state)
    moved = state.to(torch.float64)
    assert_same(layer.step(x, moved)[None], layer(x[None], tuple(t.double() for t in state.hx()))[0])


def test_a_copy_of_a_layer_goes_on_with_its_own_weights():
    layer = layer_of("lstm", 3, 7)
    x, state = data(layer, 3, 2), layer.start(2)
    layer.step(x[0], state)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        nn.init.zeros_(twin.bias_ih_l0)
        its = state.clone()
        assert_same(twin.step(x[1], its)[None], twin(x[1:2], state.hx())[0])


# ---- states


def started(layer, B=4):
    """A state in the middle of a stream."""
    state = layer.start(B)
    layer.block(data(layer, 3, B), state)
    return state


@pytest.fixture(params=["lstm", "gru"])
def layer(request):
    return layer_of(request.param, 3, 7, num_layers=2)


ROWS = [0, -1, slice(1, 3), slice(None, None, 2), [2, 0], [], [True, False, False, True], np.array([1, 3])]


@pytest.mark.parametrize("rows", [*ROWS, torch.tensor([False] * 4), torch.tensor([3, 1])], ids=str)
def test_rows(layer, rows):
    state = started(layer)
    index = torch.arange(4)[[rows] if isinstance(rows, int) else rows]
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
        ([True, False], ValueError, r"mask of rows has shape \[2\], and the state has 4 rows"),
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
    with pytest.raises(TypeError, match=r"takes states that layer.start gave, not Tensor"):
        state[:1] = torch.zeros(1)
    with pytest.raises(ValueError, match="2 rows are to be replaced, and other has 1"):
        state[:2] = state[:1]


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
        ValueError, match=rf"a state of Recurrent\({cell}, 3, 7, num_layers=2\), and the layer is .*3, 8"
    ):
        State.load(file, layer_of(cell, 3, 8, num_layers=2))
    with pytest.raises(ValueError, match=r"holds a state in torch.float32, and the layer computes in torch.float64"):
        State.load(file, layer_of(cell, 3, 7, num_layers=2, dtype=torch.float64))
    with pytest.raises(UserError, match=r"does not exist: name a file that State.save has written"):
        State.load(tmp_path / "nothing", layer)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(UserError, match="truncated"):
        State.load(file, layer)
    with pytest.raises(
        UserError, match=r"could not be saved \(No such file or directory\); make room, or name another file"
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


# ---- what is refused


def test_a_bidirectional_layer_has_no_streams():
    with pytest.raises(ValueError, match=r"LSTM.start: a bidirectional layer needs the end of a sequence"):
        carrousel.LSTM(3, 4, bidirectional=True).start(1)


def test_states_of_others_are_refused():
    layer, x = layer_of("lstm", 3, 7), torch.randn(1, 3)
    for other, words in (
        (layer_of("lstm", 3, 7), r"belongs to another Recurrent\(lstm, 3, 7\): start one here, or take"),
        (layer_of("lstm", 3, 8), r"the state is of Recurrent\(lstm, 3, 8\), and this layer is Recurrent\(lstm, 3, 7\)"),
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
    with pytest.raises(TypeError, match=r"the state is a tuple, expected what layer.start\(\) gives"):
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
        (torch.randn(2, 3).double(), "input is torch.float64 on cpu, and the state torch.float32"),
        (torch.zeros(2, 3, dtype=torch.int64), "input is torch.int64"),
        (torch.empty(2, 3, device="meta"), "input is torch.float32 on meta"),
        ([1.0, 2.0, 3.0], "input is a list"),
        (np.zeros((2, 3)), "input is torch.float64"),
    ],
    ids=str,
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
    ids=str,
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
    ids=str,
)
def test_outs_that_are_refused(out, words):
    layer = layer_of("lstm", 3, 7)
    state = started(layer, 2)
    before = state.hx()
    with pytest.raises(ValueError, match=words):
        layer.step(torch.randn(2, 3), state, out=out)
    assert_same(state.hx(), before)


@pytest.mark.skipif(not KERNELS, reason="torch's operations have read the input when out is written")
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
        with pytest.raises(RuntimeError, match=r"weight_ih_l0 requires a gradient, and streams compute none: put them"):
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
        RuntimeError, match=r"dropout=0.5 acts in training mode, and streams have none: call layer.eval"
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
            "is torch.float64 on cpu, and the layer torch.float32",
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
    with pytest.raises(TypeError, match=r"torch.int64 is not a floating-point type"):
        layer_of("lstm", 3, 7).start(1).to(torch.int64)


# ---- threads and memory


def test_threads_with_a_state_each():
    """Also while another thread trains: each step is made with the weights of before or after, and nothing breaks."""
    layer = layer_of("lstm", 8, 64)
    xs = [data(layer, 60, B) for B in (1, 2, 40, 1)]  # some hold the GIL, some do not
    expected = [layer(x)[0] for x in xs]
    got = [None] * len(xs)

    def run(k):
        with torch.no_grad():
            for _ in range(3):
                state = layer.start(xs[k].shape[1])
                got[k] = torch.cat([steps(layer, xs[k][:30], state), layer.block(xs[k][30:], state)])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y, right in zip(got, expected):
        assert_same(y, right)


@pytest.mark.skipif(not KERNELS, reason="without kernels a state is read and written by torch's operations")
def test_one_state_on_two_threads_is_refused_where_they_meet():
    layer = layer_of("lstm", 8, 256)
    state, x, met = layer.start(16), data(layer, 300, 16), []

    def run():
        try:
            with torch.no_grad():
                for _ in range(20):
                    layer.block(x, state)
        except RuntimeError as error:
            met.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(met) <= 1
    assert all(re.search("at its step on another thread already", words) for words in met)
    layer.block(x[:1], state)


ENDLESS = """
import sys, torch, carrousel

def resident_kilobytes():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4

layer = carrousel.LSTM(1, 8).requires_grad_(False)
x, state, out = torch.randn(1, 1), layer.start(), torch.empty(1, 8)
for count in (1000, int(sys.argv[1])):
    before = resident_kilobytes()
    for _ in range(count):
        layer.step(x, state, out=out)
        layer.step(x, state)
print(resident_kilobytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory")
def test_an_endless_stream_needs_no_more_memory(pytestconfig):
    """In a process of its own: what other tests have left is still moving."""
    count = "1000000" if pytestconfig.getoption("--all") else "50000"
    told = subprocess.run([sys.executable, "-c", ENDLESS, count], check=True, capture_output=True, text=True)
    assert int(told.stdout) < 200  # sixteen bytes a step would be 1600


@pytest.mark.skipif(not KERNELS, reason="torch's operations allocate what they return")
def test_a_step_into_out_makes_no_object_that_stays():
    layer = layer_of("lstm", 1, 8)
    x, state, out = torch.randn(1, 1), layer.start(), torch.empty(1, 8)
    for _ in range(1000):
        layer.step(x, state, out=out)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        layer.step(x, state, out=out)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 500
