"""People's own code: small models written with `torch.nn`, and the one change of the class. They learn the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from twins import assert_equal_to_1e10

import carrousel


class CharRNN(nn.Module):
    """A character model: embedding, two layers with dropout, output weights tied to the embedding."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.rnn = nn.LSTM(8, 8, num_layers=2, dropout=0.3)
        self.out = nn.Linear(8, 11)
        self.out.weight = self.embed.weight

    def forward(self, text, state=None):
        y, state = self.rnn(self.embed(text), state)
        return self.out(y), state

    def loss(self):
        """Two pieces of one text, the state carried over, detached."""
        text = torch.randint(11, (13, 4))
        first, state = self(text[:6])
        second, _ = self(text[6:-1], tuple(s.detach() for s in state))
        return nn.functional.cross_entropy(torch.cat([first, second]).flatten(0, 1), text[1:].flatten())


class Tagger(nn.Module):
    """A sequence tagger: packed rows of different lengths, both directions."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 5, padding_idx=0)
        self.rnn = nn.GRU(5, 6, bidirectional=True, batch_first=True)
        self.out = nn.Linear(12, 3)

    def loss(self):
        lengths = torch.tensor([4, 7, 2])
        words = torch.randint(1, 9, (3, 7)) * (torch.arange(7) < lengths[:, None])
        packed = pack_padded_sequence(self.embed(words), lengths, batch_first=True, enforce_sorted=False)
        y, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return nn.functional.cross_entropy(self.out(y).flatten(0, 1), words.flatten() % 3)


class Translator(nn.Module):
    """Encoder and decoder: the state handed over, then one step at a time, each fed with the output before."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 6, num_layers=2)
        self.decoder = nn.LSTM(3, 6, num_layers=2)
        self.out = nn.Linear(6, 3)

    def loss(self):
        x = torch.randn(5, 2, 3)
        _, state = self.encoder(x)
        step, total = torch.zeros(1, 2, 3), 0.0
        for t in range(5):
            y, state = self.decoder(step, state)
            step = self.out(y)
            total = total + (step[0] - x[4 - t]).square().mean()
        return total


class Discharge(nn.Module):
    """A rainfall-runoff model: the last step's output, forget bias set by hand, dropout on the head."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(input_size=5, hidden_size=7, batch_first=True)
        self.rnn.bias_hh_l0.data[7:14] = 3.0
        self.head = nn.Sequential(nn.Dropout(0.4), nn.Linear(7, 1))

    def loss(self):
        x = torch.randn(6, 20, 5)
        y, (h, _) = self.rnn(x)
        assert torch.equal(y[:, -1], h[-1])
        return (self.head(y[:, -1, :]).squeeze(-1) - x[:, -3:, 0].sum(1)).square().mean()


class Classifier(nn.Module):
    """A sequence classifier: projected LSTM, a GRU and an RNN in a row, initialised by a loop over the names."""

    def __init__(self):
        super().__init__()
        self.first = nn.LSTM(4, 8, proj_size=3, bidirectional=True)
        self.second = nn.GRU(6, 5)
        self.third = nn.RNN(5, 5, nonlinearity="relu", bias=False)
        self.out = nn.Linear(5, 2)
        for name, parameter in self.named_parameters():
            if "weight_hh" in name:
                nn.init.orthogonal_(parameter)
            elif "bias" in name:
                nn.init.zeros_(parameter)

    def loss(self):
        x = torch.randn(6, 3, 4)
        y = self.third(self.second(self.first(x)[0])[0])[1][-1]
        return nn.functional.cross_entropy(self.out(y), (x.sum((0, 2)) > 0).long())


class Agent(nn.Module):
    """A recurrent policy: unbatched episodes, the state zeroed by hand at their ends, two heads."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 6)
        self.policy, self.value = nn.Linear(6, 3), nn.Linear(6, 1)

    def loss(self):
        observations, state, total = torch.randn(9, 4), torch.zeros(1, 6), 0.0
        for t, observation in enumerate(observations):
            y, state = self.rnn(observation[None], state * (t % 4 != 0))
            total = total + self.policy(y).log_softmax(-1)[0, 0] + self.value(y).square().sum()
        return total


MODELS = [CharRNN, Tagger, Translator, Discharge, Classifier, Agent]


def learn(model, steps=4):
    """Losses and final weights; the same random numbers whoever draws them."""
    torch.manual_seed(9)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = model.loss()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.detach())
    return {"losses": torch.stack(losses)} | {name: p.detach() for name, p in model.named_parameters()}


def swap_classes(monkeypatch):
    """What a person does to a whole program: `torch.nn.LSTM = carrousel.LSTM`, and so on."""
    for name in ("LSTM", "GRU", "RNN"):
        monkeypatch.setattr(nn, name, getattr(carrousel, name))


@pytest.mark.parametrize("model_class", MODELS)
def test_a_model_learns_the_same_after_the_swap(model_class, monkeypatch):
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    theirs = model_class()
    expected = learn(theirs)
    swap_classes(monkeypatch)
    torch.manual_seed(0)
    ours = model_class()
    assert any(isinstance(module, (carrousel.LSTM, carrousel.GRU, carrousel.RNN)) for module in ours.modules())
    assert repr(ours) == repr(theirs)
    assert_equal_to_1e10(learn(ours), expected)


@pytest.mark.parametrize("model_class", MODELS)
def test_checkpoints_are_exchanged(model_class, monkeypatch):
    """A model trained with torch goes on with ours, and back, optimiser state and all."""
    torch.set_default_dtype(torch.float64)
    theirs = model_class()
    learn(theirs)
    swap_classes(monkeypatch)
    ours = model_class()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    torch.manual_seed(1)
    expected = theirs.eval().loss().detach()
    torch.manual_seed(1)
    assert_equal_to_1e10({"loss": ours.eval().loss().detach()}, {"loss": expected})
    theirs.load_state_dict(ours.state_dict(), strict=True)
