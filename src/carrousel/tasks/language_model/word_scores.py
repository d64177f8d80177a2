"""How well words are predicted, by a model and by what it is compared with: losses apart for each word."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carrousel.tasks.language_model.baselines import MOST, Bigrams, Unigrams
from carrousel.tasks.language_model.evaluate import sum_losses
from carrousel.tasks.language_model.held_out import HeldOutText
from carrousel.tasks.language_model.word_model import WordModel
from carrousel.training.task import Score

Sums = NDArray[np.float64]
LARGEST = 700.0  # nats; beyond them float64 has no perplexity
COUNTED = f"the baselines count the first {MOST:,} words of the training text"


@dataclass(frozen=True)
class WordScores:
    """The losses of a text's words, in nats.

    counts: how often each word was measured [V].
    sums: of each word's losses, by the name of what predicted it: "model", and where there is a training text to count,
        "unigram" and "bigram" [V].
    end_of_line: the number of <eos>.
    notes: what people should know of the text, a line each.
    """

    counts: NDArray[np.int64]
    sums: dict[str, Sums]
    end_of_line: int
    notes: tuple[str, ...]

    def perplexity(self, name: str, with_eos: bool = True) -> float:
        """exp of the mean loss: among how many equally likely words a choice would be as hard."""
        is_counted = np.arange(len(self.counts)) != (-1 if with_eos else self.end_of_line)
        mean = self.sums[name][is_counted].sum() / max(self.counts[is_counted].sum(), 1)
        return math.exp(min(mean, LARGEST))

    def score(self) -> Score:
        """The mean loss of the model, and all perplexities."""
        count = int(self.counts.sum())
        more = {"perplexity_without_eos": self.perplexity("model", with_eos=False)}
        for name in self.sums.keys() - {"model"}:
            more[f"{name}_perplexity"] = self.perplexity(name)
            more[f"{name}_perplexity_without_eos"] = self.perplexity(name, with_eos=False)
        return Score(float(self.sums["model"].sum()) / count, count, dict(sorted(more.items())), self.notes)


def measure_words(model: WordModel, text: HeldOutText, end_of_line: int, sample: int | None = None) -> WordScores:
    """Measure a model on a text, and count the training text for the baselines.

    Args:
        model: its mode is left as it was.
        text: at least two words.
        end_of_line: the number of <eos>.
        sample: measure only about so many words, and no baselines. Default: all, with baselines.

    Raises:
        UserError: fewer than two words.
    """
    sums, counts = sum_losses(model, text.codes, sample, "words")
    found, notes = {"model": sums.cpu().numpy()}, text.notes
    if sample is None and text.train is not None:
        V, codes = len(counts), text.codes.cpu().numpy()
        for name, baseline in (("unigram", Unigrams), ("bigram", Bigrams)):
            losses = baseline(text.train, V).losses(codes)
            found[name] = np.bincount(codes[1:], losses, minlength=V)
        notes = (*notes, COUNTED) if len(text.train) > MOST else notes
    return WordScores(counts.cpu().numpy(), found, end_of_line, notes)
