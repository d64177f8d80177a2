"""How well a model predicts a text: one number, exactly defined."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from carrousel.errors import UserError
from carrousel.tasks.language_model.model import LanguageModel
from carrousel.tasks.language_model.word_model import WordModel
from carrousel.training.task import Score, State

PIECES = 64  # that are read side by side
SHORTEST = 1024  # symbols of a piece: a text is cut into fewer pieces before it is cut into shorter ones
WARM_UP = 256  # symbols that are read before a piece, and not counted
IGNORED = -100  # a target that does not count
WINDOW = 128  # symbols at a time; changes memory and speed only


@torch.no_grad()
def sum_losses(
    model: LanguageModel | WordModel, codes: Tensor, sample: int | None = None, unit: str = "characters"
) -> tuple[Tensor, Tensor]:
    """The sums of -ln p(symbol) over a text, each symbol but the first predicted once, apart for each symbol.

    The text is cut into up to 64 pieces that are read side by side. Before a piece the 256 symbols that precede it are
    read with the state at zero, so that each symbol is predicted from all before it or at least from 256.

    Args:
        model: its mode is left as it was.
        codes: the text [N], of integers, on the model's device.
        sample: measure only so many symbols (rounded up to the same number in each piece): those at its start.
        unit: what the symbols are, in the plural, for the error message.

    Returns:
        For each symbol of the vocabulary the sum of its losses in nats [V], float64, and how often it was measured [V].

    Raises:
        UserError: fewer than two symbols.
    """
    if len(codes) < 2:
        raise UserError(f"a text of {len(codes)} {unit} cannot be evaluated: at least 2 are needed")
    training = model.training
    model.eval()
    x, y, padding = split_into_pieces(codes)
    state = warm_up(model, x)
    sums = torch.zeros(model.symbols, dtype=torch.float64, device=codes.device)
    counts = torch.zeros(model.symbols, dtype=torch.int64, device=codes.device)
    rows = len(x) if sample is None else -(-sample // x.shape[1])
    for start, x_window, y_window in zip(range(0, rows, WINDOW), x[:rows].split(WINDOW), y[:rows].split(WINDOW)):
        targets = y_window.to(torch.int64, copy=True)
        targets[max(0, len(x) - padding - start) :, -1] = IGNORED
        features, state = model.features(x_window.long(), state)
        losses = model.losses(features, targets, "none")
        is_counted = targets != IGNORED
        sums.index_add_(0, targets[is_counted], losses[is_counted].double())
        counts += targets[is_counted].bincount(minlength=len(counts))
    model.train(training)
    return sums, counts


def evaluate(model: LanguageModel, codes: Tensor, sample: int | None = None, unit: str = "characters") -> Score:
    """The mean of -ln p(symbol) over a text; the arguments are those of `sum_losses`."""
    sums, counts = sum_losses(model, codes, sample, unit)
    count = int(counts.sum())
    return Score(sums.sum().item() / count, count)


def split_into_pieces(codes: Tensor) -> tuple[Tensor, Tensor, int]:
    """Inputs [T, B], the symbols that follow them [T, B], and how many steps at the end of the last piece are none."""
    targets = len(codes) - 1
    count = max(1, min(PIECES, targets // SHORTEST))
    length = -(-targets // count)
    padding = count * length - targets
    x, y = pad(codes[:-1], (0, padding)), pad(codes[1:], (0, padding))
    return x.view(count, length).t(), y.view(count, length).t(), padding


def warm_up(model: LanguageModel | WordModel, x: Tensor) -> State:
    """The states [L, B, H] before each piece: zero before the first, else after the end of the piece before."""
    if x.shape[1] == 1:
        return ()
    _, state = model.features(x[-WARM_UP:, :-1].long())
    return tuple(pad(part, (0, 0, 1, 0)) for part in state)
