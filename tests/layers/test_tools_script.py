"""torch.jit.script: what it compiles is torch.nn's layer with our parameters; what torch.nn has not is refused."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from custom_cells import MGU
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from twins import KINDS, Size, assert_equal_to_1e10, make_layer

import carrousel
from carrousel.cells import ALL

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")

SIZE = Size(T=5, B=2, I=3, H=4)
OPTIONS = {
    "plain": {},
    "stack": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "no_bias": {"bias": False, "num_layers": 2, "dropout": 0.5},
}
NOT_TORCHS = {
    **{name: lambda name=name: getattr(carrousel, name)(3, 4) for name in ("PeepholeLSTM", "MinGRU", "SLSTM", "MLSTM")},
    "own": lambda: MGU(3, 4),
    "learn_initial": lambda: carrousel.GRU(3, 4, learn_initial=True),
    "zoneout": lambda: carrousel.LSTM(3, 4, zoneout=0.1),
}


class Separator(nn.Module):
    """Layers by name and in a list, as a model for music separation has them."""

    def __init__(self, kind, **options):
        super().__init__()
        self.layers = nn.ModuleList([make_layer(carrousel, kind, SIZE, **options)])
        width = self.layers[0].hidden_size if not self.layers[0].proj_size else self.layers[0].proj_size
        self.out = nn.Linear(width * (2 if options.get("bidirectional") else 1), 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.out(layer(x)[0])
        return x


class OfPacked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = carrousel.GRU(3, 4)

    def forward(self, packed: PackedSequence, h: Tensor) -> Tensor:
        return self.layer(packed, h)[1]


def gradients_of(model, x):
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    model(x).sin().sum().backward()
    found = {"dx": x.grad} | {name: p.grad for name, p in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.grid(kind=list(KINDS), options=OPTIONS)
def test_a_scripted_model_computes_the_same_at_any_size(kind, options):
    model = Separator(kind, **options).double()
    scripted = torch.jit.script(copy.deepcopy(model))
    for T, B in ((5, 2), (1, 1), (7, 3)):
        x = torch.randn(T, B, 3, dtype=torch.float64)
        assert_equal_to_1e10(gradients_of(scripted, x), gradients_of(model, x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bare_layer_shares_its_parameters(kind):
    """torch gives a bare layer two functions and no forward: the first takes a tensor."""
    layer, x = make_layer(carrousel, kind, SIZE), torch.randn(5, 2, 3)
    scripted = torch.jit.script(layer)
    assert scripted._c._method_names() == torch.jit.script(make_layer(nn, kind, SIZE))._c._method_names()
    assert type(layer).__module__.startswith("carrousel"), "the layer itself stays ours"
    with torch.no_grad():
        layer.weight_hh_l0.mul_(2)
        torch.testing.assert_close(scripted.forward__0(x), layer(x))


def test_packed_sequences():
    model = OfPacked()
    scripted = torch.jit.script(copy.deepcopy(model))
    packed, h = pack_padded_sequence(torch.randn(5, 2, 3), torch.tensor([5, 3])), torch.randn(1, 2, 4)
    torch.testing.assert_close(scripted(packed, h), model(packed, h))


def test_the_mode_is_kept_and_a_saved_program_is_loaded():
    model = Separator("LSTM", num_layers=2, dropout=0.5).eval()
    scripted = torch.jit.script(copy.deepcopy(model))
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    file.seek(0)
    loaded, x = torch.jit.load(file), torch.randn(5, 2, 3)
    torch.testing.assert_close(loaded(x), model(x))
    assert torch.equal(loaded(x), loaded(x)), "no dropout: the model was in evaluation"


def test_recurrent_over_torchs_cell_is_torchs_layer():
    layer, x = carrousel.Recurrent(ALL["gru"], 3, 4, memory="low"), torch.randn(5, 2, 3)
    torch.testing.assert_close(torch.jit.script(layer).forward__0(x), layer(x))


@pytest.mark.parametrize("name", NOT_TORCHS)
def test_what_torch_has_not_is_refused_by_name(name):
    layer = NOT_TORCHS[name]()
    says = rf"in place of carrousel\.{type(layer).__name__}, but torch\.nn has no .*torch\.export\.export"
    for model in (layer, nn.Sequential(layer)):
        with pytest.raises(RuntimeError, match=says):
            torch.jit.script(model)


def test_a_forward_of_ones_own_is_refused():
    class Twice(carrousel.GRU):
        def forward(self, x):
            return super().forward(x * 2)

    with pytest.raises(RuntimeError, match=r"carrousel\.Twice, but its class Twice defines forward: use torch\.export"):
        torch.jit.script(nn.Sequential(Twice(3, 4)))


def test_torch_puts_its_layer_into_the_model():
    """As with every class that prepares another for it; the model computes the same, in torch's time."""
    model, x = Separator("GRU"), torch.randn(5, 2, 3)
    expected, ours = model(x), model.layers[0]
    torch.jit.script(model)
    assert type(model.layers[0]) is nn.GRU
    assert all(a is b for a, b in zip(model.layers[0].parameters(), ours.parameters(), strict=True))
    torch.testing.assert_close(model(x), expected)
