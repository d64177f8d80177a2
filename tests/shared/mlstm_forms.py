"""The forms of mLSTM in plain operations: a step after the other, and all steps at once; and a whole layer so."""

from __future__ import annotations

import math

import torch

from carrousel.layers.mlstm.memory import Inputs, Memory, step


def by_steps(inputs, memory, resets=None, initial=None):
    hs = []
    initial = initial or Memory(*(torch.zeros_like(x) for x in memory))
    for t in range(inputs.q.shape[2]):
        if resets is not None:  # [B, T]
            memory = Memory(
                *(
                    torch.where(resets[:, t].reshape(-1, *[1] * (x.dim() - 1)), new, x)
                    for x, new in zip(memory, initial)
                )
            )
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


def row_by_steps(layer, x, hx, resets, initial):
    """One row x [T, I] through all layers and directions of an MLSTM, step after step.

    hx and initial: C, n, m [L*D, ...]; resets [T]. -> y [T, D*H], states as hx, and what is inside, by name, of each
    layer and direction.
    """
    finals, inside = [], []
    for _ in range(layer.num_layers):
        hs = []
        for reverse in (False, True) if layer.bidirectional else (False,):
            place = len(finals)
            memory, restored = (Memory(*(state[place][None] for state in states)) for states in (hx, initial))
            memory, shown = direction_by_steps(layer, place, x, memory, resets, restored, reverse)
            finals.append(memory)
            inside.append(shown)
            hs.append(shown["h"])
        x = torch.cat(hs, -1)
    return x, [torch.cat(states) for states in zip(*finals)], inside


def direction_by_steps(layer, place, x, memory, resets, restored, reverse):
    """The memory after all steps, and what is inside."""
    N, H = layer.num_heads, layer.hidden_size
    d, T = H // N, len(x)
    weights = [layer.get_parameter(name) for name in layer._all_weights[place]]
    shapes = {"h": [H], "C": [N, d, d], "n": [N, d], "m": [N], "o": [H], "i": [N], "f": [N]}
    steps = {name: [None] * T for name in shapes}
    for t in range(T - 1, -1, -1) if reverse else range(T):
        parted = (t + 1 < T and resets[t + 1]) if reverse else resets[t]
        before = restored if parted else memory
        *wide, i, f = torch.nn.functional.linear(x[t], *weights).split([H] * 4 + [N, N])
        q, k, v, o = (row.view(1, N, d) for row in wide)
        o, log_f = torch.sigmoid(o), torch.nn.functional.logsigmoid(f)
        h, memory = step(Inputs(q, k / math.sqrt(d), v, i[None], log_f[None]), before)
        gates = o, torch.exp(i - memory.m), torch.exp(log_f + before.m - memory.m)
        for (name, shape), value in zip(shapes.items(), (o * h, *memory, *gates)):
            steps[name][t] = value.view(shape)
    stacked = {name: torch.stack(of) if T else x.new_empty(0, *shapes[name]) for name, of in steps.items()}
    return memory, stacked
