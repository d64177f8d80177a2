"""How well a model translates: the mean loss of a subword, and chrF and BLEU beside those of copying the source.

sacrebleu (pip: 0.1 MB, and lxml, regex, tabulate) computes chrF and BLEU as papers report them, and names what it did
in a signature; figures of other programs differ by points.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch

from carrousel.data.libraries import load_library
from carrousel.data.symbol_pairs import SymbolPairs
from carrousel.output_layer import linear_cross_entropy
from carrousel.tasks.translation.held_out import HeldOut
from carrousel.tasks.translation.model import Translator
from carrousel.tasks.translation.translate import split_by_length, translate
from carrousel.training.task import Score

PIECE = 128  # pairs at a time; changes memory and speed only


def evaluate(model: Translator, held_out: HeldOut, sample: int | None = None) -> Score:
    """Measure a translator.

    Args:
        model: its mode is left as it was.
        held_out: at least one pair.
        sample: measure the loss only, of so many pairs, spread over all. Default: all, with chrF and BLEU.

    Returns:
        The loss is the mean of -ln p over the subwords of the translations and their ends.
    """
    if sample is None:
        load_metrics()  # a library that is missing is reported before the minutes of translating
    pairs = held_out.pairs
    if sample is not None and sample < len(pairs):
        pairs = pairs.select(torch.arange(sample, device=pairs.sources.starts.device) * len(pairs) // sample)
    loss = measure_loss(model, pairs)
    if sample is not None:
        return Score(loss, len(pairs), notes=held_out.notes)
    chosen, references = held_out.group_by_source()
    found = translate(model, held_out.pairs.sources.select(torch.tensor(chosen)), held_out.width)
    texts = held_out.subwords.decode([each.symbols for each in found])
    more, signatures = score(texts, [held_out.sources[index] for index in chosen], references)
    return Score(loss, len(pairs), {**more, "translated": len(chosen)}, (*held_out.notes, *signatures))


@torch.no_grad()
def measure_loss(model: Translator, pairs: SymbolPairs) -> float:
    """The mean of -ln p over all symbols of the targets."""
    training = model.training
    model.eval()
    total, count = 0.0, 0
    for group in split_by_length(pairs.sources.lengths + pairs.targets.lengths, PIECE):
        features, targets = model.features(pairs.select(group).to_batch())
        losses = linear_cross_entropy(features, model.table, targets, model.bias, reduction="none")
        total, count = total + losses.double().sum().item(), count + len(targets)
    model.train(training)
    return total / count


def score(
    texts: Sequence[str], sources: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """chrF and BLEU of translations and of their sources, each beside all references of its source; the signatures."""
    metrics = load_metrics()
    columns = list(zip_longest(*references))  # None where a source has fewer references than others
    numbers: dict[str, float] = {}
    signatures = []
    for name, metric in (("chrF", metrics.CHRF()), ("BLEU", metrics.BLEU())):
        numbers[name.lower()] = metric.corpus_score(list(texts), columns).score
        numbers[f"copy_{name.lower()}"] = metric.corpus_score(list(sources), columns).score
        signatures.append(f"{name} by sacrebleu: {metric.get_signature()}")
    return numbers, tuple(signatures)


def load_metrics() -> Any:
    """sacrebleu's metrics.

    Raises:
        UserError: it is not installed.
    """
    return load_library("sacrebleu.metrics", "the score of translations")
