"""The network: embeddings of words and of their characters -> recurrent layers in both directions -> linear, or a CRF.

Letters: N words of all sentences, B sentences, F values of a step, E numbers of an embedding, H hidden units, C tags,
W different spellings, M their characters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from carrousel.tasks.network import CELLS, MOST, NetworkOptions, new_layers
from carrousel.tasks.tagging.crf import CRF
from carrousel.tasks.tagging.lexicon import UNKNOWN, Lexicon
from carrousel.tasks.tagging.sentences import Batch
from carrousel.training.options import MODEL, WEIGHTS, option

SCALE = 0.1  # deviation of new embeddings
LR = 3e-3  # highest learning rate of adam and adamw
Self = TypeVar("Self", bound="TaggerOptions")


@dataclass(frozen=True)
class TaggerOptions(NetworkOptions):
    """The options of a network that tags words."""

    embedding: int = option(100, "Numbers that stand for a word (E).", MODEL, **MOST, enlarges=WEIGHTS)
    char_embedding: int = option(50, "Numbers that stand for a character.", MODEL, **MOST, enlarges=WEIGHTS)
    char_hidden: int = option(
        100, "Units, in each direction, of the layer that reads a word's characters.", MODEL, **MOST, enlarges=WEIGHTS
    )
    word_dropout: float = option(
        1.0, "A word that trains n times is read as unknown with probability x / (x + n) for this x.", least=0
    )
    smoothing: float = option(
        0.0,
        "Part of the target that is spread over all tags; not with --crf.",
        least=0,
        below=1,
        range="at least 0 and below 1",
    )
    crf: bool = option(False, "Learn which tag follows which: a conditional random field on top.", MODEL)

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open."""
        completed = super().complete()
        return replace(completed, lr=LR) if self.lr is None and self.optimizer != "sgd" else completed


class SentenceDropout(nn.Module):
    """Dropout with one mask for all words of a sentence: what is missing at one word is missing at the next.

    Args:
        p: the part that is missing.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor, offsets: Tensor) -> Tensor:
        """Words end to end [N, E], with new masks if training."""
        if not self.training or not self.p:
            return x
        masks = x.new_empty(len(offsets) - 1, x.shape[1]).bernoulli_(1 - self.p) / (1 - self.p)
        return x * masks.repeat_interleave(offsets.diff(), 0)


class WordEncoder(nn.Module):
    """Embeds each word, in lower case, and the characters of its spelling, read in both directions.

    Args:
        lexicon: of the training data.
        options: complete.
    """

    def __init__(self, lexicon: Lexicon, options: TaggerOptions) -> None:
        super().__init__()
        counts = torch.tensor([0.0, *lexicon.word_counts.values()])
        chances = options.word_dropout / (options.word_dropout + counts).clamp(min=1e-9)
        self.chances: Tensor
        self.register_buffer("chances", chances, persistent=False)  # that a word is read as unknown
        self.words: nn.Embedding = new_embedding(len(counts), options.embedding)
        self.characters: nn.Embedding = new_embedding(len(lexicon.characters) + 1, options.char_embedding)
        self.speller: nn.Module = CELLS[options.cell](options.char_embedding, options.char_hidden, bidirectional=True)
        self.size: int = options.embedding + 2 * options.char_hidden

    def forward(self, batch: Batch) -> Tensor:
        """The embedding of each word [N, E]; each spelling in a batch is read once."""
        assert batch.spellings is not None
        distinct, place = batch.x.unique(return_inverse=True)
        words = batch.spellings.words[batch.x]
        if self.training:
            words = words.masked_fill(torch.rand_like(self.chances[words]) < self.chances[words], UNKNOWN)
        characters, offsets = batch.spellings.spell(distinct)  # [M], [W + 1]
        _, hx = self.speller(self.characters(characters), offsets=offsets)
        h = hx if isinstance(hx, Tensor) else hx[0]  # [2, W, H]: after the last character, and after the first
        return torch.cat([self.words(words), torch.cat(tuple(h), 1)[place]], 1)


class StepEncoder(nn.Module):
    """Takes the values of each step [N, F] as they are.

    Args:
        size: F.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, batch: Batch) -> Tensor:
        """The values [N, F]."""
        return batch.x


class Softmax(nn.Module):
    """The probability of each word's tag by itself; the methods are those of `CRF`.

    Args:
        smoothing: the part of the target that training spreads over all tags.
    """

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def loss(self, scores: Tensor, targets: Tensor, offsets: Tensor) -> Tensor:
        """The sum of -ln p(tag) over all words whose tag is known."""
        is_known = targets < scores.shape[1]
        smoothing = self.smoothing if self.training else 0.0
        return cross_entropy(scores[is_known], targets[is_known], reduction="sum", label_smoothing=smoothing)

    def probabilities(self, scores: Tensor, offsets: Tensor) -> Tensor:
        """The probability of each tag for each word [N, C]."""
        return scores.softmax(1)

    def decode(self, scores: Tensor, offsets: Tensor) -> Tensor:
        """The most likely tag of each word [N]."""
        return scores.argmax(1)


class Tagger(nn.Module):
    """Gives each word a score for each tag.

    Args:
        facts: of the training data.
        options: complete.
    """

    def __init__(self, facts: dict[str, Any], options: TaggerOptions) -> None:
        super().__init__()
        self.encoder: WordEncoder | StepEncoder = (
            WordEncoder(Lexicon.from_json(facts["lexicon"]), options)
            if "lexicon" in facts
            else StepEncoder(len(facts["channels"]))
        )
        self.recurrent: nn.Module = new_layers(options, self.encoder.size, is_bidirectional=True)
        self.dropout: SentenceDropout = SentenceDropout(options.dropout or 0.0)
        self.output: nn.Linear = nn.Linear(2 * options.hidden, len(facts["tags"]))
        self.head: Softmax | CRF = CRF(len(facts["tags"])) if options.crf else Softmax(options.smoothing)

    def forward(self, batch: Batch) -> Tensor:
        """The score of each tag for each word [N, C]."""
        x = self.encoder(batch)
        if isinstance(self.encoder, WordEncoder):
            x = self.dropout(x, batch.offsets)
        y, _ = self.recurrent(x, offsets=batch.offsets)
        return self.output(self.dropout(y, batch.offsets))


def new_embedding(count: int, size: int) -> nn.Embedding:
    """An embedding with small numbers: those that nothing trains do little harm."""
    embedding = nn.Embedding(count, size)
    nn.init.normal_(embedding.weight, std=SCALE)
    return embedding
