"""sLSTM: its stabiliser changes nothing, zeros are the empty memory, and heads are layers side by side."""

from __future__ import annotations

import copy

import pytest
import torch
from sequences import Sequence, make_sequence, run, weight_name
from torch.autograd import gradcheck
from twins import Size, assert_equal_to_1e10, scalar_of

import carrousel
from carrousel.cells import ALL, Cell, exp, sigmoid, tanh
from carrousel.fused import fused
from carrousel.layers.heads import WIDE_HEAD
from carrousel.scan import scan

SIZE = Size(T=7, B=3, I=4, H=6)
DOUBLE = torch.float64


def unstabilised_step(rows, states):
    """Beck 2024, equations 8 to 14: no m."""
    z, i, f, o = rows
    _, c, n = states
    c, n = sigmoid(f) * c + exp(i) * tanh(z), sigmoid(f) * n + exp(i)
    return sigmoid(o) * c / n, c, n


UNSTABILISED = Cell("unstabilised", "zifo", "zifo", "zifo", "hcn", unstabilised_step)


def from_nothing(size=SIZE, way="plain"):
    """A sequence whose memory is empty at the start."""
    sequence = make_sequence("slstm", size, way)
    for name in "cnm":
        sequence.tensors[name] = torch.zeros_like(sequence.tensors[name])
    return sequence


@pytest.mark.parametrize("function", [scan, fused])
def test_stabilised_is_unstabilised(function):
    """h, and c and n times e^m."""
    sequence = from_nothing()
    y, (h, c, n, m) = sequence.call(function)
    plain = Sequence(UNSTABILISED, {name: t for name, t in sequence.tensors.items() if name != "m"})
    expected, (_, c_plain, n_plain) = plain.call(scan)
    assert_equal_to_1e10({"y": y, "c": c * m.exp(), "n": n * m.exp()}, {"y": expected, "c": c_plain, "n": n_plain})
    assert torch.equal(h, y[-1])


def test_gradients_are_those_of_the_unstabilised():
    """The stabiliser has no say in what comes out: nor in its gradients."""
    sequence = from_nothing()
    names = ["x", "h", *(weight_name(name) for name in ("W", "R", "b_x", "b_h"))]
    leaves = [sequence.tensors[name].requires_grad_() for name in names]
    plain = Sequence(UNSTABILISED, {name: t for name, t in sequence.tensors.items() if name != "m"})
    weights = torch.randn(SIZE.T, SIZE.B, SIZE.H, dtype=DOUBLE)
    ours = torch.autograd.grad((sequence.call(fused)[0] * weights).sum(), leaves)
    theirs = torch.autograd.grad((plain.call(scan)[0] * weights).sum(), leaves)
    assert_equal_to_1e10(dict(zip(names, ours)), dict(zip(names, theirs)))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("shift", [-1000.0, 1000.0])
def test_input_gates_far_outside_the_range_of_exp(dtype, shift):
    """A constant added to every input gate changes nothing but m: e^1000 is in no number's range."""
    sequence, moved = from_nothing().to(dtype), from_nothing().to(dtype)
    moved.tensors = {name: t.clone() for name, t in sequence.tensors.items()}
    moved.tensors[weight_name("b_x")][SIZE.H : 2 * SIZE.H] += shift
    (y, states), (y_moved, moved_states) = sequence.call(fused), moved.call(fused)
    close = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-10}
    torch.testing.assert_close(y_moved, y, **close)
    torch.testing.assert_close(moved_states[3], states[3] + shift, **close)


@pytest.mark.parametrize("function", [scan, fused])
def test_gradients_from_the_empty_memory(function):
    sequence = from_nothing(Size(T=3, B=2, I=2, H=3))
    names = ["x", "h", *(weight_name(name) for name in ("W", "R", "b_x", "b_h"))]
    leaves = [sequence.tensors[name].requires_grad_() for name in names]

    def outputs(*tensors):
        y, states = sequence.call(function, **dict(zip(names, tensors, strict=True)))
        return (y, *states)

    assert gradcheck(outputs, leaves)


def test_what_stands_beside_an_empty_n_does_not_count():
    sequence = from_nothing()
    y, _ = sequence.call(fused)
    sequence.tensors["m"] += 50.0
    assert torch.equal(sequence.call(fused)[0], y)


def test_resets_restore_the_empty_memory():
    layer = carrousel.SLSTM(4, 6).double()
    x, resets = torch.randn(9, 2, 4, dtype=DOUBLE), torch.zeros(9, 2, dtype=torch.bool)
    resets[5] = True
    y, hx = layer(x, resets=resets)
    second, expected = layer(x[5:])
    assert_equal_to_1e10({"y": y[5:].detach()}, {"y": second.detach()})
    assert_equal_to_1e10(dict(enumerate(map(torch.detach, hx))), dict(enumerate(map(torch.detach, expected))))


# ---- heads


def by_heads(layer, x):
    """Each head as a layer of its own: y [T, B, H], states [1, B, H]."""
    N, d = layer.num_heads, layer.hidden_size // layer.num_heads
    ys, states = [], []
    for head in range(N):
        own = carrousel.SLSTM(layer.input_size, d).double()
        mine = slice(head * d, (head + 1) * d)
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            blocks = getattr(layer, name).detach().unflatten(0, (4, layer.hidden_size))
            getattr(own, name).data.copy_(blocks[:, mine].flatten(0, 1))
        y, hx = own(x)
        ys.append(y)
        states.append(hx)
    return torch.cat(ys, -1), [torch.cat(state, -1) for state in zip(*states)]


