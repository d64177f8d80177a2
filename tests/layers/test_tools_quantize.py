"""torch.ao.quantization.quantize_dynamic leaves our layers as they are, and takes torch.nn's with their parameters."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic

import carrousel
from carrousel.layers.torch_layers import to_torch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*:UserWarning")
X = torch.randn(5, 2, 8)


class Model(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.out = layer, nn.Linear(16, 3)

    def forward(self, x):
        return self.out(self.layer(x)[0])


def test_ours_stay_as_they_are():
    model = Model(carrousel.LSTM(8, 16))
    found = quantize_dynamic(model, {nn.LSTM, carrousel.LSTM, nn.Linear})
    assert type(found.layer) is carrousel.LSTM
    assert torch.equal(found.layer(X)[0], model.layer(X)[0])
    assert type(found.out) is not nn.Linear


@pytest.mark.parametrize(("name", "theirs"), [("LSTM", nn.LSTM), ("GRU", nn.GRU)])
def test_torchs_with_our_parameters_are_quantized(name, theirs):
    model = Model(getattr(carrousel, name)(8, 16, num_layers=2))
    swapped = copy.copy(model)
    swapped._modules = {**model._modules, "layer": to_torch(model.layer)}
    found = quantize_dynamic(swapped, {theirs, nn.Linear})
    assert type(found.layer).__module__.startswith("torch.ao.nn.quantized")
    torch.testing.assert_close(found(X), model(X), rtol=0, atol=0.05)
