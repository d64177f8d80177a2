"""Whether ours is the paper's figure: three rules, each with its words."""

from __future__ import annotations

from math import comb, exp, lgamma, log
from typing import NamedTuple

LEVEL = 0.05  # a difference less likely than this by chance alone is one
FACTOR = 2.0

RULES = (
    f"success: the shares of trials that succeeded differ by chance (Fisher's exact test, p of {LEVEL} or more), or "
    "ours is higher; and there is a success",
    f"sequences: our mean until success is within a factor of {FACTOR:g} of the paper's, up or down",
    "test: our number of wrong sequences and the paper's differ by chance (two Poisson counts, exact test, p of "
    f"{LEVEL} or more), or ours is lower",
)
HEADING = 'A row is reproduced when all of these hold, "and better" where a figure is so by more than they allow for:'


class Judgement(NamedTuple):
    """What a rule says of a figure."""

    good: bool
    words: str
    better: bool = False  # than within the rule's bounds


def of_success(solved: int, trials: int, paper_solved: int, paper_trials: int) -> Judgement:
    """The share of trials that succeeded."""
    words = f"solved {solved} of {trials}, paper {paper_solved} of {paper_trials}"
    chance = fisher(solved, trials, paper_solved, paper_trials)
    higher = solved * paper_trials >= paper_solved * trials
    if solved and (higher or chance >= LEVEL):  # no success at all is none by chance either
        return Judgement(True, words, better=chance < LEVEL)
    return Judgement(False, f"{words} ({likely(chance)})")


def of_sequences(mean: float | None, paper: float) -> Judgement:
    """The mean number of sequences until success."""
    if mean is None:
        return Judgement(False, "no success to take the mean of")
    ratio = mean / paper
    return Judgement(1 / FACTOR <= ratio <= FACTOR, f"{ratio:.2f} times the paper's sequences")


def of_test(wrong: int, trials: int, paper_mean: float, paper_trials: int) -> Judgement:
    """Sequences misclassified, of 2560 in each trial.

    Args:
        wrong: ours, in all trials together.
        trials: that were tested.
        paper_mean: the paper's mean.
        paper_trials: that it is the mean of.
    """
    if not trials:
        return Judgement(False, "no success to test")
    theirs = round(paper_mean * paper_trials)
    words = f"{wrong / trials:.1f} wrong, paper {paper_mean:g}"
    chance = binomial(wrong, wrong + theirs, trials / (trials + paper_trials))
    if wrong * paper_trials <= theirs * trials or chance >= LEVEL:
        return Judgement(True, words, better=chance < LEVEL)
    return Judgement(False, f"{words} ({likely(chance)})")


def verdict(judgements: list[Judgement]) -> str:
    """All rules in one sentence: reproduced, or what is missed."""
    missed = [judgement.words for judgement in judgements if not judgement.good]
    better = [judgement.words for judgement in judgements if judgement.better]
    if missed:
        return f"missed: {'; '.join(missed)}"
    return f"reproduced, and better: {'; '.join(better)}" if better else "reproduced"


def likely(chance: float) -> str:
    """A probability in words."""
    return f"p = {chance:.2g}" if chance >= 1e-6 else "p < 1e-6"


def fisher(a: int, n: int, b: int, m: int) -> float:
    """The chance that so uneven a split of a + b successes over n and m trials comes of one common rate."""
    total = comb(n + m, a + b)
    ways = [comb(n, k) * comb(m, a + b - k) for k in range(max(0, a + b - m), min(n, a + b) + 1)]
    seen = comb(n, a) * comb(m, b)
    return sum(way for way in ways if way <= seen) / total


def binomial(k: int, n: int, p: float) -> float:
    """The chance of k or something less likely in n draws of probability p."""
    logs = [lgamma(n + 1) - lgamma(j + 1) - lgamma(n - j + 1) + j * log(p) + (n - j) * log(1 - p) for j in range(n + 1)]
    return min(1.0, sum(exp(each) for each in logs if each <= logs[k] + 1e-9))
