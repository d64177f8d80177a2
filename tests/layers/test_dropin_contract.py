"""The contract of `torch.nn`'s layers around their numbers: construction, names, weights, results, printing."""

from __future__ import annotations

import inspect
import warnings

import pytest
import torch
from twins import KINDS, OURS, TORCHS, Size, assert_equal_to_1e10, make_example, make_layer, make_twins, run, states_of

import carrousel

SIZE = Size(T=4, B=3, I=5, H=6)
OPTIONS = {
    "plain": {},
    "three_layers": {"num_layers": 3},
    "both_directions": {"bidirectional": True},
    "no_bias": {"bias": False},
    "batch_first": {"batch_first": True},
    "dropout": {"num_layers": 2, "dropout": 0.25},
    "everything": {"num_layers": 2, "bias": False, "batch_first": True, "dropout": 0.5, "bidirectional": True},
}
TWINS = pytest.mark.grid(kind=list(KINDS), options=OPTIONS)
# In torch's documented order: input_size, hidden_size, num_layers, [nonlinearity,] bias, batch_first, dropout,
# bidirectional, [proj_size,] device, dtype.
POSITIONAL = {
    "LSTM": (5, 6, 2, False, True, 0.5, True, 3, "cpu", torch.float64),
    "GRU": (5, 6, 2, False, True, 0.5, True),
    "RNN": (5, 6, 2, "relu", False, True, 0.5, True),
}
ATTRIBUTES = [
    "mode",
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
    "proj_size",
    "training",
]


def described(layer):
    """Names, shapes, types and order of the parameters."""
    return [(name, p.shape, p.dtype, p.requires_grad) for name, p in layer.named_parameters()]


@pytest.mark.parametrize("name", TORCHS)
def test_arguments_by_position(name):
    ours, theirs = (getattr(library, name)(*POSITIONAL[name]) for library in (carrousel, torch.nn))
    assert [getattr(ours, a) for a in ATTRIBUTES] == [getattr(theirs, a) for a in ATTRIBUTES]
    assert described(ours) == described(theirs)
    assert getattr(ours, "nonlinearity", None) == getattr(theirs, "nonlinearity", None)


