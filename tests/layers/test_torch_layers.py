"""to_torch and from_torch: another layer over the same parameters, while the layer that was given stays as it is."""

from __future__ import annotations

import pytest
import torch
from models import H, I, Outputs
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import carrousel
from carrousel.layers.torch_layers import from_torch, to_torch

SIZES = (5, 3, I)
OPTIONS = {
    "LSTM": {"num_layers": 2, "proj_size": 3, "bidirectional": True, "dropout": 0.5},
    "GRU": {"bias": False, "batch_first": True},
    "RNN": {"nonlinearity": "relu", "num_layers": 3},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_there_and_back(name):
    theirs = getattr(nn, name)(I, H, **OPTIONS[name]).eval()
    ours = from_torch(theirs, getattr(carrousel, name))
    x = torch.randn(SIZES)
    y = ours(x)
    back = to_torch(ours)
    assert type(ours) is getattr(carrousel, name)
    assert vars(back).keys() == vars(theirs).keys()
    assert back.extra_repr() == theirs.extra_repr()
    torch.testing.assert_close(y, theirs(x), rtol=1e-6, atol=1e-6)
    assert torch.equal(back(x)[0], theirs(x)[0])
    assert all(a is b is c for a, b, c in zip(theirs.parameters(), ours.parameters(), back.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("name", OPTIONS)
def test_torchs_layer_can_be_scripted(name):
    layer = getattr(carrousel, name)(I, H, **OPTIONS[name]).eval()
    x = torch.randn(SIZES)
    scripted = torch.jit.script(Outputs(to_torch(layer)))
    torch.testing.assert_close(scripted(x), layer(x)[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("library", [nn, carrousel])
def test_the_layer_that_was_given_stays_as_it_is(library):
    layer = library.LSTM(I, H)
    loaded = []
    layer.register_load_state_dict_pre_hook(lambda module, *_: loaded.append(module))
    other = from_torch(layer, carrousel.LSTM) if library is nn else to_torch(layer)
    other.register_buffer("new", torch.ones(1))
    other.register_forward_hook(lambda *_: pytest.fail("a hook of the other layer"))
    other.eval()
    del other.bias_hh_l0
    layer(torch.randn(SIZES))
    layer.load_state_dict(layer.state_dict())
    assert loaded == [layer]
    assert layer.training
    assert len(layer.state_dict()) == 4


def test_a_parametrisation_of_what_somebody_put_on_the_layer():
    theirs = nn.GRU(I, H)
    theirs.mixing = nn.Parameter(torch.randn(3, 3))
    parametrizations.orthogonal(theirs, "mixing")
    ours = from_torch(theirs, carrousel.GRU)
    assert parametrize.is_parametrized(ours, "mixing")
    torch.testing.assert_close(ours.mixing @ ours.mixing.T, torch.eye(3))
    torch.testing.assert_close(to_torch(ours).mixing, theirs.mixing)
