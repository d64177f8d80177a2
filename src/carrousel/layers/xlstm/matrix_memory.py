"""mLSTM's memory, a matrix for each head: step by step, and chunk by chunk in parallel. The same numbers to rounding.

    m' = max(log f + m, i)    f' = exp(log f + m - m')    i' = exp(i - m')
    C' = f' C + i' k v^T      n' = f' n + i' k
    h' = C'^T q / max(|n'.q|, exp(-m'))

Within a chunk all steps come from products of matrices: step t has exp(F_t - F_j + i_j) of step j, where F sums log f,
and exp(F_t + m) of the memory before the chunk. From chunk to chunk goes the memory alone. Zeros are the empty memory.

Letters: T time, B batch, N heads, d units of a head, c chunks, S steps of a chunk.

@inproceedings{beck2024xlstm,
  author    = {Beck, Maximilian and P{\\"o}ppel, Korbinian and Spanring, Markus and Auer, Andreas and
               Prudnikova, Oleksandra and Kopp, Michael and Klambauer, G{\\"u}nter and Brandstetter, Johannes and
               Hochreiter, Sepp},
  title     = {{xLSTM}: Extended Long Short-Term Memory},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {37},
  year      = {2024},
}
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Memory(NamedTuple):
    """What goes from step to step."""

    C: Tensor  # [B, N, d, d]  keys by values
    n: Tensor  # [B, N, d]
    m: Tensor  # [B, N]


class Inputs(NamedTuple):
    """What the steps are made of; one step without T."""

    q: Tensor  # [B, N, T, d]
    k: Tensor  # [B, N, T, d]  divided by sqrt(d)
    v: Tensor  # [B, N, T, d]
    i: Tensor  # [B, N, T]     before its exponential
    log_f: Tensor  # [B, N, T]


def least(m: Tensor) -> Tensor:
    """exp(-m), below which no divisor falls, not even that of a query of zeros; nor does it overflow, where h is zero
    to the last digit anyway.
    """
    return torch.exp(-m.clamp(-80, 80))


def step(of_step: Inputs, memory: Memory) -> tuple[Tensor, Memory]:
    """h of one step [B, N, d], and the memory after it."""
    q, k, v, i, log_f = of_step
    C, n, m = memory
    m_new = torch.maximum(log_f + m, i)
    kept, taken = torch.exp(log_f + m - m_new)[..., None], torch.exp(i - m_new)[..., None]
    C = kept[..., None] * C + (taken * k)[..., :, None] * v[..., None, :]
    n = kept * n + taken * k
    divisor = torch.maximum((q * n).sum(-1).abs(), least(m_new))
    return (q[..., None, :] @ C)[..., 0, :] / divisor[..., None], Memory(C, n, m_new)


def chunkwise(inputs: Inputs, memory: Memory, chunk_size: int) -> tuple[Tensor, Memory]:
    """h of all steps [B, N, T, d], and the memory after the last.

    Args:
        inputs: of T steps, 1 or more. A step with i = -infinity and log f = 0 leaves the memory as it is.
        memory: before the first.
        chunk_size: S. T need not be a multiple of it.
    """
    T = inputs.q.shape[2]
    q, k, v, i, log_f = in_chunks(inputs, min(chunk_size, T))
    F = log_f.cumsum(-1)
    starts, last = between_chunks(k, v, i, F, memory)
    future = torch.ones(F.shape[-1], F.shape[-1], dtype=torch.bool, device=F.device).triu(1)
    weights = (F[..., :, None] - F[..., None, :] + i[..., None, :]).masked_fill(future, -math.inf)  # logarithms
    carried = F + starts.m[..., None]
    m = torch.maximum(weights.amax(-1), carried).detach()  # h does not depend on it
    scores = (q @ k.mT) * torch.exp(weights - m[..., None])
    of_memory = torch.exp(carried - m)[..., None]
    above = scores @ v + of_memory * (q @ starts.C)
    below = scores.sum(-1, keepdim=True) + of_memory * (q @ starts.n[..., None])
    h = above / torch.maximum(below.abs(), least(m)[..., None])
    return h.flatten(2, 3)[:, :, :T], last


def in_chunks(inputs: Inputs, S: int) -> Inputs:
    """T as [c, S]; what is missing of the last chunk leaves the memory as it is."""
    missing = -inputs.q.shape[2] % S
    q, k, v = (pad(x, (0, 0, 0, missing)) for x in inputs[:3])
    i, log_f = pad(inputs.i, (0, missing), value=-math.inf), pad(inputs.log_f, (0, missing))
    return Inputs(*(x.unflatten(2, (-1, S)) for x in (q, k, v, i, log_f)))


def between_chunks(k: Tensor, v: Tensor, i: Tensor, F: Tensor, memory: Memory) -> tuple[Memory, Memory]:
    """The memory before each chunk, C [B, N, c, d, d] and so on, and after the last."""
    to_end = F[..., -1:] - F + i  # the logarithm of what each step has at the end of its chunk
    most = to_end.amax(-1).clamp(min=torch.finfo(i.dtype).min / 2)  # of a chunk without steps it were -infinity
    taken = k * torch.exp(to_end - most[..., None])[..., None]
    C_taken, n_taken = taken.mT @ v, taken.sum(-2)
    memories = [memory]
    for chunk in range(F.shape[2]):
        C, n, m = memories[-1]
        m_kept = F[:, :, chunk, -1] + m
        m_new = torch.maximum(m_kept, most[:, :, chunk])
        keep, take = torch.exp(m_kept - m_new)[..., None], torch.exp(most[:, :, chunk] - m_new)[..., None]
        C = keep[..., None] * C + take[..., None] * C_taken[:, :, chunk]
        memories.append(Memory(C, keep * n + take * n_taken[:, :, chunk], m_new))
    *starts, last = memories
    return Memory(*(torch.stack(tensors, 2) for tensors in zip(*starts))), last
