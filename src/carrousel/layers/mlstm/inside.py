"""What an mLSTM shows of its inside: the memory after every step, and the gates.

The matrices of all steps are d times as many numbers as its outputs; they come from products of matrices, too, chunk by
chunk, where the layer itself never makes them.

Letters as in `carrousel.layers.mlstm.chunks`: .. for the first places of chunks, d units of a head, S steps.
"""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.layers.mlstm.chunks import Chunks


def inside_of(chunks: Chunks, states: bool, gates: bool) -> dict[str, Tensor]:
    """Of every step of every chunk by name: C [.., S, d, d], n [.., S, d], m [.., S]; i and f [.., S]."""
    m = torch.maximum(chunks.weights.amax(-1), chunks.carried)
    shown = states_of(chunks, m) if states else {}
    return shown | gates_of(chunks, m) if gates else shown


def states_of(chunks: Chunks, m: Tensor) -> dict[str, Tensor]:
    """C, n, m after every step."""
    _, k, v, _, _ = chunks.inputs
    taken, kept = torch.exp(chunks.weights - m[..., None]), torch.exp(chunks.carried - m)[..., None]
    written = (k[..., :, None] * v[..., None, :]).flatten(-2)  # [.., S, d*d]
    C = (taken @ written).unflatten(-1, (k.shape[-1], -1)) + kept[..., None] * chunks.before("C", 3)
    return {"C": C, "n": taken @ k + kept * chunks.before("n", 2), "m": m}


def gates_of(chunks: Chunks, m: Tensor) -> dict[str, Tensor]:
    """i' and f', as they act: C' = f' C + i' k v^T."""
    before = torch.cat([chunks.starts.m[..., None], m[..., :-1]], -1)
    if (parts := chunks.parts) is not None:
        initial = parts.initial
        before = (
            before.masked_fill(parts.resets, 0)
            if initial is None
            else torch.where(parts.resets, initial.m[..., None], before)
        )
    return {"i": torch.exp(chunks.inputs.i - m), "f": torch.exp(chunks.inputs.log_f + before - m)}
