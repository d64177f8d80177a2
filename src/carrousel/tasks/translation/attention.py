"""The picture of attention: which subwords of the source each subword of the translation looks at."""

from __future__ import annotations

import logging
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from carrousel.data.subwords import END
from carrousel.data.symbol_pairs import SymbolTexts
from carrousel.tasks.translation.held_out import HeldOut
from carrousel.tasks.translation.model import Translator, shift
from carrousel.tasks.translation.translate import translate
from carrousel.training.picture import to_png

PLACES = (0.4, 0.7, 0.9)  # in the validation data, sorted by the length of the source
LONGEST = 25  # subwords of a source that is drawn, if there is one


class Attention(NamedTuple):
    """A source [S], its translation [T] with the end, and how much each step of the source gets [T, S]."""

    source: list[str]
    target: list[str]
    weights: NDArray[np.float32]


def choose(lengths: torch.Tensor) -> list[int]:
    """The indices of three texts of different lengths; of fewer texts, all."""
    order = lengths.argsort(stable=True)
    order = order[: max(3, int((lengths <= LONGEST).sum()))]
    return list(dict.fromkeys(int(order[int(place * len(order))]) for place in PLACES))


@torch.no_grad()
def measure_attention(model: Translator, held_out: HeldOut) -> list[Attention]:
    """The attention in the translations of three sources."""
    subwords, device = held_out.subwords, held_out.pairs.sources.starts.device
    sources = held_out.pairs.sources.select(torch.tensor(choose(held_out.pairs.sources.lengths), device=device))
    training = model.training
    model.eval()
    found = []
    for index, hypothesis in enumerate(translate(model, sources, held_out.width)):
        one: SymbolTexts = sources.select(torch.tensor([index], device=device))
        encoded, state = model.encode(one.pad(), one.lengths)
        target = torch.tensor([*hypothesis.symbols, END], device=device)
        y, _ = model.decode(shift(target[:, None]), state)
        _, weights = model.attend(y.transpose(0, 1), encoded)
        source = subwords.spell(one.to_lists()[0])
        found.append(Attention(source, [*subwords.spell(hypothesis.symbols), "(end)"], weights[0].cpu().numpy()))
    model.train(training)
    return found


def draw_attention(found: list[Attention]) -> bytes:
    """Attention as a PNG: the source across, the translation down, dark where it looks."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # its first import on a machine reports on fonts
    from matplotlib.figure import Figure  # half a second to import, and only here

    widths = [max(6, len(each.source)) for each in found]
    tallest = max(len(each.target) for each in found)
    size = (min(24.0, 2.0 + 0.36 * sum(widths) + len(found)), min(24.0, 1.8 + 0.3 * max(6, tallest)))
    figure = Figure(figsize=size, layout="constrained")
    for axes, each in zip(figure.subplots(1, len(found), squeeze=False, width_ratios=widths)[0], found):
        axes.imshow(each.weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(each.source)), each.source, rotation=60, ha="left")
        axes.set_yticks(range(len(each.target)), each.target)
        axes.set(xlabel="source", ylabel="translation")
    return to_png(figure, dpi=110)
