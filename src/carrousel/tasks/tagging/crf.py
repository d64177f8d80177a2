"""An output that knows which tag follows which: a linear-chain conditional random field.

A path of tags has the score of its start, its words, its transitions and its end; its probability is exp(score) / Z,
with the sum Z over all paths by the forward algorithm. Everything is in log space, for sentences of any lengths.

Letters: T time, B sentences, N words of all sentences, C tags.

@inproceedings{lafferty2001conditional, title={Conditional Random Fields: Probabilistic Models for Segmenting and
  Labeling Sequence Data}, author={Lafferty, John and McCallum, Andrew and Pereira, Fernando}, booktitle={ICML},
  year={2001}}
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

IMPOSSIBLE = -1e4  # a score whose exp is 0 beside any other; -inf would give gradients that are no numbers


class CRF(nn.Module):
    """The probability of the tags of whole sentences.

    Args:
        tags: C.
    """

    def __init__(self, tags: int) -> None:
        super().__init__()
        self.transitions: nn.Parameter = nn.Parameter(torch.zeros(tags, tags))  # from row to column
        self.start: nn.Parameter = nn.Parameter(torch.zeros(tags))
        self.end: nn.Parameter = nn.Parameter(torch.zeros(tags))

    def loss(self, scores: Tensor, targets: Tensor, offsets: Tensor) -> Tensor:
        """The sum of -ln p(tags) over all sentences.

        Args:
            scores: of each word and tag [N, C].
            targets: the tag of each word [N]; from C on: unknown, the probability is that of any tag there.
            offsets: where each sentence begins, and where the last one ends [B + 1].
        """
        C = scores.shape[1]
        is_other = (targets[:, None] != torch.arange(C, device=scores.device)) & (targets < C)[:, None]
        both = torch.cat([scores, scores.masked_fill(is_other, IMPOSSIBLE)])  # in one pass over time
        of_all, of_targets = self.sum_paths(both, torch.cat([offsets, offsets[1:] + offsets[-1]])).chunk(2)
        return (of_all - of_targets).sum()

    def sum_paths(self, scores: Tensor, offsets: Tensor) -> Tensor:
        """ln of the sum of exp(score) over all paths, for each sentence [B]: the forward algorithm."""
        padded, is_word = pad(scores, offsets)
        alpha = self.start + padded[0]  # [B, C]: of all paths that end with this tag
        for t in range(1, len(padded)):
            following = (alpha[:, :, None] + self.transitions).logsumexp(1) + padded[t]
            alpha = torch.where(is_word[t, :, None], following, alpha)
        return (alpha + self.end).logsumexp(1)

    def probabilities(self, scores: Tensor, offsets: Tensor) -> Tensor:
        """The probability of each tag for each word [N, C]: the gradient of ln Z."""
        with torch.enable_grad():
            scores = scores.detach().requires_grad_()
            return torch.autograd.grad(self.sum_paths(scores, offsets).sum(), scores)[0]

    @torch.no_grad()
    def decode(self, scores: Tensor, offsets: Tensor) -> Tensor:
        """The tags of each sentence's most likely path [N]: the Viterbi algorithm."""
        padded, is_word = pad(scores, offsets)
        alpha = self.start + padded[0]  # [B, C]: of the best path that ends with this tag
        before = [torch.zeros_like(alpha, dtype=torch.int64)]  # the tag before it on that path
        for t in range(1, len(padded)):
            best, previous = (alpha[:, :, None] + self.transitions).max(1)
            alpha = torch.where(is_word[t, :, None], best + padded[t], alpha)
            before.append(previous)
        tag = (alpha + self.end).argmax(1)  # [B]
        path = [tag]
        for t in range(len(padded) - 1, 0, -1):
            tag = torch.where(is_word[t], before[t].gather(1, tag[:, None])[:, 0], tag)
            path.append(tag)
        return torch.stack(path[::-1]).t()[is_word.t()]


def pad(scores: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Scores of words end to end [N, C] as [T, B, C], and which of them are words [T, B]."""
    lengths = offsets.diff()
    steps = torch.arange(int(lengths.max()), device=scores.device)[:, None]
    return scores[offsets[:-1] + torch.minimum(steps, lengths - 1)], steps < lengths
