"""Beam search: exhaustive search and greedy search as limits, and each source by itself."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from carrousel.data.subwords import END, START
from carrousel.tasks.translation.beam import search
from carrousel.tasks.translation.model import Translator, TranslatorOptions

V, LONGEST = 6, 3  # 3 symbols that a translation may have: 0, the start and the end are not


@pytest.fixture(params=["lstm", "gru"])
def model(request):
    """Untrained, with large weights, so that its choices are clear."""
    torch.manual_seed(3)
    found = Translator(V, TranslatorOptions(hidden=8, embedding=5, layers=2, dropout=0.0, cell=request.param))
    with torch.no_grad():
        for weight in found.parameters():
            weight.mul_(3.0)
    return found.eval()


def some_sources(count: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(3, V, (5, count), generator=generator), torch.randint(1, 6, (count,), generator=generator)


@torch.no_grad()
def score_of(model, source, symbols) -> float:
    """The mean of ln p of the symbols and the end, by one call over all steps."""
    encoded, state = model.encode(source[:, None], torch.tensor([len(source)]))
    y, _ = model.decode(torch.tensor([[START, *symbols]]).t(), state)
    features, _ = model.attend(y.transpose(0, 1), encoded)
    chances = model.logits(features)[0].log_softmax(-1)
    return chances[range(len(symbols) + 1), [*symbols, END]].mean().item()


def test_a_wide_beam_is_exhaustive_search(model):
    source, lengths = some_sources()
    found = search(model, source, lengths, 100, torch.full_like(lengths, LONGEST))
    for index, hypothesis in enumerate(found):
        row = source[: lengths[index], index]
        everything = [list(each) for n in range(LONGEST + 1) for each in product(range(3, V), repeat=n)]
        scores = [score_of(model, row, symbols) for symbols in everything]
        best = max(range(len(everything)), key=scores.__getitem__)
        assert hypothesis.symbols == everything[best]
        assert hypothesis.score == pytest.approx(scores[best], abs=1e-5)
    assert len({tuple(each.symbols) for each in found}) > 1


def test_a_beam_of_one_is_greedy_search(model):
    source, lengths = some_sources()
    longest = torch.full_like(lengths, 9)
    for index, hypothesis in enumerate(search(model, source, lengths, 1, longest)):
        row = source[: lengths[index], index]
        symbols: list[int] = []
        while len(symbols) < 9:
            scores = {s: score_of_next(model, row, symbols, s) for s in (END, *range(3, V))}
            best = max(scores, key=scores.__getitem__)
            if best == END:
                break
            symbols.append(best)
        assert hypothesis.symbols == symbols
        assert hypothesis.score == pytest.approx(score_of(model, row, symbols), abs=1e-5)


@torch.no_grad()
def score_of_next(model, source, symbols, following) -> float:
    encoded, state = model.encode(source[:, None], torch.tensor([len(source)]))
    y, _ = model.decode(torch.tensor([[START, *symbols]]).t(), state)
    features, _ = model.attend(y.transpose(0, 1), encoded)
    return model.logits(features)[0, -1, following].item()


@pytest.mark.parametrize("width", [1, 2, 5])
def test_each_source_is_searched_by_itself(model, width):
    source, lengths = some_sources(20)
    longest = 2 * lengths + 1
    together = search(model, source, lengths, width, longest)
    for index, hypothesis in enumerate(together):
        here = slice(index, index + 1)
        (alone,) = search(model, source[: lengths[index], here], lengths[here], width, longest[here])
        assert alone.symbols == hypothesis.symbols
        assert alone.score == pytest.approx(hypothesis.score, abs=1e-5)
        row = source[: lengths[index], index]
        assert hypothesis.score == pytest.approx(score_of(model, row, hypothesis.symbols), abs=1e-5)


def test_a_translation_is_not_longer_than_allowed_and_has_no_signs(model):
    with torch.no_grad():
        model.bias[END] = -50.0  # nothing ends by itself
        model.bias[[0, START]] = 50.0
    source, lengths = some_sources()
    longest = torch.arange(len(lengths))
    for hypothesis, most in zip(search(model, source, lengths, 3, longest), longest.tolist(), strict=True):
        assert len(hypothesis.symbols) == most
        assert not {0, START, END} & set(hypothesis.symbols)
