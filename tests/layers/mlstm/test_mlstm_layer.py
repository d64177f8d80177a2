"""MLSTM, the layer: its equations, carried memory, lengths, streams, and what is refused."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from mlstm_forms import in_parallel
from torch.autograd import gradcheck, gradgradcheck
from twins import assert_equal_to_1e10

import carrousel
from carrousel import State
from carrousel.layers.mlstm.memory import Inputs

DOUBLE = torch.float64


def make(**options):
    """A layer whose gates depend on the input too."""
    layer = carrousel.MLSTM(3, 8, **{"num_layers": 2, "num_heads": 2, "chunk_size": 4, "dtype": DOUBLE} | options)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return layer


def data(layer, T=11, B=3):
    return torch.randn(*((B, T) if layer.batch_first else (T, B)), 3, dtype=DOUBLE)


def of(y, hx):
    return {"y": y.detach()} | {name: state.detach() for name, state in zip("Cnm", hx)}


def test_a_layer_is_its_equations():
    """Queries, keys, values, output gates; then each head's gates."""
    layer = make(num_layers=1)
    x = data(layer)
    rows = x @ layer.weight_ih_l0.T + layer.bias_ih_l0
    q, k, v, o = (rows[..., 8 * n : 8 * n + 8].unflatten(-1, (2, 4)).permute(1, 2, 0, 3) for n in range(4))
    i, f = (rows[..., 32 + 2 * n : 34 + 2 * n].permute(1, 2, 0) for n in range(2))
    inputs = Inputs(q, k / 2, v, i, torch.nn.functional.logsigmoid(f))
    h = torch.sigmoid(o) * in_parallel(inputs)
    assert_equal_to_1e10({"y": layer(x)[0].detach()}, {"y": h.permute(2, 0, 1, 3).flatten(2).detach()})


