"""mLSTM over a sequence: one layer in one direction, over rows that have the same steps or any lengths.

`Dense` runs a batch whose rows all have the same steps, `Pairs` one whose rows have any lengths: it cuts each row into
the chunks that it needs. A *pair* is a step of a row; pairs lie in one line, x [n, I].

Letters: T time, B batch, I input, H hidden units, N heads, d = H/N, n pairs, c chunks of the longest row, K chunks in
all, S steps of a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from carrousel.layers.mlstm.chunks import (
    compute_inside,
    compute_outputs,
    connect,
    connect_dense,
    join_dense,
    run_chunkwise,
    run_without_saving,
)
from carrousel.layers.mlstm.memory import Inputs, Memory, split_rows, step
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights


class Sizes(NamedTuple):
    """What a layer adds to its weights."""

    heads: int  # N
    chunk_size: int  # S at most
    run_plain: Callable[..., tuple[Tensor, Memory]] = run_chunkwise  # q, k, v, i and log f of all steps -> h


class Direction(NamedTuple):
    """One layer in one direction."""

    weights: Weights
    memory: Memory  # to start from
    initial: Memory | None  # what resets restore; None: zeros
    reverse: bool


Result = tuple[Tensor, Memory, dict[str, Tensor]]  # y, the memory after the last step, what is returned of every step


def join_in_time(results: list[tuple[Tensor, dict[str, Tensor]]], memory: Memory, time: int) -> Result:
    """y and what is returned of every step of one chunk after another, as one, and the memory after the last."""
    ys, per_step = zip(*results)
    joined = {name: torch.cat([of_chunk[name] for of_chunk in per_step], time) for name in per_step[0]}
    return torch.cat(ys, time), memory, joined


def saves_chunks(options: Options) -> bool:
    """Whether all chunks are computed at once and saved for backward; else one after another, in the memory of one."""
    return options.memory == "full" and torch.is_grad_enabled()


class Dense:
    """All rows have all steps: x [T, B, I] or [B, T, I]."""

    sizes: Sizes
    rows: Rows
    options: Options

    def __init__(self, sizes: Sizes, rows: Rows, options: Options) -> None:
        self.sizes, self.rows, self.options = sizes, rows, options
        self.time, self.batch = (1, 0) if rows.batch_first else (0, 1)

    def enter(self, x: Tensor) -> Tensor:
        """x as `run` takes it."""
        return x

    leave = enter

    def run(self, x: Tensor, direction: Direction) -> Result:
        """One layer in one direction."""
        x, resets = x.flip(self.time) if direction.reverse else x, self._resets_of(direction.reverse)
        run = self._run_steps if saves_chunks(self.options) else self._run_chunk_by_chunk
        y, memory, per_step = run(x, direction.memory, direction, resets)
        if direction.reverse:
            y, per_step = y.flip(self.time), {name: tensor.flip(self.time) for name, tensor in per_step.items()}
        return y, memory, per_step

    def _run_chunk_by_chunk(self, x: Tensor, memory: Memory, direction: Direction, resets: Tensor | None) -> Result:
        """`_run_steps` of one chunk after another; nothing is saved but the memory between them."""
        S, results = self.sizes.chunk_size, []
        flags = None if resets is None else resets.clone().split(S, 1)
        for k, chunk in enumerate(x.split(S, self.time)):
            read = chunk, *memory, *direction.weights, *(direction.initial or ())
            of_chunk = chunk, memory, direction, flags and flags[k]
            y, memory, per_step = run_without_saving(self._run_steps, read, *of_chunk)
            results.append((y, per_step))
        return join_in_time(results, memory, self.time)

    def _run_steps(self, x: Tensor, memory: Memory, direction: Direction, resets: Tensor | None) -> Result:
        """Some steps, in the order of the run: resets [B, T]."""
        inputs, o = split_rows(linear(x, direction.weights.W, direction.weights.b_x), self.sizes.heads)
        inputs = Inputs(*(row.movedim((self.batch, 2, self.time), (0, 1, 2)) for row in inputs))  # [B, N, T, ...]
        B, _, T = inputs.i.shape
        per_step: dict[str, Tensor] = {}
        if resets is not None or self.options.asks_inside:
            chunks, memory = connect_dense(inputs, memory, self.sizes.chunk_size, resets, direction.initial)
            per_step = compute_inside(chunks, self.options.states, self.options.gates)
            per_step = {name: self._as_x(join_dense(tensor, B, T)) for name, tensor in per_step.items()}
            h = join_dense(compute_outputs(chunks), B, T)
        elif T == 1:
            h, memory = step(Inputs(*(row[:, :, 0] for row in inputs)), memory)
            h = h.unsqueeze(2)
        else:
            h, memory = self.sizes.run_plain(inputs, memory, self.sizes.chunk_size)
        return o * self._as_x(h).flatten(-2), memory, per_step | ({"o": o} if self.options.gates else {})

    def _as_x(self, tensor: Tensor) -> Tensor:
        """[B, N, T, ...] as [T, B, N, ...] or [B, T, N, ...]."""
        return tensor.movedim((0, 1, 2), (self.batch, 2, self.time))

    def _resets_of(self, reverse: bool) -> Tensor | None:
        """Before which steps [B, T], in the order of the run, the memory is restored."""
        if self.rows.resets is None:
            return None
        resets = self.rows.resets if self.rows.batch_first else self.rows.resets.T
        # a reset separates a step from the one before it, in either direction
        return resets if not reverse else torch.cat([torch.zeros_like(resets[:, :1]), resets[:, 1:].flip(1)], 1)


class Cut(NamedTuple):
    """Pairs cut into chunks, which lie as `chunks.py` says."""

    counts: list[int]  # how many rows have a first chunk, a second one, ...
    order: Tensor  # [B] the rows, the longest first
    row: Tensor  # [K] the row of each chunk
    places: Tensor  # [K, S] the pair at each step; another of the same row if the step does not exist
    exists: Tensor  # bool [K, S]
    resets: Tensor | None  # bool [K, S] in the order of the run
    back: Tensor  # [n] the step of all chunks, in one line, at which each pair is


class Pairs:
    """Rows of any lengths, whose pairs lie in one line, x [n, I]."""

    sizes: Sizes
    rows: Rows
    options: Options
    shape: torch.Size  # of x without its last dimension
    lengths: Tensor  # [B]
    place: Callable[[Any, Any], Any]  # a row and a step -> their pair

    def __init__(self, sizes: Sizes, rows: Rows, options: Options, x: Tensor) -> None:
        self.sizes, self.rows, self.options, self.shape = sizes, rows, options, x.shape[:-1]
        self.selected: Tensor | None = None  # [n] where the pairs lie in x, if it holds more
        self.exists: Tensor | None = None  # bool [n], if x holds pairs beyond the lengths: in a compiler's graph
        self.steps: int | None = None  # of every row, if that is the same number
        if rows.batch_sizes is not None:
            before = rows.batch_sizes.cumsum(0) - rows.batch_sizes
            self.lengths = (rows.batch_sizes[:, None] > torch.arange(int(rows.batch_sizes[0]))).sum(0)
            self.place = lambda row, step: before[step] + row
        elif rows.offsets is not None:
            self._lay_end_to_end(rows.offsets.diff())
        elif rows.lengths is not None:
            self._lay_in_rectangle(rows.lengths, x.device)

    def _lay_in_rectangle(self, lengths: Tensor, device: torch.device) -> None:
        """x [T, B, I] or [B, T, I]. In a compiler's graph, where no length is known, pairs beyond the lengths too."""
        B, T = self.shape if self.rows.batch_first else self.shape[::-1]
        by_row, by_step = (T, 1) if self.rows.batch_first else (1, B)
        exists = torch.arange(T) < lengths[:, None]  # [B, T]
        if not torch.compiler.is_compiling():
            row, step = exists.nonzero().unbind(1)
            self.selected = (row * by_row + step * by_step).to(device)
            return self._lay_end_to_end(lengths)
        message = f"lengths are not all among 0 .. {T}, the steps of the input"
        torch._assert_async(((lengths >= 0) & (lengths <= T)).all(), message)  # type: ignore[call-overload]
        self.exists = (exists if self.rows.batch_first else exists.T).flatten().to(device)
        self.lengths, self.steps, self.place = lengths, T, lambda row, step: row * by_row + step * by_step

    def _lay_end_to_end(self, lengths: Tensor) -> None:
        first = lengths.cumsum(0) - lengths
        self.lengths, self.place = lengths, lambda row, step: first[row] + step

    def enter(self, x: Tensor) -> Tensor:
        """The pairs of x [n, I]."""
        x = x if self.rows.is_flat else x.flatten(0, 1)
        x = x if self.selected is None else x.index_select(0, self.selected)
        return x if self.exists is None else x.masked_fill(~self.exists[:, None], 0)

    def leave(self, result: Tensor) -> Tensor:
        """[n, ...] in the places of x, with padding beyond the lengths."""
        if self.exists is not None:
            exists = self.exists[(..., *[None] * (result.dim() - 1))]
            result = result.masked_fill(~exists, self.rows.padding_value)
        if self.selected is not None:
            whole = result.new_full((math.prod(self.shape), *result.shape[1:]), self.rows.padding_value)
            result = whole.index_copy(0, self.selected, result)
        return result if self.rows.is_flat else result.unflatten(0, self.shape)

    def run(self, x: Tensor, direction: Direction) -> Result:
        """One layer in one direction."""
        cut = self._cut(direction.reverse, x)
        memory = direction.memory
        if self.steps is None:
            memory = Memory(*(state.index_select(0, cut.order) for state in memory))
        if saves_chunks(self.options) or not cut.counts:
            y, memory, per_step = self._run_chunks(x, memory, direction, cut)
        else:
            y, memory, per_step = self._run_chunk_by_chunk(x, memory, direction, cut)
        y, *others = (tensor.flatten(0, 1).index_select(0, cut.back) for tensor in (y, *per_step.values()))
        if self.steps is None:
            rank = cut.order.argsort()
            memory = Memory(*(state.index_select(0, rank) for state in memory))
        return y, memory, dict(zip(per_step, others))

    def _run_chunk_by_chunk(self, x: Tensor, memory: Memory, direction: Direction, cut: Cut) -> Result:
        """`_run_chunks` of every row's first chunk, then of the second ones, and so on; nothing is saved."""
        results, read = [], (x, *direction.weights, *(direction.initial or ()))
        resets = [None] * len(cut.counts) if cut.resets is None else cut.resets.clone().split(cut.counts)
        parts = zip(cut.counts, *(t.split(cut.counts) for t in (cut.row, cut.places, cut.exists)), resets)
        for count, row, places, exists, flags in parts:
            of_chunk = Cut([count], cut.order, row, places, exists, flags, cut.back)
            read_now = (*read, *memory)
            y, memory, per_step = run_without_saving(self._run_chunks, read_now, x, memory, direction, of_chunk)
            results.append((y, per_step))
        return join_in_time(results, memory, 0)

    def _run_chunks(self, x: Tensor, memory: Memory, direction: Direction, cut: Cut) -> Result:
        """y [K, S, H] of some chunks; the memory before and after them, the longest row first."""
        W, bias, places = direction.weights.W, direction.weights.b_x, cut.places.flatten()
        if len(places) < len(x):  # a few chunks of many
            rows = linear(x.index_select(0, places), W, bias)
        else:
            rows = linear(x, W, bias).index_select(0, places)
        inputs, o = split_rows(rows.unflatten(0, cut.places.shape), self.sizes.heads)
        q, k, v, i, log_f = (row.transpose(1, 2) for row in inputs)  # [K, N, S, d], [K, N, S]
        missing = ~cut.exists[:, None]
        inputs = Inputs(q, k, v, i.masked_fill(missing, -math.inf), log_f.masked_fill(missing, 0))
        resets = None if cut.resets is None else cut.resets[:, None]
        initial = direction.initial and Memory(*(state.index_select(0, cut.row) for state in direction.initial))
        chunks, memory = connect(inputs, memory, cut.counts, resets, initial)
        per_step = compute_inside(chunks, self.options.states, self.options.gates)
        per_step = {name: tensor.transpose(1, 2) for name, tensor in per_step.items()}
        per_step |= {"o": o} if self.options.gates else {}
        return o * compute_outputs(chunks).transpose(1, 2).flatten(2), memory, per_step

    def _cut(self, reverse: bool, x: Tensor) -> Cut:
        """Cut the pairs into chunks, in the order of time or against it."""
        lengths, B = self.lengths, len(self.lengths)
        if self.steps is not None:
            S, order = max(1, min(self.sizes.chunk_size, self.steps)), torch.arange(B)
            counts = [B] * -(-self.steps // S)
            number, row = torch.arange(len(counts)).repeat_interleave(B), order.repeat(len(counts))
            pairs_of_row = torch.full((B,), self.steps)
        else:
            S = max(1, min(self.sizes.chunk_size, int(lengths.max()) if B else 0))
            order = lengths.argsort(descending=True, stable=True)
            chunks = -(-lengths[order] // S)
            has_chunk = chunks > torch.arange(int(chunks.max()) if B else 0)[:, None]  # [c, B]
            counts, pairs_of_row = has_chunk.sum(1).tolist(), lengths
            number, rank = has_chunk.nonzero().unbind(1)
            row = order[rank]
        t = number[:, None] * S + torch.arange(S)  # [K, S] in the order of the run
        of_row = row[:, None]
        is_pair, exists = t < pairs_of_row[of_row], t < lengths[of_row]
        step = torch.where(exists, lengths[of_row] - 1 - t, t) if reverse else t
        places = self.place(of_row, torch.where(is_pair, step, 0))
        n = x.shape[0]
        back = torch.zeros(n + 1, dtype=torch.int64)
        back = back.scatter(0, torch.where(is_pair, places, n).flatten(), torch.arange(places.numel()))[:n]
        resets = self._resets_of(of_row, step, exists, reverse, x)
        order, row, places, exists, back = (t.to(x.device) for t in (order, row, places, exists, back))
        return Cut(counts, order, row, places, exists, resets, back)

    def _resets_of(self, row: Tensor, step: Tensor, exists: Tensor, reverse: bool, x: Tensor) -> Tensor | None:
        """Before which steps of the chunks, in the order of the run, the memory is restored."""
        if self.rows.resets is None:
            return None
        step = step + 1 if reverse else step  # a reset separates a step from the one before it, in either direction
        exists = exists & (step < self.lengths[row])
        resets = self.rows.resets if self.rows.is_flat else self.rows.resets.flatten()
        resets = resets if self.selected is None else resets.index_select(0, self.selected)
        places = self.place(row, torch.where(exists, step, 0)).to(x.device)
        return resets[places] & exists.to(x.device)
