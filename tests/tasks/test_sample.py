"""Sampling: one step at a time gives what the whole sequence gives."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from carrousel.errors import UserError
from carrousel.tasks.language_model.model import LanguageModel
from carrousel.tasks.network import CELLS
from carrousel.tasks.text import TASK, TextOptions, encode
from carrousel.training.trained import Trained

SYMBOLS = "\n abcde"


def trained(cell="lstm", letters=False) -> Trained:
    options = TextOptions(cell=cell, hidden=16, layers=2, dropout=0.5, letters=letters)
    return Trained(TASK, LanguageModel(len(SYMBOLS), options).eval(), options, {"symbols": SYMBOLS}, step=0)


def sample(one: Trained, prompt: str, length: int, temperature: float = 1.0, seed: int = 0):
    return TASK.generate(one, prompt, length, temperature, seed)


@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_each_character_is_the_likeliest_after_all_before(cell):
    """At temperature 0, against the whole text read again from its start for every character."""
    one = trained(cell)
    text = "bad cab"
    for character in sample(one, text, 30, temperature=0.0):
        logits, _ = one.model(encode(one, text, "text")[:, None])
        assert character == SYMBOLS[logits[-1, 0].argmax()]
        text += character
    assert len(text) == 37


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_sharpens_and_flattens(temperature):
    """A model that predicts the same of every text: the frequencies are its logits divided by the temperature."""
    one = trained()
    logits = torch.tensor([0.0, -1.0, 0.5, 1.0, -0.5, 2.0, 0.0])
    with torch.no_grad():
        one.model.output.weight.zero_()
        one.model.output.bias.copy_(logits)
    counts = Counter(sample(one, "a", 4000, temperature))
    for symbol, p in zip(SYMBOLS, (logits / temperature).softmax(0).tolist(), strict=True):
        assert abs(counts[symbol] / 4000 - p) < 5 * math.sqrt(p * (1 - p) / 4000)


def test_a_seed_is_a_text():
    one = trained()
    texts = ["".join(sample(one, "abc", 50, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_the_prompt_matters():
    one = trained()
    with torch.no_grad():
        for weight in one.model.parameters():
            weight.mul_(5)
    assert list(sample(one, "abc", 50)) != list(sample(one, "cba", 50))


def test_no_prompt_is_the_end_of_a_line():
    one = trained()
    assert list(sample(one, "", 20)) == list(sample(one, "\n", 20))


def test_the_smallest_temperature_is_the_likeliest():
    one = trained()
    assert list(sample(one, "ab", 20, temperature=1e-300)) == list(sample(one, "ab", 20, temperature=0.0))


def test_the_prompt_is_cleaned_as_the_training_text_was():
    one = trained(letters=True)
    assert list(sample(one, "Bad, CAB", 20)) == list(sample(one, "bad cab", 20))


def test_nothing_comes_before_the_checks():
    one = trained()
    with pytest.raises(UserError, match=r"the prompt has 'z' \(U\+007A\) at line 2, column 3"):
        sample(one, "ab\nabz", 5)
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(UserError, match=r"--temperature .* is not allowed"):
            sample(one, "a", 5, temperature=bad)
    with pytest.raises(UserError, match="--length -1 is not allowed"):
        sample(one, "a", -1)
    with pytest.raises(UserError, match="--seed -1 is not allowed"):
        sample(one, "a", 5, seed=-1)
    assert list(sample(one, "a", 0)) == []
