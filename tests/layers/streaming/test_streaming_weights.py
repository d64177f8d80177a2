"""Streams of a layer whose weights change, move, or are copied."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from streams import assert_same, data, layer_of, without_gradients
from torch import nn

from carrousel.fused.kernels import KERNELS

no_gradients = pytest.fixture(autouse=True)(without_gradients)


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
    packed = layer._streams.packed[None]
    for step in x[1:1025]:
        layer.step(step, state)
    assert layer._streams.packed[None] is not packed


def test_the_layer_moves_and_the_state_after_it():
    layer = layer_of("lstm", 3, 7)
    state = layer.start(2)
    layer.step(torch.randn(2, 3), state)
    layer.double()
    x = torch.randn(2, 3).double()
    for run in (layer.step, layer.block):
        with pytest.raises(ValueError, match=r"the state is torch.float32 on cpu, but the layer is torch.float64"):
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
