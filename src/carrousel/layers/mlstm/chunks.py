"""mLSTM chunk by chunk, the steps of a chunk in parallel: the numbers of `memory.py`, to rounding.

Within a chunk all steps come from products of matrices: step t has exp(F_t - F_j + i_j) of step j, where F sums log f,
and exp(F_t + m) of the memory before the chunk. From chunk to chunk goes the memory alone.

Chunks lie in one of two ways, and the letters .. stand for the first places of both. Where all rows of the batch have
all steps, they are [B, N, c]. Else there are as many as the rows need, [K, N]: the first chunk of every row, the
longest row first, then the second of those that have one, and so on; `counts` [c] says how many rows have each.

Letters: T time, B batch, N heads, d units of a head, c chunks of the longest row, K chunks in all, S steps of a chunk.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from carrousel.layers.mlstm.memory import Inputs, Memory, least
from carrousel.layers.mlstm.parts import Parts, dense_parts, one_by_one, restored


class Chunks(NamedTuple):
    """All that the steps of chunks are computed from."""

    inputs: Inputs  # q, k, v [.., S, d]; i, log_f [.., S]
    starts: Memory  # before each chunk: C [.., d, d], n [.., d], m [..]
    weights: Tensor  # [.., S, S]  logarithm of what step t has of step j
    carried: Tensor  # [.., S]     logarithm of what step t has of the memory that its part began with
    parts: Parts | None

    def before(self, name: str, dims: int) -> Tensor:
        """C, n or m of the memory that the part of each step began with, with one place more, of 1 or S."""
        starts = getattr(self.starts, name).unsqueeze(-dims)
        if self.parts is None:
            return starts
        restored = self.parts.initial and getattr(self.parts.initial, name).unsqueeze(-dims)
        return self.parts.of_first(starts, restored, dims)


def chunkwise(
    inputs: Inputs, memory: Memory, chunk_size: int, resets: Tensor | None = None, initial: Memory | None = None
) -> tuple[Tensor, Memory]:
    """h of all steps [B, N, T, d], and the memory after the last.

    Args:
        inputs: of T steps, 1 or more. A step with i = -infinity and log f = 0 leaves the memory as it is.
        memory: before the first.
        chunk_size: S. T need not be a multiple of it.
        resets: [B, T], where the memory before a step is `initial`.
        initial: as memory. Default: empty.
    """
    chunks, last = dense_in_order(inputs, memory, chunk_size, resets, initial)
    return outputs(chunks).flatten(2, 3)[:, :, : inputs.q.shape[2]], last


def dense_in_order(
    inputs: Inputs, memory: Memory, chunk_size: int, resets: Tensor | None, initial: Memory | None
) -> tuple[Chunks, Memory]:
    """`in_order` of a batch whose rows have all steps: arguments as of `chunkwise`."""
    S = min(chunk_size, inputs.q.shape[2])
    parts = None if resets is None else dense_parts(resets, initial, S)
    return in_order(in_chunks(inputs, S), memory, parts=parts)


def outputs(chunks: Chunks) -> Tensor:
    """h of every step of every chunk [.., S, d]."""
    (q, k, v, _, _), starts, weights, carried, parts = chunks
    m = torch.maximum(weights.amax(-1), carried).detach()  # h does not depend on it
    scores = (q @ k.mT) * torch.exp(weights - m[..., None])
    of_memory = torch.exp(carried - m)[..., None]
    if parts is None:
        read, total = q @ starts.C, q @ starts.n[..., None]
    else:
        C, n = (None, None) if parts.initial is None else (parts.initial.C, parts.initial.n[..., None])
        read, total = parts.read(q, starts.C, C), parts.read(q, starts.n[..., None], n)
    above = scores @ v + of_memory * read
    below = scores.sum(-1, keepdim=True) + of_memory * total
    return above / torch.maximum(below.abs(), least(m)[..., None])


def in_chunks(inputs: Inputs, S: int) -> Inputs:
    """T as [c, S]; what is missing of the last chunk leaves the memory as it is."""
    missing = -inputs.q.shape[2] % S
    q, k, v = (pad(x, (0, 0, 0, missing)) for x in inputs[:3])
    i, log_f = pad(inputs.i, (0, missing), value=-math.inf), pad(inputs.log_f, (0, missing))
    return Inputs(*(x.unflatten(2, (-1, S)) for x in (q, k, v, i, log_f)))


def in_order(
    inputs: Inputs, memory: Memory, counts: list[int] | None = None, parts: Parts | None = None
) -> tuple[Chunks, Memory]:
    """Chunks with the memory before each, and the memory after each row's last.

    Args:
        inputs: of chunks, as this module's text says.
        memory: before the first of each row, the longest row first.
        counts: of chunks that lie [K, N].
        parts: where resets part them.
    """
    i, log_f = inputs.i, inputs.log_f
    F = log_f.cumsum(-1)
    since = F if parts is None else parts.since(F, log_f)
    hidden = torch.ones(F.shape[-1], F.shape[-1], dtype=torch.bool, device=F.device).triu(1)
    hidden = hidden if parts is None else hidden | parts.apart()
    weights = (F[..., :, None] - F[..., None, :] + i[..., None, :]).masked_fill(hidden, -math.inf)
    to_end = F[..., -1:] - F + i  # the logarithm of what each step has at the end of its chunk
    to_end = to_end if parts is None else to_end.masked_fill(parts.over(), -math.inf)
    starts, last = between_chunks(inputs, to_end, since[..., -1], memory, counts, parts)
    m = starts.m[..., None]
    if parts is not None:
        m = parts.of_first(m, parts.initial and parts.initial.m[..., None], 1)
    return Chunks(inputs, starts, weights, since + m, parts), last


def between_chunks(
    inputs: Inputs, to_end: Tensor, kept: Tensor, memory: Memory, counts: list[int] | None, parts: Parts | None
) -> tuple[Memory, Memory]:
    """The memory before each chunk, and after the last of each row.

    Args:
        to_end: [.., S], the logarithm of what each step has at the end of its chunk.
        kept: [..], that of what the memory before it has, or of the one that resets restored last.
        inputs, memory, counts, parts: as `in_order` has them.
    """
    most = to_end.amax(-1).clamp(min=torch.finfo(to_end.dtype).min / 2)  # of a chunk without steps it were -infinity
    taken = inputs.k * torch.exp(to_end - most[..., None])[..., None]
    of_each = [one_by_one(x, counts) for x in (taken.mT @ inputs.v, taken.sum(-2), most, kept)]
    restoring = None if parts is None else parts.restoring(counts)
    starts, ended = [], []
    for chunk, (C_taken, n_taken, most, kept) in enumerate(zip(*of_each)):
        if len(most) < len(memory.m):
            ended.append(Memory(*(x[len(most) :] for x in memory)))
            memory = Memory(*(x[: len(most)] for x in memory))
        starts.append(memory)
        C, n, m = memory if restoring is None else restored(memory, *restoring[chunk])
        m_new = torch.maximum(kept + m, most)
        keep, take = torch.exp(kept + m - m_new)[..., None], torch.exp(most - m_new)[..., None]
        C = keep[..., None] * C + take[..., None] * C_taken
        memory = Memory(C, keep * n + take * n_taken, m_new)
    last = Memory(*map(torch.cat, zip(memory, *reversed(ended)))) if ended else memory
    if counts is None:
        return Memory(*(torch.stack(tensors, 2) for tensors in zip(*starts))), last
    starts = starts or [Memory(*(x[:0] for x in memory))]
    return Memory(*map(torch.cat, zip(*starts))), last
