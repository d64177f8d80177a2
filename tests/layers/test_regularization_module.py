"""Layers with random masks as modules among others: copies, gradients, graphs, streams, and what is refused."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from regularized import ALL_OF, F64, KINDS, B, H, I, T, assert_same, make, states_of
from sequences import same_bits
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint

import carrousel
from carrousel.fused import OPS

pytestmark = pytest.mark.slow

# ---- a module among others ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
def test_parameters_stay_torchs(kind):
    layer, theirs = make(kind, **ALL_OF[kind]), getattr(torch.nn, kind)(I, H, dtype=F64)
    theirs.load_state_dict(layer.state_dict())
    assert list(layer.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("kind", list(KINDS))
def test_copies_have_the_same_options(kind):
    layer, x = make(kind, **ALL_OF[kind]), torch.randn(T, B, I, dtype=F64)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(twin) == repr(layer)
        assert_same(twin(x, seed=1), layer(x, seed=1))


def test_repr_tells_the_options():
    rates = {"recurrent_dropout": 0.1, "zoneout": (0.5, 0.05), "variational_dropout": 0.2}
    told = "recurrent_dropout=0.1, variational_dropout=0.2, zoneout=(0.5, 0.05)"
    assert repr(carrousel.LSTM(3, 4, **rates)) == f"LSTM(3, 4, {told})"
    assert repr(carrousel.LSTM(3, 4, drop_connect=0)) == "LSTM(3, 4)"


@pytest.mark.parametrize("kind", list(KINDS))
def test_gradients_are_the_slopes(kind):
    layer = KINDS[kind](2, 3, dtype=F64, **ALL_OF[kind])
    x = torch.randn(3, 2, 2, dtype=F64, requires_grad=True)
    parameters = list(layer.parameters())

    def outputs(x, *weights):
        named = dict(zip((name for name, _ in layer.named_parameters()), weights, strict=True))
        return tuple(states_of(torch.func.functional_call(layer, named, (x,), {"seed": 5})))

    assert gradcheck(outputs, (x, *parameters))
    assert gradgradcheck(lambda x: layer(x[:2], seed=5)[0], (x,))


@pytest.mark.parametrize("kind", list(KINDS))
def test_checkpointing_draws_the_same_masks_again(kind):
    layer, x = make(kind, **ALL_OF[kind]), torch.randn(T, B, I, dtype=F64, requires_grad=True)
    found = []
    for run in (layer, lambda x: checkpoint(layer, x, use_reentrant=False)):
        torch.manual_seed(3)
        found.append(torch.autograd.grad(run(x)[0].square().sum(), [x, *layer.parameters()]))
    assert all(map(same_bits, *found))


@pytest.mark.parametrize("kind", list(KINDS))
def test_functional_transforms_take_a_seed(kind):
    layer, x = make(kind, **ALL_OF[kind]), torch.randn(5, T, B, I, dtype=F64)
    mapped = torch.func.vmap(lambda x: layer(x, seed=1)[0])(x)
    torch.testing.assert_close(mapped, torch.stack([layer(one, seed=1)[0] for one in x]))
    slope = torch.func.grad(lambda x: layer(x, seed=1)[0].square().sum())(x[0])
    leaf = x[0].clone().requires_grad_()
    torch.testing.assert_close(slope, torch.autograd.grad(layer(leaf, seed=1)[0].square().sum(), leaf)[0])


@pytest.mark.skipif(not OPS, reason="built without kernels: there are no custom ops")
@pytest.mark.filterwarnings("error:Dynamo")  # it warns of caches that it looks past
@pytest.mark.parametrize("kind", list(KINDS))
def test_compiled_as_one_graph(kind):
    torch.compiler.reset()
    layer, x = make(kind, **ALL_OF[kind]), torch.randn(T, B, I, dtype=F64, requires_grad=True)
    fast = torch.compile(layer, fullgraph=True, backend="aot_eager")
    found = [torch.autograd.grad(run(x, seed=1)[0].square().sum(), [x, *layer.parameters()]) for run in (layer, fast)]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.manual_seed(1)
    assert not torch.allclose(fast(x)[0], fast(x)[0])
    layer.eval()  # what is constant in a graph is so for this mode and these probabilities
    assert torch.equal(fast(x)[0], layer(x)[0])
    layer.train().regularization = layer.regularization._replace(drop_connect=0.7)
    torch.testing.assert_close(fast(x, seed=1)[0], layer(x, seed=1)[0])


# ---- streams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_stream_is_evaluation(kind, dtype):
    layer = make(kind, num_layers=2, dtype=dtype, **ALL_OF[kind]).eval().requires_grad_(False)
    x = torch.randn(T, B, I, dtype=dtype)
    state = layer.start(B)
    y = torch.stack([layer.step(one, state) for one in x[:3]])
    y = torch.cat([y, layer.block(x[3:], state)])
    expected, hx = layer(x)
    assert torch.equal(y, expected)
    found = state.hx() if isinstance(state.hx(), tuple) else (state.hx(),)
    assert all(map(torch.equal, found, hx if isinstance(hx, tuple) else (hx,)))


def test_a_stream_draws_no_masks():
    layer = make("LSTM", recurrent_dropout=0.5).requires_grad_(False)
    state = layer.start()
    for _ in range(2):  # at first, and when the stream is bound
        with pytest.raises(RuntimeError, match=r"recurrent_dropout=0\.5 acts in training mode.*call layer\.eval\(\)"):
            layer.step(torch.randn(1, I, dtype=F64), state)
        layer.eval().step(torch.randn(1, I, dtype=F64), state)
        layer.train()


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["recurrent_dropout", "variational_dropout", "zoneout", "drop_connect"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_no_probability_is_refused(kind, name):
    for value, error in (
        (-0.1, ValueError),
        (1.0, ValueError),
        (float("nan"), ValueError),
        ("0.1", TypeError),
        (True, TypeError),
    ):
        with pytest.raises(error, match=rf"{name}='?{value}'? must be a probability"):
            KINDS[kind](3, 4, **{name: value})


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"zoneout": (0.1, 0.2, 0.3)}, ValueError, r"zoneout=\(0.1, 0.2, 0.3\) has 3 numbers.*c and h"),
        ({"variational_dropout": (0.1,)}, ValueError, r"variational_dropout=\(0.1,\) has 1 numbers.*x and h"),
        ({"zoneout": (0.1, 1.5)}, ValueError, "zoneout=1.5 must be"),
        ({"zoneout": 0.1, "proj_size": 2}, ValueError, r"zoneout=0.1 of h does not go with proj_size=2.*\(0.1, 0\)"),
        ({"recurrent_dropout": None}, TypeError, "recurrent_dropout=None"),
    ],
    ids=str,
)
def test_bad_options_of_the_lstm_are_named(options, error, says):
    with pytest.raises(error, match=says):
        carrousel.LSTM(3, 4, **options)


def test_the_gru_has_one_state():
    with pytest.raises(TypeError, match=r"zoneout=\(0\.1, 0\.2\) must be a probability"):
        carrousel.GRU(3, 4, zoneout=(0.1, 0.2))


@pytest.mark.parametrize(
    ("seed", "error"), [(1.5, TypeError), (True, TypeError), ("1", TypeError), (2**64, ValueError)]
)
def test_a_bad_seed_is_named(seed, error):
    with pytest.raises(error, match=rf"seed='?{seed}'? must"):
        carrousel.LSTM(3, 4, zoneout=0.1)(torch.zeros(2, 1, 3), seed=seed)


def test_a_seed_for_nothing_is_refused():
    with pytest.raises(ValueError, match="seed=1 is given, and the layer has no random masks"):
        carrousel.LSTM(3, 4)(torch.zeros(2, 1, 3), seed=1)


@pytest.mark.parametrize("options", [{"zoneout": 0.1}, {"drop_connect": 0.5, "variational_dropout": 0.2}])
def test_a_seed_in_evaluation_changes_nothing(options):
    """One call serves training and evaluation, as with torch's dropout; what is no seed is refused in both."""
    layer, x = carrousel.LSTM(3, 4, **options).eval(), torch.randn(2, 1, 3)
    assert torch.equal(layer(x, seed=1)[0], layer(x)[0])
    assert torch.equal(layer(x, seed=2)[0], layer(x)[0])
    with pytest.raises(TypeError, match="seed='1' must be an int"):
        layer(x, seed="1")
