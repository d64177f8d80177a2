"""Models as people build them around torch.nn's recurrent layers: what `carrousel.swap` is tested on.

Letters: T time, B batch, I input, H hidden. Every model takes x [B, T, 4].
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

I, H = 4, 6


class EncoderDecoder(nn.Module):
    """The decoder starts from the encoder's states and is fed with its own outputs."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(I, H, num_layers=2, dropout=0.5, batch_first=True)
        self.decoder = nn.LSTM(1, H, num_layers=2, batch_first=True)
        self.out = nn.Linear(H, 1)

    def forward(self, x):
        _, states = self.encoder(x)
        y, ys = x[:, -1:, :1], []
        for _ in range(3):
            h, states = self.decoder(y, states)
            y = self.out(h)
            ys.append(y)
        return torch.cat(ys, 1)


class Attention(nn.Module):
    """An LSTM, attention over its outputs, and a GRU over what was attended to."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(I, H, batch_first=True)
        self.attention = nn.MultiheadAttention(H, 2, batch_first=True)
        self.second = nn.GRU(H, H, batch_first=True)

    def forward(self, x):
        y, _ = self.lstm(x)
        y = y + self.attention(y, y, y, need_weights=False)[0]
        return self.second(y)[0]


class Tagger(nn.Module):
    """A bidirectional LSTM over packed sequences of different lengths, with a score for each tag."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(I, H, bidirectional=True, batch_first=True, proj_size=3)
        self.score = nn.Linear(6, 5)

    def forward(self, x):
        lengths = torch.arange(len(x)) % x.shape[1] + 1
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.score(pad_packed_sequence(self.lstm(packed)[0], batch_first=True)[0])


class ByName(nn.Module):
    """A GRU for each name, and one of them under two names."""

    def __init__(self):
        super().__init__()
        self.gru = nn.ModuleDict({"day": nn.GRU(I, H, batch_first=True), "night": nn.GRU(I, H, batch_first=True)})
        self.gru["dawn"] = self.gru["day"]
        self.usual = self.gru["day"]

    def forward(self, x):
        return sum(gru(x)[0] for gru in self.gru.values()) + self.usual(x.flip(1))[0]


class Holder(nn.Module):
    """A model around one layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, hx=None):
        return self.layer(x, hx=hx)[0]


class Outputs(nn.Module):
    """The outputs of a recurrent layer without its states, for nn.Sequential."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Tied(nn.Module):
    """Two layers and an output that share their weights but not their biases."""

    def __init__(self):
        super().__init__()
        self.forth, self.back = nn.RNN(I, H, batch_first=True), nn.RNN(I, H, batch_first=True)
        self.back.weight_hh_l0, self.back.weight_ih_l0 = self.forth.weight_hh_l0, self.forth.weight_ih_l0
        self.out = nn.Linear(I, H, bias=False)
        self.out.weight = self.forth.weight_ih_l0

    def forward(self, x):
        return self.forth(x)[0] + self.back(x.flip(1))[0] + self.out(x)


class InLists(nn.Module):
    """Layers that forward finds in a list, a tuple and a dict beside the modules."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.RNN(I, I, 2, dropout=0.5, batch_first=True) for _ in range(3))
        self.listed = [self.first, None]
        self.by_name = {"second": ("a", self.second)}
        self.__dict__["hidden"] = self.third

    def forward(self, x):
        for layer in (self.listed[0], self.by_name["second"][1], self.hidden):
            x = layer(x)[0]
        return x


def nested():
    return nn.Sequential(
        nn.Sequential(Outputs(nn.RNN(I, H, nonlinearity="relu", bias=False, batch_first=True)), nn.Tanh()),
        nn.ModuleList([Outputs(nn.LSTM(H, H, num_layers=2, bidirectional=True, batch_first=True))])[0],
    )


MODELS = {
    "encoder_decoder": EncoderDecoder,
    "attention": Attention,
    "tagger": Tagger,
    "by_name": ByName,
    "nested": nested,
    "tied": Tied,
    "in_lists": InLists,
}
LAYERS = {"encoder_decoder": 2, "attention": 2, "tagger": 1, "by_name": 2, "nested": 2, "tied": 2, "in_lists": 3}
