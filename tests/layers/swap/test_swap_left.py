"""What `carrousel.swap` and `swap_back` leave as it is, what they say of it, and the report itself."""

from __future__ import annotations

import copy
import pickle
from abc import ABC
from typing import Generic, TypeVar

import pytest
import torch
from models import EncoderDecoder, H, I
from torch import nn

import carrousel

T = TypeVar("T")


class OnlyMade(ABC, Generic[T], nn.LSTM):
    """A subclass that initialises."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        nn.init.orthogonal_(self.weight_hh_l0)


class WithForward(nn.LSTM):
    def forward(self, input, hx=None):
        return super().forward(2 * input, hx)


class WithMethod(nn.GRU):
    def first_state(self):
        return torch.zeros(1, 1, self.hidden_size)


class Mixin:
    def __call__(self, *arguments):
        return super().__call__(*arguments)


class Mixed(Mixin, nn.RNN):
    pass


class OfBase(nn.RNNBase):
    def __init__(self):
        super().__init__("LSTM", I, H)


def with_new_forward():
    layer = nn.LSTM(I, H)
    layer.forward = lambda x: x
    return layer


def with_attribute(name, value):
    layer = nn.LSTM(I, H)
    setattr(layer, name, value)
    return layer


def with_own_flat_weights():
    """As some implementations of DropConnect do it: torch computes with what is not a parameter."""
    layer = nn.LSTM(I, H)
    layer._flat_weights = [nn.functional.dropout(w, 0.5) for w in layer._flat_weights]
    return layer


def compiled_layer():
    layer = nn.LSTM(I, H)
    layer.compile(backend="eager")
    return layer


LEFT = {
    "own_forward": (lambda: WithForward(I, H), "its class WithForward defines forward"),
    "own_method": (lambda: WithMethod(I, H), "its class WithMethod defines first_state"),
    "mixed_in": (lambda: Mixed(I, H), "its class Mixed defines __call__"),
    "of_base": (OfBase, "derived from torch.nn.RNNBase"),
    "one_step": (lambda: nn.LSTMCell(I, H), "computes one step"),
    "new_forward": (with_new_forward, "its forward was replaced"),
    "attribute": (lambda: with_attribute("cell", "mine"), "its attribute cell has another meaning"),
    "buffer": (lambda: with_attribute("step", nn.Parameter(torch.ones(1))), "its attribute step has another meaning"),
    "flat_weights": (with_own_flat_weights, "its _flat_weights"),
    "scripted": (lambda: torch.jit.script(nn.LSTM(I, H)), "scripted or traced"),
    "compiled": (lambda: torch.compile(nn.LSTM(I, H), backend="eager"), "compiled (torch.compile)"),
    "compiled_in_place": (compiled_layer, "compiled (layer.compile())"),
    "dynamically_quantized": (
        lambda: torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(I, H)), {nn.LSTM})[0],
        "it is quantized",
    ),
    "quantizable": (lambda: torch.ao.nn.quantizable.LSTM(I, H), "it is quantized"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("kind", LEFT)
def test_what_is_left_and_why(kind):
    make, reason = LEFT[kind]
    layer = make()
    model = nn.ModuleDict({"layer": layer, "other": nn.GRU(I, H)})
    swapped = carrousel.swap(model)
    assert [layer.names for layer in swapped.replaced] == [("other",)]
    assert model["layer"] is layer
    (left,) = swapped.left
    assert left.names[0].split(".")[0] == "layer"
    assert reason in left.reason
    assert str(left) in str(swapped)


def test_a_subclass_with_nothing_but_a_constructor_is_replaced_and_comes_back_as_its_base():
    model = nn.Sequential(OnlyMade(I, H))
    swapped = carrousel.swap(model)
    assert type(model[0]) is carrousel.LSTM
    assert swapped.replaced[0].was == f"{__name__}.OnlyMade({I}, {H})"
    carrousel.swap_back(model)
    assert type(model[0]) is nn.LSTM


OURS_LEFT = {
    "cell": (lambda: carrousel.PeepholeLSTM(I, H), "torch.nn has no layer with the cell peephole"),
    "heads": (lambda: carrousel.SLSTM(I, H), "torch.nn has no layer with the cell slstm"),
    "projected_rnn": (
        lambda: carrousel.Recurrent(carrousel.cells.ALL["rnn_tanh"], I, H, proj_size=2),
        "torch.nn has no layer with the cell rnn_tanh and proj_size=2",
    ),
    "learn_initial": (lambda: carrousel.GRU(I, H, learn_initial=True), "torch.nn has no option learn_initial=True"),
    "zoneout": (lambda: carrousel.LSTM(I, H, zoneout=0.1), "torch.nn has no option zoneout=0.1"),
    "own_forward": (lambda: type("Own", (carrousel.RNN,), {"forward": print})(I, H), "its class Own defines forward"),
}


@pytest.mark.parametrize("kind", OURS_LEFT)
def test_which_of_ours_are_left_and_why(kind):
    make, reason = OURS_LEFT[kind]
    model = nn.Sequential(make(), carrousel.LSTM(I, H, memory="low", forget_bias=1.0))
    layer = model[0]
    back = carrousel.swap_back(model)
    assert model[0] is layer
    assert type(model[1]) is nn.LSTM
    (left,) = back.left
    assert reason in left.reason


def test_recurrent_over_a_cell_of_torch_comes_back():
    model = nn.Sequential(carrousel.Recurrent(carrousel.cells.ALL["rnn_relu"], I, H, bidirectional=True))
    x = torch.randn(5, 3, I)
    expected, _ = model(x)
    carrousel.swap_back(model)
    assert type(model[0]) is nn.RNN
    torch.testing.assert_close(model(x)[0], expected, rtol=1e-6, atol=1e-6)


def test_a_layer_inside_of_one_that_is_left():
    model = WithForward(I, H)
    model.inner = nn.GRU(I, H)
    swapped = carrousel.swap(model)
    assert swapped.model is model
    assert [layer.names for layer in swapped.replaced] == [("inner",)]
    assert [layer.names for layer in swapped.left] == [("",)]


# ---- the report


def test_the_report_has_a_line_for_each_layer():
    assert str(carrousel.swap(EncoderDecoder())).splitlines() == [
        "Swapped: 2 replaced, 0 left",
        "  encoder: torch.nn.LSTM(4, 6, num_layers=2, batch_first=True, dropout=0.5) -> carrousel.LSTM",
        "  decoder: torch.nn.LSTM(1, 6, num_layers=2, batch_first=True) -> carrousel.LSTM",
    ]
    assert str(carrousel.swap(nn.Linear(2, 2))) == "Swapped: no recurrent layer found in Linear"


def test_who_takes_the_report_for_the_model_is_told_where_it_is():
    model = carrousel.swap(nn.Sequential(nn.LSTM(I, H)))
    with pytest.raises(AttributeError, match=r"no attribute eval: .* in place; use it, or this .* `model`"):
        model.eval()
    assert len(pickle.loads(pickle.dumps(copy.deepcopy(model))).replaced) == 1


class Estimator:
    def __init__(self):
        self.module_ = nn.LSTM(I, H)


@pytest.mark.parametrize("function", [carrousel.swap, carrousel.swap_back])
def test_what_is_no_module_is_refused(function):
    with pytest.raises(TypeError, match=r"model is a Estimator, not a torch.nn.Module: give its module: .module_"):
        function(Estimator())
    with pytest.raises(TypeError, match=r"model is a type, not a torch.nn.Module"):
        function(nn.LSTM)
