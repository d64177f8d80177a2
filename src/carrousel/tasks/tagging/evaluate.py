"""How well a model tags: the mean loss, accuracy, F1 over spans, and those of the most frequent tag."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from carrousel.tasks.tagging.model import Tagger
from carrousel.tasks.tagging.sentences import Batch, Sentences, find_places
from carrousel.tasks.tagging.sources import HeldOut
from carrousel.tasks.tagging.spans import find_spans, is_iob, span_f1
from carrousel.training.task import Score

PIECE = 2048  # words at a time; changes memory and speed only


class Tagged(NamedTuple):
    """What a model makes of sentences, words in their order.

    Args:
        batch: all sentences.
        predicted: the tag of each word [N].
        probability: of this tag [N]; 0 if it was not asked for.
        loss: the sum of -ln p(tag) over the words whose tag is known.
    """

    batch: Batch
    predicted: Tensor
    probability: Tensor
    loss: float


def evaluate(model: Tagger, held_out: HeldOut, sample: int | None = None) -> Score:
    """Measure a tagger.

    Args:
        model: its mode is left as it was.
        held_out: at least one word with a tag that the model knows.
        sample: measure only so many sentences, spread over all, and no baselines. Default: all, with baselines.

    Returns:
        The loss is the mean over the words whose tag the model knows; the others count as errors.
    """
    sentences = held_out.sentences
    if sample is not None and sample < len(sentences):
        sentences = sentences.select(torch.arange(sample, device=sentences.starts.device) * len(sentences) // sample)
    batch, predicted, _, loss = tag(model, sentences)
    count = int((batch.targets < model.output.out_features).sum())
    more = {"accuracy": mean(predicted == batch.targets)}
    if batch.spellings is not None:
        is_unknown = ~batch.spellings.is_known[batch.x]
        if is_unknown.any():
            more["unknown_accuracy"] = mean((predicted == batch.targets)[is_unknown])
    has_spans = is_iob(held_out.tags[: model.output.out_features])
    if has_spans:
        more["span_f1"] = f1(held_out.tags, batch, predicted)
    if sample is None:
        frequent = most_frequent_tags(held_out, batch)
        more["most_frequent_accuracy"] = mean(frequent == batch.targets)
        if has_spans:
            more["most_frequent_span_f1"] = f1(held_out.tags, batch, frequent)
    return Score(loss / max(count, 1), len(sentences), {**more, "words": len(batch.targets)}, held_out.notes)


@torch.no_grad()
def tag(model: Tagger, sentences: Sentences, with_probability: bool = False) -> Tagged:
    """Tag sentences, those of about one length together."""
    training = model.training
    model.eval()
    all_words, groups = sentences.gather(), sentences.split_by_length(PIECE)
    N, device = len(all_words.targets), all_words.targets.device
    predicted, probability = torch.zeros(N, dtype=torch.int64, device=device), torch.zeros(N, device=device)
    loss = 0.0
    for indices in groups:
        batch = sentences.select(indices).gather()
        scores = model(batch)
        places, _ = find_places(all_words.offsets[indices], sentences.lengths[indices])
        predicted[places] = found = model.head.decode(scores, batch.offsets)
        loss += model.head.loss(scores.double(), batch.targets, batch.offsets).item()
        if with_probability:
            chances = model.head.probabilities(scores, batch.offsets)
            probability[places] = chances.gather(1, found[:, None])[:, 0]
    model.train(training)
    return Tagged(all_words, predicted, probability, loss)


def most_frequent_tags(held_out: HeldOut, batch: Batch) -> Tensor:
    """The baseline [N]: each word's most frequent tag in the training data; the most frequent of all if it is unknown.

    Steps of numbers have the most frequent tag of all.
    """
    if batch.spellings is None:
        return torch.full_like(batch.targets, held_out.most_frequent)
    return batch.spellings.frequent[batch.x]


def f1(tags: tuple[str, ...], batch: Batch, predicted: Tensor) -> float:
    """F1 over the spans that tags mark."""
    offsets = batch.offsets.tolist()
    found, right = (find_spans([tags[each] for each in part.tolist()], offsets) for part in (predicted, batch.targets))
    return span_f1(right, found)


def mean(is_right: Tensor) -> float:
    """The part of the words that are right."""
    return is_right.double().mean().item()
