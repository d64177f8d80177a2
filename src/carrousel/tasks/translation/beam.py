"""Beam search: the most likely translations, for many sources side by side.

Each step continues the K best hypotheses of every source by each symbol; of the results the K best that do not end go
on, and those that end among the K best compete by the mean of ln p of their symbols. A source is finished when K of its
hypotheses have ended, or when none that goes on can become better. With K = 1 that is greedy search.

Letters: b sources that are not finished, K hypotheses of each, V symbols, L layers, H hidden units, n symbols so far.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from carrousel.data.subwords import END, START
from carrousel.tasks.translation.model import Encoded, Translator
from carrousel.training.task import State

NEVER = [0, START]  # symbols that no translation has


class Hypothesis(NamedTuple):
    """A translation: its symbols without the end, and the mean of ln p of its symbols and the end."""

    symbols: list[int]
    score: float


class Beam(NamedTuple):
    """The hypotheses that go on, of the sources that are not finished.

    Args:
        places: which of all sources these are [b].
        encoded: these sources.
        state: of the decoder [L, b * K, H].
        totals: ln p of each hypothesis [b, K], the best first; -inf: there is no such hypothesis.
        symbols: of each hypothesis, after the start [b, K, 1 + n].
    """

    places: Tensor
    encoded: Encoded
    state: State
    totals: Tensor
    symbols: Tensor

    def select(self, rows: Tensor) -> Beam:
        """Some of the sources [n]."""
        K = self.totals.shape[1]
        inner = (rows[:, None] * K + torch.arange(K, device=rows.device)).flatten()
        state = tuple(part[:, inner] for part in self.state)
        return Beam(self.places[rows], self.encoded.select(rows), state, self.totals[rows], self.symbols[rows])


class Best:
    """The best hypothesis of each source that has ended so far, and how many have."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.scores: Tensor = torch.full((count,), -torch.inf, device=device)
        self.ended: Tensor = torch.zeros(count, dtype=torch.int64, device=device)
        self.symbols: list[list[int]] = [[] for _ in range(count)]

    def update(self, beam: Beam, scores: Tensor, parents: Tensor) -> None:
        """Take in what ends in a step.

        Args:
            beam: before the step.
            scores: of what ends [b, K]; -inf where nothing does.
            parents: the hypothesis of the beam that ends [b, K].
        """
        self.ended[beam.places] += scores.isfinite().sum(1)
        score, which = scores.max(1)
        for row in (score > self.scores[beam.places]).nonzero()[:, 0].tolist():
            place = int(beam.places[row])
            self.scores[place] = score[row]
            self.symbols[place] = beam.symbols[row, parents[row, which[row]], 1:].tolist()


@torch.no_grad()
def search(model: Translator, source: Tensor, lengths: Tensor, width: int, longest: Tensor) -> list[Hypothesis]:
    """The translation of each source.

    Args:
        model: in evaluation mode.
        source: symbols, padded [S, B], int64.
        lengths: steps of each [B].
        width: K, hypotheses of each source.
        longest: how many symbols a translation may have [B]; one that has as many ends.
    """
    beam, best = start(model, source, lengths, width), Best(len(lengths), source.device)
    while len(beam.places):
        n = beam.symbols.shape[2]  # symbols of what ends now, with the end
        totals, state = continue_all(model, beam)
        must_end = (n > longest[beam.places])[:, None, None]
        totals[..., :END].masked_fill_(must_end, -torch.inf)
        totals[..., END + 1 :].masked_fill_(must_end, -torch.inf)
        found, parents, symbols = choose(totals, width)
        is_end = symbols == END
        # what ends counts only where it is as likely as what goes on
        ending = found[:, :width].masked_fill(~is_end[:, :width], -torch.inf) / n
        best.update(beam, ending, parents[:, :width])
        beam = go_on(beam, state, found.masked_fill(is_end, -torch.inf), parents, symbols, width)
        # the score of the best that goes on, if all that follows is sure
        possible = beam.totals[:, 0] / (longest[beam.places] + 1)
        can_improve = possible > best.scores[beam.places]
        unfinished = can_improve & (best.ended[beam.places] < width)
        if not unfinished.all():
            beam = beam.select(unfinished.nonzero()[:, 0])
    return [Hypothesis(*found) for found in zip(best.symbols, best.scores.tolist())]


def start(model: Translator, source: Tensor, lengths: Tensor, width: int) -> Beam:
    """One empty hypothesis of each source, and places for others."""
    encoded, state = model.encode(source, lengths)
    B = len(lengths)
    totals = torch.full((B, width), -torch.inf, device=source.device)
    totals[:, 0] = 0
    symbols = torch.full((B, width, 1), START, device=source.device)
    state = tuple(part.repeat_interleave(width, 1) for part in state)
    return Beam(torch.arange(B, device=source.device), encoded, state, totals, symbols)


def continue_all(model: Translator, beam: Beam) -> tuple[Tensor, State]:
    """ln p of each hypothesis with each symbol after it [b, K, V], and the decoder's state after the step."""
    b, K = beam.totals.shape
    y, state = model.decode(beam.symbols[..., -1].reshape(1, b * K), beam.state)
    features, _ = model.attend(y.view(b, K, -1), beam.encoded)
    totals = model.logits(features).log_softmax(-1) + beam.totals[..., None]
    totals[..., NEVER] = -torch.inf
    return totals, state


def choose(totals: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """The 2K best continuations, so that K of them do not end: their ln p, hypotheses and symbols [b, 2K]."""
    b, K, V = totals.shape
    found, places = totals.view(b, K * V).topk(min(2 * width, K * V), 1)
    return found, places // V, places % V


def go_on(beam: Beam, state: State, found: Tensor, parents: Tensor, symbols: Tensor, width: int) -> Beam:
    """The beam after a step.

    Args:
        beam: before it.
        state: of the decoder after it.
        found: ln p of continuations [b, 2K]; -inf for those that end.
        parents, symbols: their hypotheses, and their last symbols [b, 2K].
        width: K.
    """
    totals, chosen = found.topk(width, 1)
    parents, last = parents.gather(1, chosen), symbols.gather(1, chosen)
    rows = torch.arange(len(totals), device=totals.device)[:, None]
    inner = (rows * width + parents).flatten()
    history = torch.cat([beam.symbols[rows, parents], last[..., None]], 2)
    return Beam(beam.places, beam.encoded, tuple(part[:, inner] for part in state), totals, history)
