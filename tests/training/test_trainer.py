"""Training: a step against torch.nn, schedules, evaluation."""

from __future__ import annotations

import math

import pytest
import torch
from runs import SIZES, sentences
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from carrousel.data.vocabulary import Corpus, Vocabulary
from carrousel.errors import UserError
from carrousel.tasks.language_model.evaluate import PIECES, SHORTEST, WARM_UP, evaluate
from carrousel.tasks.language_model.model import LanguageModel
from carrousel.tasks.network import CELLS, NetworkOptions
from carrousel.tasks.text import TASK, TextOptions, new_data
from carrousel.training.trainer import Trainer, schedule_factor


def trainer(**options) -> Trainer:
    options = TextOptions(files=("-",), **{**SIZES, **options}).complete()
    device = torch.device("cpu")
    return Trainer(TASK, options, new_data(Corpus.split([sentences()], 0.1), options, device), device)


def new_model(symbols: int, cell: str, hidden: int, layers: int, dropout: float) -> LanguageModel:
    return LanguageModel(symbols, NetworkOptions(cell=cell, hidden=hidden, layers=layers, dropout=dropout))


# ---- a step ---------------------------------------------------------------------------------------------------------


def test_steps_are_truncated_backpropagation_with_carried_state():
    """The same weights as a plain loop over torch.nn.LSTM: windows one after the other, state detached in between."""
    ours = trainer(layers=2, dropout=0.0, optimizer="sgd", lr=0.5, schedule="constant", clip=0.2)
    V, B, T = len(Vocabulary.of(sentences())), SIZES["batch"], SIZES["length"]
    lstm, linear = nn.LSTM(V, SIZES["hidden"], 2), nn.Linear(SIZES["hidden"], V)
    lstm.load_state_dict(ours.model.recurrent.state_dict())
    linear.load_state_dict(ours.model.output.state_dict())
    weights = [*lstm.parameters(), *linear.parameters()]
    codes = Corpus.split([sentences()], 0.1).train.long()
    state, losses = None, []
    for step in range(4):
        places = torch.stack([(b * len(codes) // B + step * T + torch.arange(T + 1)) % len(codes) for b in range(B)], 1)
        y, state = lstm(one_hot(codes[places[:-1]], V).float() * math.sqrt(V), state)
        state = tuple(part.detach() for part in state)
        loss = cross_entropy(linear(y).flatten(0, 1), codes[places[1:]].flatten())
        grads = torch.autograd.grad(loss, weights)
        norm = torch.stack([g.square().sum() for g in grads]).sum().sqrt()
        assert norm > 0.2, "the clip takes part in this test"
        with torch.no_grad():
            for weight, grad in zip(weights, grads, strict=True):
                weight -= 0.5 * grad * 0.2 / norm
        losses.append(loss.item())
    assert [ours.advance(0.0) for _ in range(4)] == pytest.approx(losses, rel=1e-5)
    for weight, expected in zip(ours.weights, weights, strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns(cell):
    one = trainer(cell=cell, hidden=24, layers=1, batch=8, length=16, lr=0.02, schedule="constant")
    losses = [one.advance(0.0) for _ in range(120)]
    letters = torch.bincount(Corpus.split([sentences()], 0.1).train).double()
    entropy = torch.distributions.Categorical(letters).entropy().item()
    assert sum(losses[-10:]) / 10 < 0.75 * entropy


def test_many_symbols_are_embedded():
    model = new_model(300, "gru", 8, 1, 0.0)
    assert model.table.requires_grad
    assert model.table.shape == (300, 8)
    assert not new_model(256, "gru", 8, 1, 0.0).table.requires_grad
    logits, _ = model(torch.randint(300, (5, 2)))
    assert logits.shape == (5, 2, 300)


@pytest.mark.parametrize(
    ("schedule", "progress", "value"),
    [
        ("constant", 0.0, 1.0),
        ("constant", 0.99, 1.0),
        *[(schedule, 0.01, 0.5) for schedule in ("cosine", "linear")],
        *[(schedule, 0.02, 1.0) for schedule in ("cosine", "linear")],
        *[(schedule, 0.51, 0.5) for schedule in ("cosine", "linear")],
        ("linear", 0.755, 0.25),
        ("cosine", 0.755, (1 - math.cos(math.pi / 4)) / 2),
        *[(schedule, 1.0, 0.0) for schedule in ("cosine", "linear")],
    ],
)
def test_schedule(schedule, progress, value):
    assert schedule_factor(schedule, progress) == pytest.approx(value, abs=1e-12)


# ---- evaluation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 3, 700, 2 * SHORTEST, 3 * SHORTEST + 5, PIECES * SHORTEST + 77])
@torch.no_grad()
def test_evaluation_predicts_each_character_once(length):
    """From all characters before it, but for those beyond the warm-up: a GRU that forgets makes them not matter."""
    model = new_model(5, "gru", 8, 2, 0.5)
    codes = torch.randint(5, (length,))
    score = evaluate(model, codes)
    assert model.training
    model.eval()
    logits, _ = model(codes[:-1, None])
    losses = cross_entropy(logits[:, 0], codes[1:], reduction="none").double()
    assert score.count == length - 1
    assert score.loss == pytest.approx(losses.mean().item(), rel=1e-6)
    numbers = TASK.numbers(score)
    assert numbers["bits_per_char"] == pytest.approx(score.loss / math.log(2))
    assert numbers["perplexity"] == pytest.approx(math.exp(score.loss))


@torch.no_grad()
def test_evaluation_warms_up_as_far_as_it_says():
    """On an RNN that never forgets what it last saw: only characters within the warm-up change a piece's score."""
    model = new_model(2, "rnn", 8, 1, 0.0).eval()
    codes = torch.randint(2, (2 * SHORTEST + 1,))
    base = evaluate(model, codes).loss
    assert WARM_UP < SHORTEST
    piece = codes[SHORTEST - WARM_UP : -1, None]
    logits, _ = model(piece)
    second = cross_entropy(logits[WARM_UP:, 0], codes[SHORTEST + 1 :], reduction="none").double().sum()
    logits, _ = model(codes[:SHORTEST, None])
    first = cross_entropy(logits[:, 0], codes[1 : SHORTEST + 1], reduction="none").double().sum()
    assert base == pytest.approx((first + second).item() / (2 * SHORTEST), rel=1e-6)


@torch.no_grad()
def test_evaluation_of_a_sample_takes_the_start_of_each_piece():
    model = new_model(5, "gru", 8, 1, 0.0).eval()
    codes = torch.randint(5, (3 * SHORTEST + 1,))
    logits, _ = model(codes[:-1, None])
    losses = cross_entropy(logits[:, 0], codes[1:], reduction="none").double().view(3, SHORTEST)
    score = evaluate(model, codes, sample=100)
    assert score.count == 3 * 34
    assert score.loss == pytest.approx(losses[:, :34].mean().item(), rel=1e-5)


def test_evaluation_needs_two_characters():
    with pytest.raises(UserError, match="a text of 1 characters cannot be evaluated"):
        evaluate(new_model(2, "gru", 4, 1, 0.0), torch.zeros(1, dtype=torch.int64))
