"""Characters a second of training in the setting of the d2l book, with our LSTM and two others.

From "Dive into Deep Learning" (Zhang, Lipton, Li and Smola), section LSTM: letters only, the first 10,000 characters,
256 units, batch 32, 35 steps, SGD with rate 1, gradients clipped at norm 1, 500 epochs.

Letters: T time, B batch, V symbols, H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from carrousel.bench.clock import medians
from carrousel.bench.measurement import Measurement
from carrousel.data.batch_streams import BatchStreams
from carrousel.data.vocabulary import Vocabulary, letters_only
from carrousel.layers import LSTM

CHARACTERS, HIDDEN, BATCH, LENGTH = 10_000, 256, 32, 35
TITLE = "characters, in the d2l book's setting: ratio = ours / the rival's characters a second, higher is better"
SHAPE = f"H{HIDDEN}-B{BATCH}-T{LENGTH}"


class ScratchLSTM(nn.Module):
    """An LSTM as one writes it from the equations, in torch operations: a loop over time, a product for each gate."""

    def __init__(self, I: int, H: int) -> None:
        super().__init__()
        self.W = nn.ParameterDict({gate: nn.Parameter(0.01 * torch.randn(I, H)) for gate in "ifgo"})
        self.R = nn.ParameterDict({gate: nn.Parameter(0.01 * torch.randn(H, H)) for gate in "ifgo"})
        self.b: nn.ParameterDict = nn.ParameterDict({gate: nn.Parameter(torch.zeros(H)) for gate in "ifgo"})

    def forward(self, x: Tensor, states: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [T, B, I], states ([B, H], [B, H]) or None for zeros -> y [T, B, H] and the states."""
        zeros = x.new_zeros(x.shape[1], self.b["i"].shape[0])
        h, c = states or (zeros, zeros)
        ys = []
        for x_t in x:
            i, f, g, o = (x_t @ self.W[gate] + h @ self.R[gate] + self.b[gate] for gate in "ifgo")
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            ys.append(h)
        return torch.stack(ys), (h, c)


class Trainer:
    """A character model and its training, window by window, with carried states.

    Args:
        recurrent: takes x [T, B, V] and states, returns y [T, B, H] and states.
        streams: the text at BATCH places.
        symbols: V.
    """

    def __init__(self, recurrent: nn.Module, streams: BatchStreams, symbols: int) -> None:
        self.recurrent = recurrent
        self.streams = streams
        self.symbols = symbols
        self.readout: nn.Linear = nn.Linear(HIDDEN, symbols)
        self.parameters: list[nn.Parameter] = [*recurrent.parameters(), *self.readout.parameters()]
        self.optimizer: torch.optim.SGD = torch.optim.SGD(self.parameters, lr=1)
        self.states: tuple[Tensor, Tensor] | None = None
        self.windows: int = 0

    def step(self) -> float:
        """Train on the next window; its loss in nats a character."""
        codes, targets = self.streams.window(self.windows)
        self.windows += 1
        y, states = self.recurrent(one_hot(codes, self.symbols).float(), self.states)
        self.states = (states[0].detach(), states[1].detach())
        loss = cross_entropy(self.readout(y).flatten(0, 1), targets.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1)
        self.optimizer.step()
        return loss.item()


def trainers(text: str) -> dict[str, Trainer]:
    """The three models, each with a training of its own, on the first CHARACTERS letters of a text.

    Raises:
        UserError: the text is shorter than one window.
    """
    letters = letters_only(text)[:CHARACTERS]
    vocabulary = Vocabulary.of(letters)
    streams = BatchStreams(vocabulary.encode(letters), BATCH, LENGTH)
    V = len(vocabulary)
    layers = {
        "carrousel.LSTM": LSTM(V, HIDDEN),
        "torch.nn.LSTM": nn.LSTM(V, HIDDEN),
        "torch operations": ScratchLSTM(V, HIDDEN),
    }
    return {name: Trainer(layer, streams, V) for name, layer in layers.items()}


def measure_speeds(models: dict[str, Trainer], seconds: float) -> Iterator[Measurement]:
    """Characters a second of training for each model, measured together."""
    times = medians([trainer.step for trainer in models.values()], seconds, repeat=3)
    for k, (name, time) in enumerate(zip(models, times)):
        speed = 1000 * BATCH * LENGTH / time
        ratio = time / times[0] if k else None
        yield Measurement("text", "training", SHAPE, torch.get_num_threads(), name, speed, "characters/s", ratio)


def measure_perplexity(name: str, epochs: int, perplexity: float) -> Measurement:
    """The mean training perplexity of a model's last epoch."""
    what = f"perplexity after {epochs} epoch{'s' * (epochs != 1)}"
    return Measurement("text", what, SHAPE, torch.get_num_threads(), name, perplexity, "")


def train(trainer: Trainer, epochs: int) -> Iterator[float]:
    """Train for some epochs; yields the mean training perplexity of each."""
    windows = trainer.streams.size // (BATCH * LENGTH)
    for _ in range(epochs):
        yield math.exp(sum(trainer.step() for _ in range(windows)) / windows)
