"""What a layer carries besides its weights comes along in a swap: hooks, buffers, attributes."""

from __future__ import annotations

import copy

import pytest
import torch
from models import H, Holder, I
from torch import nn

import carrousel

SIZES = (5, 3, I)


def swapped_twin(model):
    """A copy of the model, and the model after a swap."""
    twin = copy.deepcopy(model)
    assert len(carrousel.swap(model).replaced) == 1
    return twin, model


# ---- hooks


def register_all_hooks(layer, calls):
    """One hook of every kind, each of which writes its name and the module that it is called with; their handles."""

    def hook(name):
        return lambda module, *_: calls.append((name, module))

    return [
        layer.register_forward_pre_hook(hook("pre")),
        layer.register_forward_pre_hook(hook("pre, kwargs"), with_kwargs=True),
        layer.register_forward_hook(hook("forward")),
        layer.register_forward_hook(hook("forward, kwargs"), with_kwargs=True, always_call=True),
        layer.register_full_backward_pre_hook(hook("backward pre")),
        layer.register_full_backward_hook(hook("backward")),
        layer.register_state_dict_pre_hook(hook("state_dict pre")),
        layer.register_state_dict_post_hook(hook("state_dict")),
        layer.register_load_state_dict_pre_hook(hook("load pre")),
        layer.register_load_state_dict_post_hook(hook("load")),
    ]


def call_all_hooks(model, calls):
    calls.clear()
    x = torch.randn(SIZES, requires_grad=True)
    model(x).sum().backward()
    model.load_state_dict(model.state_dict())
    return calls


@pytest.mark.parametrize("there_and_back", [False, True])
def test_hooks_are_called_with_the_new_layer_and_removed_by_their_handles(there_and_back):
    calls, model = [], Holder(nn.GRU(I, H))
    handles = register_all_hooks(model.layer, calls)
    before = [name for name, _ in call_all_hooks(model, calls)]
    carrousel.swap(model)
    if there_and_back:
        carrousel.swap_back(model)
    after = call_all_hooks(model, calls)
    assert [name for name, _ in after] == before
    assert len(after) == len(handles)
    assert all(module is model.layer for _, module in after)
    for handle in handles:
        handle.remove()
    assert call_all_hooks(model, calls) == []


def test_a_hook_of_the_old_kind_and_one_that_changes_the_output():
    calls, model = [], Holder(nn.RNN(I, H))
    model.layer.register_backward_hook(lambda *_: calls.append("backward"))
    model.layer.register_forward_hook(lambda module, args, output: (2 * output[0], output[1]))
    model.layer.register_forward_pre_hook(lambda module, args: (args[0] + 1, *args[1:]))
    twin, model = swapped_twin(model)
    x = torch.randn(SIZES)
    torch.testing.assert_close(model(x), twin(x), rtol=1e-6, atol=1e-6)
    model(x.requires_grad_()).sum().backward()
    assert calls


def test_hooks_of_tensors_stay():
    """They belong to the Parameter, which is the same object."""
    calls, model = [], Holder(nn.LSTM(I, H))
    model.layer.weight_hh_l0.register_hook(lambda grad: calls.append("grad"))
    model.layer.weight_hh_l0.register_post_accumulate_grad_hook(lambda p: calls.append("accumulated"))
    carrousel.swap(model)
    model(torch.randn(SIZES)).sum().backward()
    assert sorted(calls) == ["accumulated", "grad"]


# ---- all else


def test_buffers_parameters_modules_and_attributes_come_along():
    layer = nn.LSTM(I, H, 2, batch_first=True, dropout=0.25)
    layer.register_buffer("scale", torch.ones(3))
    layer.register_buffer("scratch", torch.ones(2), persistent=False)
    layer.extra, layer.norm = nn.Parameter(torch.zeros(2)), nn.LayerNorm(H)
    layer.note = {"from": "a paper"}
    layer.weight_ih_l0.requires_grad_(False)
    layer.dropout = 0.5  # after it was made
    model = Holder(layer.eval())
    state, note, norm = model.state_dict(), layer.note, layer.norm
    for swap, of_class in ((carrousel.swap, carrousel.LSTM), (carrousel.swap_back, nn.LSTM)):
        swap(model)
        assert type(model.layer) is of_class
        assert list(model.state_dict()) == list(state)
        assert "scratch" in dict(model.layer.named_buffers())
        assert model.layer.note is note
        assert model.layer.norm is norm
        assert [n for n, p in model.layer.named_parameters() if not p.requires_grad] == ["weight_ih_l0"]
        assert not model.layer.training
        assert (model.layer.dropout, model.layer.batch_first) == (0.5, True)


def test_memory_format_and_gradients_that_were_accumulated_stay():
    layer = nn.GRU(I, H)
    layer.weight_ih_l0.data = layer.weight_ih_l0.data.T.contiguous().T
    layer(torch.randn(SIZES))[0].sum().backward()
    model, grad = Holder(layer), layer.weight_hh_l0.grad
    twin, model = swapped_twin(model)
    assert not model.layer.weight_ih_l0.is_contiguous()
    assert model.layer.weight_hh_l0.grad is grad
    x = torch.randn(SIZES)
    torch.testing.assert_close(model(x), twin(x), rtol=1e-6, atol=1e-6)