@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bias": False}, {"num_heads": 8}], ids=str)
def test_the_memory_is_carried_on(options):
    layer = make(**options)
    x = data(layer)
    time = 1 if layer.batch_first else 0
    y, hx = layer(x)
    first, between = layer(x.narrow(time, 0, 7))
    second, last = layer(x.narrow(time, 7, 4), between)
    assert_equal_to_1e10(of(torch.cat([first, second], time), last), of(y, hx))
    heads = layer.num_heads
    assert [tuple(s.shape) for s in hx] == [
        (2, 3, heads, 8 // heads, 8 // heads),
        (2, 3, heads, 8 // heads),
        (2, 3, heads),
    ]


@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths(batch_first):
    layer = make(batch_first=batch_first)
    x = data(layer)
    lengths = [4, 11, 0]
    there = torch.arange(11) < torch.tensor(lengths)[:, None]
    there = there if batch_first else there.T
    y, hx = layer(x.where(there[..., None], 1e30), lengths=lengths)
    assert not y[~there].any()
    for row, n in enumerate(lengths[:2]):
        own = x[row, :n] if batch_first else x[:n, row]
        alone, states = layer(own)
        got = y[row, :n] if batch_first else y[:n, row]
        assert_equal_to_1e10(of(got, [s[:, row] for s in hx]), of(alone, states))
    assert all(not state[:, 2].any() for state in hx)
    y.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_one_sequence_without_a_batch():
    layer = make()
    x = data(layer)
    y, hx = layer(x)
    alone, states = layer(x[:, 1])
    assert_equal_to_1e10(of(alone, states), of(y[:, 1], [s[:, 1] for s in hx]))
    again, _ = layer(x[:, 1], states)
    assert_equal_to_1e10({"y": again.detach()}, {"y": layer(x, hx)[0][:, 1].detach()})


def test_gradients_of_the_layer():
    layer = make(chunk_size=2)
    x = data(layer, T=5, B=2).requires_grad_()
    names, leaves = zip(*layer.named_parameters())

    def outputs(x, *tensors):
        return torch.func.functional_call(layer, dict(zip(names, tensors, strict=True)), (x,))[0]

    assert gradcheck(outputs, (x, *leaves), fast_mode=True)
    assert gradgradcheck(outputs, (x, *leaves), fast_mode=True)


def test_streams_are_the_whole_sequence(tmp_path):
    layer = make().requires_grad_(False)
    x, state = data(layer), layer.start(3)
    y, hx = layer(x)
    ys = [*(layer.step(one, state) for one in x[:3]), *layer.block(x[3:8], state)]
    state.save(tmp_path / "state")
    state = State.load(tmp_path / "state", layer)
    ys += [*layer.block(x[8:], state)]
    assert_equal_to_1e10(of(torch.stack(ys), state.hx()), of(y, hx))
    state.reset([1])
    assert all(not s[:, 1].any() and s[:, 0].any() for s in state.hx())
    joined = State.cat([state[[0]], layer.start()])
    assert_equal_to_1e10({"y": layer.step(x[0, :2], joined)[0]}, {"y": layer.step(x[0], state)[0]})
    assert layer.block(x[:0], state).shape == (0, 3, 8)


def test_streams_compute_no_gradients_and_know_their_layer():
    layer = make()
    with pytest.raises(RuntimeError, match="weight_ih_l0 requires a gradient"):
        layer.step(data(layer)[0], layer.start(3))
    layer.requires_grad_(False)
    with pytest.raises(ValueError, match="belongs to another"):
        make().requires_grad_(False).step(data(layer)[0], layer.start(3))
    with pytest.raises(ValueError, match="mlstm 4 heads"):
        layer.step(data(layer)[0], make(num_heads=4).start(3))


def test_it_begins_as_its_authors_do():
    layer = carrousel.MLSTM(500, 64, num_layers=2, num_heads=4)
    for weight, bias in ((layer.weight_ih_l0, layer.bias_ih_l0), (layer.weight_ih_l1, layer.bias_ih_l1)):
        assert abs(weight[:256].std() / math.sqrt(2 / (5 * weight.shape[1])) - 1) < 0.05
        assert not weight[256:].any()
        assert not bias[:256].any()
        assert bias[256:260].any()
        assert bias[260:].tolist() == [3, 4, 5, 6]
    assert len(list(carrousel.MLSTM(3, 4, bias=False).parameters())) == 1


def test_dropout_between_layers():
    layer = make(dropout=0.5)
    x = data(layer)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


@pytest.mark.parametrize("way", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies(way):
    layer = make()
    x = data(layer)
    assert torch.equal(way(layer)(x)[0], layer(x)[0])
    assert repr(way(layer)) == "MLSTM(3, 8, num_layers=2, num_heads=2, chunk_size=4)"


def test_compiles():
    layer = make(num_layers=1).float()
    x = data(layer, T=5).float()
    whole = torch.compile(layer, fullgraph=True, backend="eager")
    torch.testing.assert_close(whole(x)[0], layer(x)[0])


def test_compiles_with_lengths():
    layer, x = carrousel.MLSTM(4, 8), torch.randn(5, 3, 4)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for lengths in (torch.tensor([5, 0, 3]), torch.tensor([1, 2, 3])):
        torch.testing.assert_close(whole(x, lengths=lengths)[0], layer(x, lengths=lengths)[0])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_heads": 3}, "num_heads=3 must divide hidden_size=8"),
        ({"num_heads": 0}, "num_heads=0"),
        ({"chunk_size": 0}, "chunk_size=0"),
        ({"chunk_size": 2.0}, r"chunk_size=2\.0"),
        ({"num_layers": 0}, "num_layers must be greater than zero"),
    ],
    ids=str,
)
def test_bad_options(options, says):
    with pytest.raises(ValueError, match=says):
        carrousel.MLSTM(3, 8, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        ([torch.zeros(5, 2, 4)], {}, RuntimeError, "Expected 3, got 4"),
        ([torch.zeros(0, 2, 3)], {}, RuntimeError, "sequence length to be larger than 0"),
        ([torch.zeros(5)], {}, ValueError, "MLSTM: Expected input to be 2D or 3D, got 1D"),
        ([torch.zeros(5, 2, 3).double()], {}, ValueError, "torch.float64.*does not match weight dtype"),
        ([torch.zeros(5, 2, 3)], {"lengths": [1]}, ValueError, "lengths has 1 numbers"),
        ([torch.zeros(5, 2, 3)], {"lengths": [1, 6]}, ValueError, r"lengths\[1\]=6"),
        ([torch.zeros(5, 2, 3)], {"lengths": [1.0, 2.0]}, TypeError, "lengths must be integers"),
        ([torch.zeros(5, 3)], {"lengths": [5]}, ValueError, "without a batch"),
        ([torch.zeros(5, 2, 3)], {"seed": 1}, ValueError, "seed=1 is given, and the layer has no random masks"),
    ],
)
def test_bad_input(arguments, options, error, says):
    with pytest.raises(error, match=says):
        carrousel.MLSTM(3, 8)(*arguments, **options)


C, n, m = torch.zeros(1, 2, 1, 8, 8), torch.zeros(1, 2, 1, 8), torch.zeros(1, 2, 1)
FORM = r"C \[1, B, 1, 8, 8\], n \[1, B, 1, 8\], m \[1, B, 1\]"


@pytest.mark.parametrize(
    ("hx", "error", "says"),
    [
        (C, TypeError, r"hx is \[1, 2, 1, 8, 8\], expected a tuple of three tensors: " + FORM),
        (
            (C, n, 0),
            TypeError,
            r"hx is \(\[1, 2, 1, 8, 8\], \[1, 2, 1, 8\], an? int\), expected a tuple of three tensors",
        ),
        ((C, n), RuntimeError, "hx has 2 states, expected three: " + FORM),
        ((torch.zeros(1),) * 3, RuntimeError, r"C of hx is \[1\], expected 5 dimensions: " + FORM),
        ((C, n, torch.zeros(1, 3, 1)), RuntimeError, r"m of hx size \(1, 2, 1\), got \[1, 3, 1\]"),
        ((C, n.double(), m), RuntimeError, "hidden tensor with torch.float64"),
    ],
    ids=["a tensor", "a number", "two", "no batch", "other rows", "doubles"],
)
def test_bad_states(hx, error, says):
    with pytest.raises(error, match=says):
        carrousel.MLSTM(3, 8)(torch.zeros(5, 2, 3), hx)


def test_bad_states_without_a_batch():
    with pytest.raises(RuntimeError, match=r"C of hx is \[1, 2, 1, 8, 8\], expected 4 dimensions: C \[1, 1, 8, 8\]"):
        carrousel.MLSTM(3, 8)(torch.zeros(5, 3), (C, n, m))