def randomised(layer):
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return layer


# Too narrow for a call of their own, and wide enough.
HEADS = {"narrow": (6, 3), "wide": (2 * WIDE_HEAD, 2)}


@pytest.mark.parametrize(("H", "num_heads"), HEADS.values(), ids=HEADS)
def test_heads_are_layers_side_by_side(H, num_heads):
    layer = randomised(carrousel.SLSTM(4, H, num_heads=num_heads).double())
    assert layer.weight_hh_l0.shape == (4 * H, H // num_heads)
    x = torch.randn(7, 2, 4, dtype=DOUBLE)
    y, hx = layer(x)
    expected, states = by_heads(layer, x)
    assert_equal_to_1e10({"y": y.detach()}, {"y": expected.detach()})
    assert_equal_to_1e10(dict(enumerate(map(torch.detach, hx))), dict(enumerate(map(torch.detach, states))))


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_wide_heads_are_a_matrix_of_blocks(options, monkeypatch):
    """Head after head, or all at once with zeros between: lengths, resets, what is inside, and all gradients."""
    layer = randomised(carrousel.SLSTM(3, 2 * WIDE_HEAD, num_heads=2, **options).double())
    x = torch.randn(5, 5, 3, dtype=DOUBLE)
    given = {"lengths": [5, 0, 3, 4, 1], "resets": torch.rand(5, 5) < 0.3, "return_states": True, "return_gates": True}
    found = []
    for alone in (WIDE_HEAD, 10**6):
        monkeypatch.setattr(carrousel.layers.stack, "WIDE_HEAD", alone)
        y, hx, inside = layer(x, **given)
        total = scalar_of([y, *hx, *(tensor for of_field in inside for tensor in of_field)])
        gradients = torch.autograd.grad(total, list(layer.parameters()))
        outputs = {"y": y, **dict(zip("hcnm", hx)), "f": inside.f[-1]}
        found.append({name: t.detach() for name, t in outputs.items()} | dict(enumerate(gradients)))
    assert_equal_to_1e10(*found)


@pytest.mark.parametrize(("H", "num_heads"), HEADS.values(), ids=HEADS)
def test_gradients_of_heads(H, num_heads):
    layer = randomised(carrousel.SLSTM(3, H, num_heads=num_heads, num_layers=2, bidirectional=True).double())
    x = torch.randn(4, 2, 3, dtype=DOUBLE)
    names, leaves = zip(*layer.named_parameters())

    def outputs(*tensors):
        return torch.func.functional_call(layer, dict(zip(names, tensors, strict=True)), (x,))[0]

    assert gradcheck(outputs, leaves, fast_mode=True)


@pytest.mark.parametrize(("H", "num_heads"), [(6, 1), *HEADS.values()])
def test_streams_are_the_whole_sequence(H, num_heads):
    layer = randomised(carrousel.SLSTM(3, H, num_layers=2, num_heads=num_heads)).requires_grad_(False)
    x, state = torch.randn(8, 2, 3), layer.start(2)
    y, hx = layer(x)
    ys = [*(layer.step(one, state) for one in x[:3]), *layer.block(x[3:], state)]
    torch.testing.assert_close(torch.stack(ys), y)
    for got, expected in zip(state.hx(), hx, strict=True):
        torch.testing.assert_close(got, expected)


def test_a_copy_has_its_heads():
    layer = carrousel.SLSTM(3, 6, num_heads=3)
    assert repr(layer) == "SLSTM(3, 6, num_heads=3)"
    twin = copy.deepcopy(layer)
    x = torch.randn(4, 2, 3)
    assert torch.equal(twin(x)[0], layer(x)[0])
    assert twin.num_heads == 3


@pytest.mark.parametrize("num_heads", [0, -1, 4, 1.5, "2"])
def test_heads_that_do_not_divide_the_units(num_heads):
    with pytest.raises(ValueError, match=r"num_heads=.* divides hidden_size=6"):
        carrousel.SLSTM(3, 6, num_heads=num_heads)


def test_states_of_other_heads_are_refused(tmp_path):
    layers = [carrousel.SLSTM(3, 6, num_heads=n).requires_grad_(False) for n in (2, 3)]
    layers[0].start(1).save(tmp_path / "state")
    with pytest.raises(ValueError, match="slstm of 2 heads"):
        carrousel.State.load(tmp_path / "state", layers[1])


def test_there_is_no_projection():
    with pytest.raises(ValueError, match="proj_size=2 does not go with SLSTM"):
        carrousel.SLSTM(3, 6, proj_size=2)


def test_random_states_are_those_of_scan():
    """Also those that no sequence ends with: n below zero is the empty memory."""
    sequence = make_sequence("slstm", SIZE)
    assert (sequence.tensors["n"] < 0).any()
    assert_equal_to_1e10(run(fused, sequence, DOUBLE), run(scan, sequence, DOUBLE))
    assert ALL["slstm"].forget_gate == "f"
