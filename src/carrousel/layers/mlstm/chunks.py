"""mLSTM chunk by chunk, the steps of a chunk in parallel: the results of `memory.step`, to rounding.

Within a chunk all steps come from matrix products: step t has exp(F_t - F_j + i_j) of step j, where F sums log f, and
exp(F_t + m) of the memory before the chunk. Only the memory goes from chunk to chunk.

Chunks lie as [K, N]: the first chunk of every row, the longest row first, then the second of those that have one, and
so on; `counts` [c] says how many rows have each.

Resets split a row into parts. A chunk holds the end of the part that began before it, then whole parts, then the
beginning of one that may go on. Steps of different parts have nothing of each other; a step has the memory before its
chunk, or the one that resets restore, with the forget gates since its part began.

Letters: T time, B batch, N heads, d units of a head, c chunks of the longest row, K chunks in all, S steps of a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from carrousel.layers.mlstm.memory import Inputs, Memory, lowest_divisor


class Chunks(NamedTuple):
    """Everything that the steps of all chunks are computed from."""

    inputs: Inputs  # q, k, v [K, N, S, d]; i, log_f [K, N, S]
    starts: Memory  # before each chunk: C [K, N, d, d], n [K, N, d], m [K, N]
    weights: Tensor  # [K, N, S, S]  logarithm of what step t has of step j
    carried: Tensor  # [K, N, S]     logarithm of what step t has of the memory that its part began with
    resets: Tensor | None  # bool [K, 1, S]
    part: Tensor | None  # [K, 1, S] which part of its chunk a step is in; part 0 began before the chunk
    initial: Memory | None  # what resets restore, as `starts`; None: the empty memory

    def at_start_of_part(self, before: Tensor, restored: Tensor | None) -> Tensor:
        """`before` [K, N, S or 1, ...] for the steps of part 0, `restored`, or zeros, for the others."""
        if self.part is None:
            return before
        is_first = (self.part == 0)[(..., *[None] * (before.dim() - 3))]
        return before.masked_fill(~is_first, 0) if restored is None else torch.where(is_first, before, restored)


def run_chunkwise(
    inputs: Inputs, memory: Memory, chunk_size: int, resets: Tensor | None = None, initial: Memory | None = None
) -> tuple[Tensor, Memory]:
    """Run all rows of a batch over the same steps.

    Args:
        inputs: of T steps, 1 or more. A step with i = -infinity and log f = 0 leaves the memory as it is.
        memory: before the first step.
        chunk_size: S. T need not be a multiple of it.
        resets: bool [B, T], where the memory before a step is `initial`.
        initial: as memory. Default: empty.

    Returns:
        h of all steps [B, N, T, d], and the memory after the last.
    """
    chunks, last = connect_dense(inputs, memory, chunk_size, resets, initial)
    return join_dense(compute_outputs(chunks), *inputs.i.shape[::2]), last


def connect_dense(
    inputs: Inputs, memory: Memory, chunk_size: int, resets: Tensor | None, initial: Memory | None
) -> tuple[Chunks, Memory]:
    """`connect` of rows that have the same steps: arguments as of `run_chunkwise`."""
    B, _, T = inputs.i.shape
    S = min(chunk_size, T)
    c = (T + S - 1) // S
    missing = c * S - T
    q, k, v = (pad(x, (0, 0, 0, missing)) for x in inputs[:3])
    i, log_f = pad(inputs.i, (0, missing), value=-math.inf), pad(inputs.log_f, (0, missing))
    flags = () if resets is None else (pad(resets[:, None], (0, missing)),)
    (*cut,) = (x.unflatten(2, (c, S)).movedim(2, 0).flatten(0, 1) for x in (q, k, v, i, log_f, *flags))
    initial = initial and Memory(*(x.repeat(c, *[1] * (x.dim() - 1)) for x in initial))
    return connect(Inputs(*cut[:5]), memory, [B] * c, cut[5] if flags else None, initial)


def join_dense(x: Tensor, B: int, T: int) -> Tensor:
    """[K, N, S, ...] of rows that have the same steps as [B, N, T, ...]."""
    return x.unflatten(0, (-1, B)).movedim(0, 2).flatten(2, 3)[:, :, :T]


def connect(
    inputs: Inputs, memory: Memory, counts: list[int], resets: Tensor | None, initial: Memory | None
) -> tuple[Chunks, Memory]:
    """Compute the memory before each chunk, and after each row's last.

    Args:
        inputs: of chunks [K, N].
        memory: before the first chunk of each row, the longest row first.
        counts: how many rows have a first chunk, a second one, ...
        resets: bool [K, 1, S].
        initial: what resets restore, for each chunk.
    """
    i, log_f = inputs.i, inputs.log_f
    F = since = log_f.cumsum(-1)
    hidden = torch.ones(F.shape[-1], F.shape[-1], dtype=torch.bool, device=F.device).triu(1)
    part = None if resets is None else resets.cumsum(-1)
    if resets is not None and part is not None:
        begun = torch.where(resets, torch.arange(F.shape[-1], device=F.device), 0).cummax(-1).values.expand_as(F)
        since = F - (F - log_f).gather(-1, begun).masked_fill(part == 0, 0)  # sum of log f since the part began
        hidden = hidden | (part[..., :, None] != part[..., None, :])
    weights = (F[..., :, None] - F[..., None, :] + i[..., None, :]).masked_fill(hidden, -math.inf)
    to_end = F[..., -1:] - F + i  # logarithm of what each step has at the end of its chunk
    to_end = to_end if part is None else to_end.masked_fill(part != part[..., -1:], -math.inf)
    was_reset = None if part is None else (part[..., -1] > 0).split(counts)
    starts, last = carry(inputs, to_end, since[..., -1], memory, counts, was_reset, initial)
    chunks = Chunks(inputs, starts, weights, since, resets, part, initial)
    m = chunks.at_start_of_part(starts.m[..., None], initial and initial.m[..., None])
    return chunks._replace(carried=since + m), last


def carry(
    inputs: Inputs,
    to_end: Tensor,
    decay: Tensor,
    memory: Memory,
    counts: list[int],
    was_reset: tuple[Tensor, ...] | None,
    initial: Memory | None,
) -> tuple[Memory, Memory]:
    """Carry the memory from chunk to chunk: those before each chunk, and those after the last chunk of each row.

    Args:
        to_end: [K, N, S], logarithm of what each step has at the end of its chunk.
        decay: [K, N], logarithm of what the memory before a chunk, or the one restored last, has at its end.
        inputs, memory, counts, initial: as `connect` has them.
        was_reset: bool [count, 1] of each chunk.
    """
    most = to_end.amax(-1).clamp(min=torch.finfo(to_end.dtype).min / 2)  # -infinity for a chunk without steps
    written = inputs.k * torch.exp(to_end - most[..., None])[..., None]
    of_each = zip(*(x.split(counts) for x in (written.mT @ inputs.v, written.sum(-2), most, decay)))
    restored: list[Memory | None] = [None] * len(counts)
    if initial is not None:
        restored = [Memory(*of_count) for of_count in zip(*(x.split(counts) for x in initial))]
    starts, ended = [], []
    for chunk, (C_new, n_new, most, decay) in enumerate(of_each):
        if len(most) < len(memory.m):
            ended.append(Memory(*(x[len(most) :] for x in memory)))
            memory = Memory(*(x[: len(most)] for x in memory))
        starts.append(memory)
        C, n, m = memory if was_reset is None else restore(memory, was_reset[chunk], restored[chunk])
        m_new = torch.maximum(decay + m, most)
        f, i = torch.exp(decay + m - m_new)[..., None], torch.exp(most - m_new)[..., None]
        memory = Memory(f[..., None] * C + i[..., None] * C_new, f * n + i * n_new, m_new)
    last = Memory(*map(torch.cat, zip(memory, *reversed(ended)))) if ended else memory
    starts = starts or [Memory(*(x[:0] for x in memory))]
    return Memory(*map(torch.cat, zip(*starts))), last


def restore(memory: Memory, rows: Tensor, initial: Memory | None) -> Memory:
    """The memory, with `initial`, or zeros, in some rows, bool [B, 1]."""
    pairs = [(x, rows.reshape(-1, *[1] * (x.dim() - 1))) for x in memory]
    if initial is None:
        return Memory(*(x.masked_fill(which, 0) for x, which in pairs))
    return Memory(*(torch.where(which, new, x) for (x, which), new in zip(pairs, initial)))


def compute_outputs(chunks: Chunks) -> Tensor:
    """h of every step of every chunk [K, N, S, d]."""
    (q, k, v, _, _), starts, weights, carried, *_, initial = chunks
    m = torch.maximum(weights.amax(-1), carried).detach()  # h does not depend on it
    scores = (q @ k.mT) * torch.exp(weights - m[..., None])
    of_memory = torch.exp(carried - m)[..., None]
    read = chunks.at_start_of_part(q @ starts.C, initial and q @ initial.C)
    total = chunks.at_start_of_part(q @ starts.n[..., None], initial and q @ initial.n[..., None])
    numerator = scores @ v + of_memory * read
    denominator = scores.sum(-1, keepdim=True) + of_memory * total
    return numerator / torch.maximum(denominator.abs(), lowest_divisor(m)[..., None])


def compute_inside(chunks: Chunks, states: bool, gates: bool) -> dict[str, Tensor]:
    """The states and gates of every step that a call returns, by name."""
    found = compute_states(chunks) if states else {}
    return found | compute_gates(chunks) if gates else found


def compute_states(chunks: Chunks) -> dict[str, Tensor]:
    """C, n and m after every step [K, N, S, ...]."""
    (_, k, v, _, _), starts, weights, carried, *_, initial = chunks
    m = torch.maximum(weights.amax(-1), carried)
    of_steps, decay = torch.exp(weights - m[..., None]), torch.exp(carried - m)[..., None]
    written = (k[..., :, None] * v[..., None, :]).flatten(-2)  # [K, N, S, d*d]
    C = chunks.at_start_of_part(starts.C.unsqueeze(2), initial and initial.C.unsqueeze(2))
    n = chunks.at_start_of_part(starts.n.unsqueeze(2), initial and initial.n.unsqueeze(2))
    C = (of_steps @ written).unflatten(-1, (k.shape[-1], -1)) + decay[..., None] * C
    return {"C": C, "n": of_steps @ k + decay * n, "m": m}


def compute_gates(chunks: Chunks) -> dict[str, Tensor]:
    """i' and f' [K, N, S] as they act: C' = f' C + i' k v^T."""
    m = torch.maximum(chunks.weights.amax(-1), chunks.carried)
    before = torch.cat([chunks.starts.m[..., None], m[..., :-1]], -1)
    if chunks.resets is not None:
        restored = torch.zeros_like(m[..., :1]) if chunks.initial is None else chunks.initial.m[..., None]
        before = torch.where(chunks.resets, restored, before)
    return {"i": torch.exp(chunks.inputs.i - m), "f": torch.exp(chunks.inputs.log_f + before - m)}


def run_without_saving(run: Callable[..., Any], tensors: Sequence[Tensor | None], *arguments: Any) -> Any:
    """run(*arguments), of which nothing is saved: the backward pass computes it again.

    torch.utils.checkpoint alone would compute with tensors that were changed in place meanwhile, and say nothing. Under
    torch.compile, which plans memory itself, and in torch.func's transforms, which cannot, everything is saved.

    Args:
        run: what computes.
        tensors: those that it reads; to change one in place before the backward pass is then an error.
        arguments: of run.
    """
    transformed = torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]
    if not torch.is_grad_enabled() or torch.compiler.is_compiling() or transformed:
        return run(*arguments)
    read = [tensor for tensor in tensors if tensor is not None and not tensor.is_inference()]
    versions = [tensor._version for tensor in read]

    def run_unchanged(*arguments: Any) -> Any:
        if versions != [tensor._version for tensor in read]:
            raise RuntimeError(
                "MLSTM with memory='low' computes each chunk again in the backward pass, and its input, a weight or a "
                "state was modified by an inplace operation since: clone it before, or use memory='full'"
            )
        return run(*arguments)

    return checkpoint(run_unchanged, *arguments, use_reentrant=False, preserve_rng_state=False)
