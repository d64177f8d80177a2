"""How well a model predicts a text: one number, exactly defined."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from carrousel.errors import UserError
from carrousel.tasks.text import CharModel, State, joined, parts

PIECES = 64  # read side by side
SHORTEST = 1024  # characters of a piece: a text is cut into fewer pieces before it is cut into shorter ones
WARM_UP = 256  # characters read before a piece, and not counted
SKIPPED = -100  # a target that `cross_entropy` takes no notice of
WINDOW = 128  # characters at a time; changes memory and speed only


@dataclass(frozen=True)
class Score:
    """The mean loss over some characters."""

    nats_per_char: float
    characters: int

    @property
    def bits_per_char(self) -> float:
        """The loss in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """Among how many characters, all equally likely, the model might as well choose."""
        return math.exp(min(self.nats_per_char, 700.0))  # 700: the end of float64

    def numbers(self) -> dict[str, float]:
        """All of them, by name."""
        return {
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.bits_per_char,
            "perplexity": self.perplexity,
            "characters": self.characters,
        }


@torch.no_grad()
def evaluate(model: CharModel, codes: Tensor, sample: int | None = None) -> Score:
    """The mean of -ln p(character) over all characters of a text but the first, each predicted once.

    The text is cut into up to 64 pieces that are read side by side. Before a piece the 256 characters that precede it
    are read with the state at zero, so that each character is predicted from all before it or at least from 256.

    Args:
        model: its mode is left as it was.
        codes: the text [N], int64, on the model's device.
        sample: measure only so many characters (rounded up to as many from each piece): those at its start.

    Raises:
        UserError: fewer than two characters.
    """
    if len(codes) < 2:
        raise UserError(f"a text of {len(codes)} characters cannot be evaluated: it takes two, the first is given")
    training = model.training
    model.eval()
    x, y = pieces(codes)
    state, total = warm(model, x), torch.zeros((), dtype=torch.float64, device=codes.device)
    rows = len(x) if sample is None else -(-sample // x.shape[1])
    for x_window, y_window in zip(x[:rows].split(WINDOW), y[:rows].split(WINDOW)):
        logits, state = model(x_window, state)
        total += cross_entropy(logits.flatten(0, 1), y_window.flatten(), reduction="none").double().sum()
    model.train(training)
    characters = int((y[:rows] != SKIPPED).sum())
    return Score(total.item() / characters, characters)


def pieces(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a text: inputs and the characters that follow them [T, B], the last piece filled up."""
    targets = len(codes) - 1
    count = max(1, min(PIECES, targets // SHORTEST))
    length = -(-targets // count)
    fill = count * length - targets
    x, y = pad(codes[:-1], (0, fill)), pad(codes[1:], (0, fill), value=SKIPPED)
    return x.view(count, length).t(), y.view(count, length).t()


def warm(model: CharModel, x: Tensor) -> State:
    """The states [L, B, H] before each piece: zero at the first, else after the end of the piece before."""
    if x.shape[1] == 1:
        return None
    _, state = model(x[-WARM_UP:, :-1])
    return joined(tuple(pad(part, (0, 0, 1, 0)) for part in parts(state)))
