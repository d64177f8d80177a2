"""The conditional random field of `train tag`, against all paths one by one in float64."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from carrousel.tasks.tagging.crf import CRF

LENGTHS = {"one_word": [1], "ragged": [3, 1, 4, 2], "same": [3, 3]}


def new_crf(tags: int) -> CRF:
    """With weights at random, in float64."""
    crf = CRF(tags).double()
    with torch.no_grad():
        for weight in crf.parameters():
            weight.normal_()
    return crf


def example(name: str, tags: int = 3) -> tuple[CRF, Tensor, Tensor]:
    """A CRF, scores [N, C], and offsets."""
    torch.manual_seed(0)
    lengths = torch.tensor([0, *LENGTHS[name]])
    offsets = lengths.cumsum(0)
    return new_crf(tags), torch.randn(int(offsets[-1]), tags, dtype=torch.float64, requires_grad=True), offsets


def path_scores(crf: CRF, scores: Tensor) -> dict[tuple[int, ...], Tensor]:
    """The score of every path through one sentence."""
    found = {}
    for path in product(range(scores.shape[1]), repeat=len(scores)):
        steps = [crf.transitions[a, b] for a, b in pairwise(path)]
        words = [scores[t, tag] for t, tag in enumerate(path)]
        found[path] = torch.stack([crf.start[path[0]], *words, *steps, crf.end[path[-1]]]).sum()
    return found


def sentences(scores: Tensor, offsets: Tensor) -> list[Tensor]:
    return [scores[first:last] for first, last in pairwise(offsets)]


@pytest.mark.parametrize("name", LENGTHS)
def test_the_sum_and_its_gradient_are_those_over_all_paths(name):
    crf, scores, offsets = example(name)
    found = crf.sum_paths(scores, offsets)
    expected = torch.stack(
        [torch.stack([*path_scores(crf, part).values()]).logsumexp(0) for part in sentences(scores, offsets)]
    )
    torch.testing.assert_close(found, expected)
    weights = [scores, *crf.parameters()]
    grads = [torch.autograd.grad(total.sum(), weights, materialize_grads=True) for total in (found, expected)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("unknown", [False, True])
def test_the_loss_is_that_of_the_targets_path(name, unknown):
    """A target that is unknown may be any tag: the paths that agree with the others are summed."""
    crf, scores, offsets = example(name)
    targets = torch.randint(0, 3, (len(scores),))
    if unknown:
        targets[0] = 3
        targets[-1] = 7
    expected = torch.zeros((), dtype=torch.float64)
    for part, wanted in zip(sentences(scores, offsets), sentences(targets, offsets), strict=True):
        paths = path_scores(crf, part)
        agree = [
            score
            for path, score in paths.items()
            if all(tag == target or target >= 3 for tag, target in zip(path, wanted.tolist(), strict=True))
        ]
        expected = expected + torch.stack([*paths.values()]).logsumexp(0) - torch.stack(agree).logsumexp(0)
    found = crf.loss(scores, targets, offsets)
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(total, scores) for total in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", LENGTHS)
def test_the_best_path_is_the_best_of_all(name):
    crf, scores, offsets = example(name)
    expected = []
    for part in sentences(scores, offsets):
        paths = path_scores(crf, part)
        expected += max(paths, key=lambda path: paths[path].item())
    assert crf.decode(scores, offsets).tolist() == expected


@pytest.mark.parametrize("name", LENGTHS)
def test_probabilities_are_sums_over_paths(name):
    crf, scores, offsets = example(name)
    found = sentences(crf.probabilities(scores, offsets), offsets)
    for part, chances in zip(sentences(scores, offsets), found, strict=True):
        paths = path_scores(crf, part)
        weights = torch.stack([*paths.values()]).softmax(0)
        expected = torch.zeros_like(chances)
        for path, weight in zip(paths, weights.detach(), strict=True):
            for t, tag in enumerate(path):
                expected[t, tag] += weight
        torch.testing.assert_close(chances, expected)


def test_in_float32_long_sentences_stay_finite():
    crf, offsets = new_crf(5).float(), torch.tensor([0, 3000, 3001])
    scores = (50 * torch.randn(3001, 5)).requires_grad_()
    loss = crf.loss(scores, torch.randint(0, 5, (3001,)), offsets)
    loss.backward()
    assert loss.isfinite()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
