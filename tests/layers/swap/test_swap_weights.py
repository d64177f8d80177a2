"""Layers whose weights are computed from others: normalised, pruned, parametrised. They are swapped and train on."""

from __future__ import annotations

import copy

import pytest
import torch
from models import H, Holder, I
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

import carrousel

SIZES = (5, 3, I)

COMPUTED = {
    "weight_norm": lambda layer: parametrizations.weight_norm(layer, "weight_hh_l0"),
    "spectral_norm": lambda layer: parametrizations.spectral_norm(layer, "weight_hh_l0"),
    "orthogonal": lambda layer: parametrizations.orthogonal(layer, "weight_hh_l0"),
    "two": lambda layer: parametrizations.weight_norm(
        parametrizations.weight_norm(layer, "weight_hh_l0"), "bias_hh_l0"
    ),
    "old_spectral_norm": lambda layer: spectral_norm(layer, "weight_hh_l0"),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight_hh_l0", amount=0.3),
    "old_weight_norm": lambda layer: weight_norm(layer, "weight_hh_l0"),
}


def computed(name, kind):
    """A model whose layer's weight is computed; the same at each call."""
    torch.manual_seed(1)
    layer = getattr(nn, name)(I, H, dtype=torch.float64)
    COMPUTED[kind](layer)
    if hasattr(layer, "parametrizations"):
        layer.parametrizations.eval()  # spectral_norm takes a step at each look at a weight, and torch looks twice
    return Holder(layer)


def train(model):
    """The loss after three steps."""
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for seed in range(3):
        x = torch.randn(SIZES, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        optimiser.zero_grad()
        (loss := model(x).square().mean()).backward()
        optimiser.step()
    return loss.item()


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize("kind", COMPUTED)
@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_weights_that_are_computed_train_on(name, kind):
    model, twin = computed(name, kind), computed(name, kind)
    for swap in (carrousel.swap, carrousel.swap_back):
        assert len(swap(model).replaced) == 1
        assert list(model.state_dict()) == list(twin.state_dict())
        assert train(model) == pytest.approx(train(twin), rel=1e-10)


def test_a_swap_does_not_compute_weights():
    """spectral_norm takes a step of its iteration whenever somebody looks at the weight."""
    model = Holder(parametrizations.spectral_norm(nn.LSTM(I, H), "weight_hh_l0"))
    before = copy.deepcopy(model.state_dict())
    carrousel.swap_back(carrousel.swap(model).model)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model(torch.randn(SIZES)).shape == (5, 3, H)


def test_parametrisations_are_the_same_and_can_be_removed():
    model = Holder(parametrizations.weight_norm(nn.LSTM(I, H), "weight_hh_l0"))
    parametrised = model.layer.parametrizations
    carrousel.swap(model)
    assert model.layer.parametrizations is parametrised
    assert isinstance(model.layer, carrousel.LSTM)
    x = torch.randn(SIZES)
    expected = model(x)
    parametrize.remove_parametrizations(model.layer, "weight_hh_l0")
    assert type(model.layer) is carrousel.LSTM
    torch.testing.assert_close(model(x), expected)
