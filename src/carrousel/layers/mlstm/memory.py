"""mLSTM's memory, a matrix for each head, and a step of it.

    m' = max(log f + m, i)    f' = exp(log f + m - m')    i' = exp(i - m')
    C' = f' C + i' k v^T      n' = f' n + i' k
    h' = C'^T q / max(|n'.q|, exp(-m'))

Zeros are the empty memory.

Letters: B batch, N heads, T time, d units of a head.

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
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from carrousel.cells import Cell


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


def remember(rows: Sequence[Tensor], states: Sequence[Tensor]) -> Memory:
    """A step as a cell has it: rows q k v o [B, N, d] and i f [B, N] of all heads, and the memory -> the memory."""
    q, k, v, _, i, f = rows
    return step(Inputs(q, k / math.sqrt(k.shape[-1]), v, i, logsigmoid(f)), Memory(*states))[1]


# Not one of carrousel.cells, which go unit by unit: what layers ask of their cell. h is no state: it is read from C.
CELL = Cell("mlstm", "qkvoif", from_x="qkvoif", from_h="", states="Cnm", step=remember, forget_gate="f", input_gate="i")
