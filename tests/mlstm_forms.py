"""The forms of mLSTM in plain operations: a step after the other, and all steps at once."""

from __future__ import annotations

import math

import torch

from carrousel.layers.xlstm.matrix_memory import Inputs, step


def by_steps(inputs, memory):
    hs = []
    for t in range(inputs.q.shape[2]):
        h, memory = step(Inputs(*(x[:, :, t] for x in inputs)), memory)
        hs.append(h)
    return torch.stack(hs, 2), memory


def in_parallel(inputs):
    """Beck 2024, appendix A.3: all steps at once, from the empty memory."""
    q, k, v, i, log_f = inputs
    F = log_f.cumsum(-1)
    D = (F[..., :, None] - F[..., None, :] + i[..., None, :]).masked_fill(
        ~torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril(), -math.inf
    )
    m = D.amax(-1, keepdim=True)
    C = (q @ k.mT) * (D - m).exp()
    return C @ v / torch.maximum(C.sum(-1, keepdim=True).abs(), (-m).exp())
