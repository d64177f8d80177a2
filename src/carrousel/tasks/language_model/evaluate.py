"""How well a model predicts a text: one number, exactly defined."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from carrousel.errors import UserError
from carrousel.output_layer import linear_cross_entropy
from carrousel.tasks.language_model.model import LanguageModel
from carrousel.training.task import Score, State

PIECES = 64  # that are read side by side
SHORTEST = 1024  # symbols of a piece: a text is cut into fewer pieces before it is cut into shorter ones
WARM_UP = 256  # symbols that are read before a piece, and not counted
IGNORED = -100  # a target that does not count
WINDOW = 128  # symbols at a time; changes memory and speed only


@torch.no_grad()
def evaluate(model: LanguageModel, codes: Tensor, sample: int | None = None, unit: str = "characters") -> Score:
    """The mean of -ln p(symbol) over all symbols of a text but the first, each predicted once.

    The text is cut into up to 64 pieces that are read side by side. Before a piece the 256 symbols that precede it are
    read with the state at zero, so that each symbol is predicted from all before it or at least from 256.

    Args:
        model: its mode is left as it was.
        codes: the text [N], int64, on the model's device.
        sample: measure only so many symbols (rounded up to the same number in each piece): those at its start.
        unit: what the symbols are, in the plural, for the error message.

    Raises:
        UserError: fewer than two symbols.
    """
    if len(codes) < 2:
        raise UserError(f"a text of {len(codes)} {unit} cannot be evaluated: at least 2 are needed")
    training = model.training
    model.eval()
    x, y = split_into_pieces(codes)
    state, total = warm_up(model, x), torch.zeros((), dtype=torch.float64, device=codes.device)
    rows = len(x) if sample is None else -(-sample // x.shape[1])
    for x_window, y_window in zip(x[:rows].split(WINDOW), y[:rows].split(WINDOW)):
        features, state = model.features(x_window, state)
        output = model.output
        losses = linear_cross_entropy(features, output.weight, y_window, output.bias, reduction="none")
        total += losses.double().sum()
    model.train(training)
    count = int((y[:rows] != IGNORED).sum())
    return Score(total.item() / count, count)


def split_into_pieces(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Inputs [T, B] and the symbols that follow them [T, B]: B pieces, of which the last is padded."""
    targets = len(codes) - 1
    count = max(1, min(PIECES, targets // SHORTEST))
    length = -(-targets // count)
    padding = count * length - targets
    x, y = pad(codes[:-1], (0, padding)), pad(codes[1:], (0, padding), value=IGNORED)
    return x.view(count, length).t(), y.view(count, length).t()


def warm_up(model: LanguageModel, x: Tensor) -> State:
    """The states [L, B, H] before each piece: zero before the first, else after the end of the piece before."""
    if x.shape[1] == 1:
        return ()
    _, state = model(x[-WARM_UP:, :-1])
    return tuple(pad(part, (0, 0, 1, 0)) for part in state)
