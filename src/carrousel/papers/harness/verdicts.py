"""Whether our figures reproduce the paper's: three rules, each with its wording."""

from __future__ import annotations

from math import comb, exp, lgamma, log
from typing import NamedTuple

LEVEL = 0.05  # significance level: less likely differences are not due to chance
FACTOR = 2.0

RULES = (
    "success: at least one trial succeeds, and our share of successful trials is higher than the paper's or differs "
    f"from it by chance (Fisher's exact test, p of {LEVEL} or more)",
    f"sequences: our mean until success is within a factor of {FACTOR:g} of the paper's, up or down",
    "test: our number of wrong sequences is lower than the paper's or differs from it by chance (exact test of two "
    f"Poisson counts, p of {LEVEL} or more)",
)
HEADING = 'A row is reproduced if all of these rules hold; "and better" if a figure is better than a rule\'s tolerance:'
NO_FIGURES = "not in the paper"


class Judgement(NamedTuple):
    """The result of a rule."""

    good: bool
    words: str
    better: bool = False  # better than the rule's tolerance


def judge_success(solved: int, trials: int, paper_solved: int, paper_trials: int) -> Judgement:
    """Judge the share of successful trials."""
    words = f"solved {solved} of {trials}, paper {paper_solved} of {paper_trials}"
    chance = fisher(solved, trials, paper_solved, paper_trials)
    higher = solved * paper_trials >= paper_solved * trials
    if solved and (higher or chance >= LEVEL):  # without any success, chance is no excuse
        return Judgement(True, words, better=chance < LEVEL)
    return Judgement(False, f"{words} ({format_chance(chance)})")


def judge_sequences(mean: float | None, paper: float) -> Judgement:
    """Judge the mean number of sequences until success."""
    if mean is None:
        return Judgement(False, "no success, so no mean")
    ratio = mean / paper
    return Judgement(1 / FACTOR <= ratio <= FACTOR, f"{ratio:.2f} times the paper's sequences")


def judge_test(wrong: int, trials: int, paper_mean: float, paper_trials: int) -> Judgement:
    """Judge the misclassified sequences, of 2560 in each trial.

    Args:
        wrong: ours, the sum over all trials.
        trials: our tested trials.
        paper_mean: the paper's mean.
        paper_trials: number of trials behind that mean.
    """
    if not trials:
        return Judgement(False, "no success to test")
    theirs = round(paper_mean * paper_trials)
    words = f"{wrong / trials:.1f} wrong, paper {paper_mean:g}"
    chance = binomial(wrong, wrong + theirs, trials / (trials + paper_trials))
    if wrong * paper_trials <= theirs * trials or chance >= LEVEL:
        return Judgement(True, words, better=chance < LEVEL)
    return Judgement(False, f"{words} ({format_chance(chance)})")


def join(judgements: list[Judgement]) -> str:
    """The verdict on a row: reproduced, or the rules that it misses."""
    missed = [judgement.words for judgement in judgements if not judgement.good]
    better = [judgement.words for judgement in judgements if judgement.better]
    if missed:
        return f"missed: {'; '.join(missed)}"
    return f"reproduced, and better: {'; '.join(better)}" if better else "reproduced"


def format_chance(chance: float) -> str:
    """A p value as text."""
    return f"p = {chance:.2g}" if chance >= 1e-6 else "p < 1e-6"


def fisher(a: int, n: int, b: int, m: int) -> float:
    """Fisher's exact test: p of so uneven a split of a + b successes over n and m trials with one common rate."""
    total = comb(n + m, a + b)
    ways = [comb(n, k) * comb(m, a + b - k) for k in range(max(0, a + b - m), min(n, a + b) + 1)]
    seen = comb(n, a) * comb(m, b)
    return sum(way for way in ways if way <= seen) / total


def binomial(k: int, n: int, p: float) -> float:
    """Exact binomial test: p of k, or of anything less likely, in n trials of probability p."""
    logs = [lgamma(n + 1) - lgamma(j + 1) - lgamma(n - j + 1) + j * log(p) + (n - j) * log(1 - p) for j in range(n + 1)]
    return min(1.0, sum(exp(each) for each in logs if each <= logs[k] + 1e-9))
