"""The outputs of a network, the same whatever is computed beside them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from carrousel.data.examples import Examples
from carrousel.tasks.pooled import PIECE, PooledNetwork
from carrousel.tasks.tagging.crf import CRF
from carrousel.tasks.tagging.model import Softmax, Tagger
from carrousel.tasks.tagging.sentences import Sentences, find_places

WORDS = 2048  # at a time; changes memory and speed only


def compute_exactly(model: PooledNetwork, examples: Examples) -> NDArray[np.float64]:
    """The outputs of a network in evaluation mode, in the order of the sequences [N, K].

    Those of a sequence do not depend on which others are there, to about the last digit: the recurrent layers compute
    the same bits for any number of sequences from two on, and the output layer computes in float64.
    """
    weight, bias = model.output.weight.double(), model.output.bias.double()
    found = torch.empty(len(examples), len(weight), dtype=torch.float64, device=weight.device)
    for indices in examples.split_by_length(PIECE):
        part = examples.select(indices if len(indices) > 1 else indices.repeat(2))
        outputs = linear(model.summarize(part.pad(), part.lengths).double(), weight, bias)
        found[indices] = outputs[: len(indices)]
    return found.cpu().numpy()


def tag_exactly(model: Tagger, sentences: Sentences, read: Callable[[Softmax | CRF, Tensor, Tensor], Tensor]) -> Tensor:
    """What is read from the scores of the tags, for all words in their order [N, ...].

    That of a sentence does not depend on which others are there: as above for numbers, in float32 for words.

    Args:
        model: in evaluation mode.
        sentences: on the CPU.
        read: takes the head of the model, scores [n, C] in float64 and offsets of some sentences; returns [n, ...].
    """
    weight, bias = model.output.weight.double(), model.output.bias.double()
    offsets = find_places(sentences.starts, sentences.lengths)[1]
    groups, values, places = sentences.split_by_length(WORDS), list[Tensor](), list[Tensor]()
    for indices in groups:
        batch = sentences.select(indices if len(indices) > 1 else indices.repeat(2)).gather()
        outputs, _ = model.recurrent(model.encoder(batch), offsets=batch.offsets)
        ends = batch.offsets[: len(indices) + 1]
        values.append(read(model.head, linear(outputs[: int(ends[-1])].double(), weight, bias), ends))
        places.append(find_places(offsets[indices], sentences.lengths[indices])[0])
    return torch.cat(values)[torch.cat(places).argsort()]