@TWINS
def test_attributes_names_shapes_and_order(kind, options):
    ours, theirs = (make_layer(library, kind, SIZE, **options) for library in (carrousel, torch.nn))
    assert [getattr(ours, a) for a in ATTRIBUTES] == [getattr(theirs, a) for a in ATTRIBUTES]
    assert all(type(getattr(ours, a)) is type(getattr(theirs, a)) for a in ATTRIBUTES)
    assert described(ours) == described(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert not list(ours.buffers())
    assert len(list(ours.modules())) == 1


@TWINS
def test_what_it_prints(kind, options):
    ours, theirs = (make_layer(library, kind, SIZE, **options) for library in (carrousel, torch.nn))
    assert repr(ours) == repr(theirs)
    assert ours.extra_repr() == theirs.extra_repr()


@TWINS
def test_state_dict_goes_both_ways(kind, options):
    ours, theirs = (make_layer(library, kind, SIZE, **options) for library in (carrousel, torch.nn))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    ours.reset_parameters()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert ours.state_dict()._metadata == theirs.state_dict()._metadata


@TWINS
def test_same_seed_gives_the_same_weights(kind, options):
    layers, generators = [], []
    for library in (carrousel, torch.nn):
        torch.manual_seed(3)
        layers.append(make_layer(library, kind, SIZE, **options))
        generators.append(torch.get_rng_state())
    for a, b in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(*generators), "the generator is left elsewhere: whatever is made next differs from torch's"


@TWINS
def test_reset_parameters_draws_as_torch_does(kind, options):
    ours, theirs = make_twins(kind, SIZE, **options)
    for layer in (ours, theirs):
        torch.manual_seed(5)
        layer.reset_parameters()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert max(p.abs().max() for p in ours.parameters()) <= SIZE.H**-0.5


@TWINS
def test_all_weights(kind, options):
    ours, theirs = make_twins(kind, SIZE, **options)
    assert [[w.shape for w in group] for group in ours.all_weights] == [
        [w.shape for w in group] for group in theirs.all_weights
    ]
    flat = [w for group in ours.all_weights for w in group]
    assert all(a is b for a, b in zip(flat, ours.parameters(), strict=True))


@pytest.mark.parametrize("name", OURS)
def test_flatten_parameters_changes_nothing(name):
    layer = getattr(carrousel, name)(5, 6)
    before = {key: (value.data_ptr(), value.clone()) for key, value in layer.state_dict().items()}
    assert layer.flatten_parameters() is None
    for key, value in layer.state_dict().items():
        assert value.data_ptr() == before[key][0]
        assert torch.equal(value, before[key][1])


@pytest.mark.parametrize("name", TORCHS)
def test_built_with_a_type(name):
    assert described(getattr(carrousel, name)(5, 6, dtype=torch.float64)) == described(
        getattr(torch.nn, name)(5, 6, dtype=torch.float64)
    )
    torch.set_default_dtype(torch.float64)  # put back after each test
    assert getattr(carrousel, name)(5, 6).weight_ih_l0.dtype == torch.float64


@TWINS
def test_returns_torchs_types_and_shapes(kind, options):
    ours, theirs = make_twins(kind, SIZE, **options)
    for form in ("batched", "unbatched"):
        example = make_example(theirs, SIZE, form)
        got, expected = (layer(example.x.float()) for layer in (ours, theirs))
        assert type(got) is type(expected) is tuple
        assert type(got[1]) is type(expected[1])
        flat, flat_expected = (torch.utils._pytree.tree_leaves(result) for result in (got, expected))
        assert [t.shape for t in flat] == [t.shape for t in flat_expected]
        assert all(t.requires_grad for t in flat)


@pytest.mark.parametrize("name", OURS)
def test_arguments_by_name(name):
    layer = getattr(carrousel, name)(input_size=5, hidden_size=6, num_layers=1, bias=True, batch_first=False)
    x, h = torch.randn(4, 3, 5), torch.randn(1, 3, 6)
    hx = (h, h + 1) if states_of(layer) == 2 else h
    assert torch.equal(layer(input=x, hx=hx)[0], layer(x, hx)[0])
    assert torch.equal(layer(x, hx=None)[0], layer(x)[0])
    assert list(inspect.signature(layer.forward).parameters)[:2] == ["input", "hx"]


@pytest.mark.parametrize("name", OURS)
def test_every_option_changes_something(name):
    """The output, its shape, or how it is laid out."""
    layer_class, x = getattr(carrousel, name), torch.randn(3, 4, 5)

    def result(**options):
        torch.manual_seed(1)
        return layer_class(5, 6, **({"num_layers": 2} | options))(x)[0]

    plain = result()
    changes = [{"num_layers": 1}, {"bias": False}, {"batch_first": True}, {"dropout": 0.5}, {"bidirectional": True}]
    changes += {"LSTM": [{"proj_size": 2}], "RNN": [{"nonlinearity": "relu"}]}.get(name, [])
    for change in changes:
        got = result(**change)
        assert got.shape != plain.shape or not torch.equal(got, plain), change


@pytest.mark.parametrize("name", TORCHS)
def test_dropout_on_one_layer_warns(name):
    for library in (carrousel, torch.nn):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(library, name)(5, 6, dropout=0.5)
        messages = [str(w.message) for w in caught]
        assert len(messages) == 1
        assert messages[0].startswith("dropout option adds dropout after all but last recurrent layer")


@pytest.mark.parametrize("name", OURS)
def test_a_plain_layer_warns_of_nothing(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y, _ = getattr(carrousel, name)(5, 6, num_layers=2, dropout=0.5)(torch.randn(4, 3, 5))
        y.sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind):
    """B = 0, as torch allows."""
    ours, theirs = make_twins(kind, SIZE, num_layers=2, bidirectional=True)
    example = make_example(theirs, SIZE._replace(B=0))
    assert_equal_to_1e10(run(ours.double(), example), run(theirs.double(), example))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_share_no_memory_with_inputs_or_each_other(kind):
    layer, _ = make_twins(kind, Size(T=1, B=2, I=6, H=6))
    x = torch.randn(1, 2, 6)
    with torch.no_grad():
        y, states = layer(x)
        h = states[0] if isinstance(states, tuple) else states
        kept_x, kept_h = x.clone(), h.clone()
        y.fill_(9.0)
    assert torch.equal(x, kept_x)
    assert torch.equal(h, kept_h)


@pytest.mark.parametrize("kind", KINDS)
def test_strided_inputs_and_states(kind):
    ours, theirs = (layer.double() for layer in make_twins(kind, SIZE, num_layers=2))
    x = torch.randn(SIZE.I, SIZE.B, SIZE.T, dtype=torch.float64).permute(2, 1, 0)
    h = torch.randn(2, 1, theirs.proj_size or SIZE.H, dtype=torch.float64).expand(-1, SIZE.B, -1)
    c = torch.randn(2, SIZE.H, SIZE.B, dtype=torch.float64).mT
    hx = (h, c) if states_of(theirs) == 2 else h
    (got, _), (expected, _) = ours(x, hx), theirs(x, hx)
    assert (got - expected).abs().max() <= 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_autocast(kind):
    """Runs under torch.autocast as torch's layers do, at bfloat16's accuracy at worst; the weights stay as they are."""
    ours, theirs = make_twins(kind, SIZE, num_layers=2)
    x = torch.randn(SIZE.T, SIZE.B, SIZE.I)
    exact = theirs(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = ours(x)
    y.sum().backward()
    assert (y.float() - exact).abs().max() <= 16 * torch.finfo(torch.bfloat16).eps * exact.abs().max()
    assert ours.weight_hh_l0.grad.dtype == torch.float32
