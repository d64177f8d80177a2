"""Names of torch.nn.RNNBase that begin with an underscore: programs use them all the same, and find them in ours."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from twins import KINDS, OURS, Size, make_twins

import carrousel

SIZE = Size(T=5, B=2, I=3, H=4)
OPTIONS = {"plain": {}, "stack": {"num_layers": 2, "bidirectional": True}, "no_bias": {"bias": False}}


@pytest.mark.grid(kind=list(KINDS), options=OPTIONS)
def test_they_are_torchs(kind, options):
    ours, theirs = make_twins(kind, SIZE, **options)
    assert ours._flat_weights_names == theirs._flat_weights_names
    assert ours._all_weights == theirs._all_weights
    assert all(map(torch.equal, ours._flat_weights, theirs._flat_weights))
    assert all(ref() is w for ref, w in zip(ours._flat_weight_refs, ours.parameters(), strict=True))
    assert ours._weights_have_changed() is theirs._weights_have_changed() is False
    for call in ("_init_flat_weights", "_update_flat_weights", "flatten_parameters"):
        assert getattr(ours, call)() is getattr(theirs, call)() is None


@pytest.mark.parametrize("name", OURS)
def test_weights_drawn_by_their_names(name):
    """As many books and courses do."""
    layer = getattr(carrousel, name)(3, 4)
    for parameter in layer._flat_weights_names:
        if "weight_hh" in parameter:
            nn.init.eye_(layer._parameters[parameter])
    for names in layer._all_weights:
        for parameter in (n for n in names if "bias_ih" in n):
            getattr(layer, parameter).data[:4].fill_(1.0)
    assert torch.equal(layer.weight_hh_l0[:4], torch.eye(4))
    assert torch.equal(layer.bias_ih_l0[:4], torch.ones(4))


def test_weights_that_are_assigned_are_computed_with():
    ours, theirs = make_twins("GRU", SIZE)
    x = torch.randn(5, 2, 3)
    new = [nn.Parameter(w.detach() / 2) for w in ours._flat_weights]
    ours._flat_weights, theirs._flat_weights = list(new), list(new)
    assert all(a is b for a, b in zip(ours.parameters(), new, strict=True))
    torch.testing.assert_close(ours(x), theirs(x))
    with pytest.raises(TypeError, match=r"cannot assign 'torch\.FloatTensor' as parameter 'weight_ih_l0'"):
        ours._flat_weights = [w.detach() for w in new]
    with pytest.raises(ValueError, match="argument"):
        ours._flat_weights = new[:-1]


# ---- classes of several bases, as pytorch-forecasting has them


def make_classes(base, lstm, gru):
    """An abstract class that pads and packs, and two layers of it."""

    class Padded(ABC, base):
        @abstractmethod
        def begin(self, x): ...

        def forward(self, x, hx=None, lengths=None):
            hx = self.begin(x) if hx is None else hx
            if lengths is None:
                return super().forward(x, hx=hx)
            packed = pack_padded_sequence(x, lengths, batch_first=self.batch_first)
            y, hx = super().forward(packed, hx=hx)
            return pad_packed_sequence(y, batch_first=self.batch_first)[0], hx

    class PaddedLSTM(Padded, lstm):
        def begin(self, x):
            return (torch.ones(1, 2, 4),) * 2

    class PaddedGRU(Padded, gru):
        def begin(self, x):
            return torch.ones(1, 2, 4)

    return PaddedLSTM, PaddedGRU


@pytest.mark.parametrize("which", [0, 1], ids=["LSTM", "GRU"])
def test_a_class_with_bases_of_its_own(which):
    ours = make_classes(carrousel.Recurrent, carrousel.LSTM, carrousel.GRU)[which](3, 4, batch_first=True)
    theirs = make_classes(nn.RNNBase, nn.LSTM, nn.GRU)[which](3, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    x, lengths = torch.randn(2, 5, 3), torch.tensor([5, 2])
    assert repr(ours) == repr(theirs)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x, lengths=lengths), theirs(x, lengths=lengths))


def test_torchs_base_among_them_is_refused_with_the_way_to_go():
    says = r"class PaddedLSTM is derived from both torch\.nn\.RNNBase and carrousel\.LSTM.*carrousel\.Recurrent"
    with pytest.raises(TypeError, match=says):
        make_classes(nn.RNNBase, carrousel.LSTM, carrousel.GRU)
