"""`carrousel.swap`: the same outputs, gradients, parameters and training as before, and back."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from models import LAYERS, MODELS, ByName, EncoderDecoder, H, I, InLists, Tied
from torch import nn

import carrousel
from carrousel.layers import Recurrent

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def run(model, x):
    """The outputs and the gradients of all parameters."""
    y = model(x)
    return [y, *torch.autograd.grad(y.square().mean(), list(model.parameters()))]


def recurrent(model):
    return [module for module in model.modules() if isinstance(module, (nn.RNNBase, Recurrent))]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_outputs_gradients_and_state_dict_stay(name, dtype):
    model, x = MODELS[name]().to(dtype).eval(), torch.randn(3, 5, I, dtype=dtype)
    expected, state, parameters = run(model, x), dict(model.state_dict()), list(model.named_parameters())
    swapped = carrousel.swap(model)
    assert swapped.model is model
    assert len(swapped.replaced) == LAYERS[name]
    assert not swapped.left
    assert all(isinstance(layer, Recurrent) for layer in recurrent(model))
    torch.testing.assert_close(run(model, x), expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert [(n, id(p)) for n, p in model.named_parameters()] == [(n, id(p)) for n, p in parameters]
    assert list(model.state_dict()) == list(state)
    torch.testing.assert_close(dict(model.state_dict()), state, rtol=0, atol=0)

    back = carrousel.swap_back(model)
    assert len(back.replaced) == LAYERS[name]
    assert [type(layer).__module__ for layer in recurrent(model)] == ["torch.nn.modules.rnn"] * LAYERS[name]
    assert all(map(torch.equal, run(model, x), expected))
    assert [(n, id(p)) for n, p in model.named_parameters()] == [(n, id(p)) for n, p in parameters]


@pytest.mark.parametrize("name", MODELS)
def test_an_optimiser_goes_on_after_a_swap(name):
    """Two steps by torch, swap, two by ours, back, two more: the losses are those of torch alone, dropout and all."""
    torch.manual_seed(3)
    model, x = MODELS[name]().double(), torch.randn(3, 5, I, dtype=torch.float64)
    twin = copy.deepcopy(model)

    def losses(model, between):
        optimiser, seen = torch.optim.Adam(model.parameters(), 0.05), []
        for step in range(6):
            if step in between:
                assert between[step](model).replaced
            torch.manual_seed(step)
            loss = model(x).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            seen.append(loss.item())
        return seen

    expected = losses(model, {})
    assert losses(twin, {2: carrousel.swap, 4: carrousel.swap_back}) == pytest.approx(expected, rel=1e-10)
    assert expected[5] != expected[0]


@pytest.mark.parametrize("theirs", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_model_that_is_a_layer(theirs):
    layer = theirs(I, H, batch_first=True)
    swapped = carrousel.swap(layer)
    assert type(swapped.model) is getattr(carrousel, theirs.__name__)
    assert swapped.replaced[0].names == ("",)
    assert "(the model)" in str(swapped)
    assert type(layer) is theirs
    assert swapped.model.weight_hh_l0 is layer.weight_hh_l0
    x = torch.randn(3, 5, I)
    torch.testing.assert_close(swapped.model(x), layer(x), rtol=1e-6, atol=1e-6)
    assert type(carrousel.swap_back(swapped.model).model) is theirs


def test_a_shared_layer_stays_one():
    model = ByName()
    swapped = carrousel.swap(model)
    assert model.gru["day"] is model.gru["dawn"] is model.usual
    assert model.gru["night"] is not model.gru["day"]
    assert sorted(swapped.replaced[0].names) == ["gru.dawn", "gru.day", "usual"]
    assert len(list(model.parameters())) == 8


def test_tied_weights_stay_tied():
    model = Tied()
    carrousel.swap(model)
    assert model.forth.weight_hh_l0 is model.back.weight_hh_l0
    assert model.forth.weight_ih_l0 is model.back.weight_ih_l0
    model.double()
    assert model.forth.weight_hh_l0 is model.back.weight_hh_l0


def test_layers_in_lists_dicts_and_plain_attributes_are_the_registered_ones():
    model = InLists()
    model.listed.append(model.listed)
    entries, names = model.listed, model.by_name
    carrousel.swap(model)
    assert model.listed is entries
    assert model.by_name is names
    assert model.listed[0] is model.first
    assert model.by_name["second"][1] is model.second
    assert model.hidden is model.third
    assert not model.eval().listed[0].training


def test_copies_and_pickles_of_a_swapped_model():
    model, x = EncoderDecoder().eval(), torch.randn(3, 5, I)
    carrousel.swap(model)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert isinstance(twin.encoder, carrousel.LSTM)
        assert torch.equal(twin(x), model(x))
        assert twin.encoder.weight_hh_l0 is not model.encoder.weight_hh_l0
        assert type(carrousel.swap_back(twin).model.encoder) is nn.LSTM


def test_torch_compile_before_and_after():
    model, x = EncoderDecoder().eval(), torch.randn(3, 5, I)
    compiled = torch.compile(model, backend="aot_eager")
    expected = compiled(x)
    assert len(carrousel.swap(compiled).replaced) == 2
    seen = []
    model.encoder.register_forward_hook(lambda *_: seen.append(1))
    torch.testing.assert_close(compiled(x), expected, rtol=1e-6, atol=1e-6)
    assert seen
    afterwards = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(afterwards(x), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("where", [{"device": "meta"}, {"dtype": torch.bfloat16}, {"dtype": torch.float16}], ids=str)
def test_layers_without_a_kernel_are_replaced_and_compute_as_torch_does(where):
    model = nn.Sequential(nn.LSTM(I, H, **where))
    x = torch.ones(5, 3, I, **where)
    expected, _ = model(x)
    assert len(carrousel.swap(model).replaced) == 1
    y, _ = model(x)
    assert (y.dtype, y.device, y.shape) == (expected.dtype, expected.device, expected.shape)
    assert y.is_meta or torch.equal(y, expected)


def test_the_random_generator_is_left_alone():
    model = EncoderDecoder()
    before = torch.get_rng_state()
    carrousel.swap_back(carrousel.swap(model).model)
    assert torch.equal(torch.get_rng_state(), before)
