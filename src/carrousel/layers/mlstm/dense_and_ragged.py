"""How an mLSTM goes through a sequence: all rows side by side, or rows of any lengths chunk by chunk.

Both ways have three methods: `taken`, what of x the layers compute; `run`, one layer in one direction; `given`, the
results as the caller is to have them.

Letters: T time, B batch, I input, H hidden units, N heads, d = H/N, n steps of all rows, S steps of a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, logsigmoid

from carrousel.layers.mlstm.chunks import dense_in_order, in_order, outputs
from carrousel.layers.mlstm.inside import inside_of
from carrousel.layers.mlstm.low_memory import recomputed
from carrousel.layers.mlstm.memory import Inputs, Memory, step
from carrousel.layers.mlstm.parts import Parts, parts_of
from carrousel.layers.mlstm.ragged import Cut, cut, each_chunk, pairs_of
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights


class Sizes(NamedTuple):
    """What a layer adds to its weights."""

    heads: int  # N
    chunk_size: int  # S at most
    form: Callable[[Inputs, Memory, int], tuple[Tensor, Memory]]  # of a plain call: chunks.chunkwise


class OfDirection(NamedTuple):
    """One layer in one direction."""

    weights: Weights
    memory: Memory  # to start from
    initial: Memory | None  # what resets restore; None: zeros
    reverse: bool


Result = tuple[Tensor, Memory, dict[str, Tensor]]  # h, as x lies; the memory after the last step; what is shown


def inputs_of(rows: Tensor, N: int) -> tuple[Inputs, Tensor]:
    """W x + b [.., 4*H + 2*N] -> q k v [.., N, d], i and log f [.., N]; and the output gates [.., H]."""
    H = (rows.shape[-1] - 2 * N) // 4
    *wide, o, i, f = rows.split([H, H, H, H, N, N], -1)
    q, k, v = (row.unflatten(-1, (N, -1)) for row in wide)
    return Inputs(q, k / math.sqrt(H // N), v, i, logsigmoid(f)), torch.sigmoid(o)


class Dense:
    """All rows have all steps: x [T, B, I], or [B, T, I]."""

    def __init__(self, rows: Rows, options: Options, sizes: Sizes) -> None:
        self.rows, self.options, self.sizes = rows, options, sizes
        self.time, self.batch = (1, 0) if rows.batch_first else (0, 1)

    def taken(self, x: Tensor) -> Tensor:
        """All of it."""
        return x

    def given(self, result: Tensor, padding_value: float) -> Tensor:
        """As it is."""
        return result

    def run(self, x: Tensor, of: OfDirection) -> Result:
        """x [T, B, I] or [B, T, I]."""
        x, resets = (x.flip(self.time) if of.reverse else x), self._resets(of.reverse)
        run = self._block if self.options.memory == "full" else self._chunk_by_chunk
        y, memory, shown = run(x, of.memory, of, resets)
        if of.reverse:
            y, shown = y.flip(self.time), {name: tensor.flip(self.time) for name, tensor in shown.items()}
        return y, memory, shown

    def _chunk_by_chunk(self, x: Tensor, memory: Memory, of: OfDirection, resets: Tensor | None) -> Result:
        """`_block` of one chunk after another, none of which is kept."""
        S, results = self.sizes.chunk_size, []
        resets = resets if resets is None else resets.clone()
        for k, chunk in enumerate(x.split(S, self.time)):
            of_chunk = None if resets is None else resets[:, k * S :][:, :S]
            read = chunk, *memory, *of.weights, *(of.initial or ())
            y, memory, shown = recomputed(self._block, read, chunk, memory, of, of_chunk)
            results.append({"y": y} | shown)
        shown = {name: torch.cat([of_chunk[name] for of_chunk in results], self.time) for name in results[0]}
        return shown.pop("y"), memory, shown

    def _block(self, x: Tensor, memory: Memory, of: OfDirection, resets: Tensor | None) -> Result:
        """Some steps, in the order of the run: resets [B, T]."""
        inputs, o = inputs_of(linear(x, of.weights.W, of.weights.b_x), self.sizes.heads)
        by_row = (row.movedim((self.batch, 2, self.time), (0, 1, 2)) for row in inputs)  # [B, N, T, d], [B, N, T]
        h, memory, shown = self._form(Inputs(*by_row), memory, resets, of.initial)
        y = o * self._as_x(h).flatten(-2)
        shown = {name: self._as_x(tensor) for name, tensor in shown.items()}
        return y, memory, shown | ({"o": o} if self.options.gates else {})

    def _as_x(self, tensor: Tensor) -> Tensor:
        """[B, N, T, ...] as [T, B, N, ...] or [B, T, N, ...]."""
        return tensor.movedim((0, 1, 2), (self.batch, 2, self.time))

    def _form(self, inputs: Inputs, memory: Memory, resets: Tensor | None, initial: Memory | None) -> Result:
        T = inputs.q.shape[2]
        if resets is None and not self.options.asks_inside:
            if T > 1:
                return *self.sizes.form(inputs, memory, self.sizes.chunk_size), {}
            h, memory = step(Inputs(*(row[:, :, 0] for row in inputs)), memory)
            return h.unsqueeze(2), memory, {}
        chunks, memory = dense_in_order(inputs, memory, self.sizes.chunk_size, resets, initial)
        shown = inside_of(chunks, self.options.states, self.options.gates)
        h, *others = (tensor.flatten(2, 3)[:, :, :T] for tensor in (outputs(chunks), *shown.values()))
        return h, memory, dict(zip(shown, others))

    def _resets(self, reverse: bool) -> Tensor | None:
        """Before which steps [B, T], in the order of the run, the memory is restored."""
        resets = self.rows.resets
        if resets is None:
            return None
        resets = resets if self.rows.batch_first else resets.T
        return resets if not reverse else torch.cat([torch.zeros_like(resets[:, :1]), resets[:, 1:].flip(1)], 1)


class Ragged:
    """Rows of any lengths: the steps of all of them stand in one line, x [n, I]."""

    def __init__(self, rows: Rows, options: Options, sizes: Sizes, x: Tensor) -> None:
        self.rows, self.options, self.sizes, self.shape = rows, options, sizes, x.shape[:-1]
        self.pairs = pairs_of(x, rows)
        self.there = self.pairs.there.to(x.device) if self.pairs.full else None
        self.places = None if self.pairs.places is None else self.pairs.places.to(x.device)
        self.cuts: dict[bool, Cut] = {}

    def taken(self, x: Tensor) -> Tensor:
        """The steps that there are."""
        if self.places is None:
            return x
        x = x.flatten(0, 1).index_select(0, self.places)
        return x if self.there is None else x.masked_fill(~self.there[:, None], 0)

    def given(self, result: Tensor, padding_value: float) -> Tensor:
        """[n, ...] in the places that they were taken from."""
        if self.places is None:
            return result
        if self.there is not None:
            result = result.masked_fill(~self.there[(..., *[None] * (result.dim() - 1))], padding_value)
        whole = result.new_full((self.shape[0] * self.shape[1], *result.shape[1:]), padding_value)
        return whole.index_copy(0, self.places, result).unflatten(0, self.shape)

    def run(self, x: Tensor, of: OfDirection) -> Result:
        """x [n, I]."""
        found, resets = self._cut(of.reverse, x), self._resets(of.reverse)
        memory = Memory(*(state.index_select(0, found.rows) for state in of.memory))
        run = self._block if self.options.memory == "full" or not found.counts else self._chunk_by_chunk
        y, memory, shown = run(x, memory, of, found, resets)
        y, *others = (tensor.flatten(0, 1).index_select(0, found.back) for tensor in (y, *shown.values()))
        return y, Memory(*(state.index_select(0, found.rank) for state in memory)), dict(zip(shown, others))

    def _chunk_by_chunk(self, x: Tensor, memory: Memory, of: OfDirection, found: Cut, resets: Tensor | None) -> Result:
        """`_block` of every row's first chunk, of the second ones, and so on, none of which is kept."""
        results, read = [], (x, *of.weights, *(of.initial or ()))
        resets = resets if resets is None else resets.clone()
        for of_all in each_chunk(found):
            y, memory, shown = recomputed(self._block, (*read, *memory), x, memory, of, of_all, resets)
            results.append({"y": y} | shown)
        shown = {name: torch.cat([of_chunk[name] for of_chunk in results]) for name in results[0]}
        return shown.pop("y"), memory, shown

    def _block(self, x: Tensor, memory: Memory, of: OfDirection, found: Cut, resets: Tensor | None) -> Result:
        """Some chunks: h [K, S, H]; memory before and after them, the longest row first; resets [n]."""
        W, bias = of.weights.W, of.weights.b_x
        if len(found.places) < len(x):  # one chunk of many
            rows = linear(x.index_select(0, found.places), W, bias)
        else:
            rows = linear(x, W, bias).index_select(0, found.places)
        inputs, o = inputs_of(rows.unflatten(0, found.there.shape), self.sizes.heads)
        q, k, v, i, log_f = (row.transpose(1, 2) for row in inputs)  # [K, N, S, d], [K, N, S]
        missing = ~found.there[:, None]
        inputs = Inputs(q, k, v, i.masked_fill(missing, -math.inf), log_f.masked_fill(missing, 0))
        chunks, memory = in_order(inputs, memory, found.counts, self._parts(found, of.initial, resets))
        shown = inside_of(chunks, self.options.states, self.options.gates)
        shown = {name: tensor.transpose(1, 2) for name, tensor in shown.items()}
        y = o * outputs(chunks).transpose(1, 2).flatten(2)
        return y, memory, shown | ({"o": o} if self.options.gates else {})

    def _parts(self, found: Cut, initial: Memory | None, resets: Tensor | None) -> Parts | None:
        """Where the chunks are parted."""
        if resets is None:
            return None
        ranked, there = found.rows[found.of_rank], found.there
        initial = initial and Memory(*(state.index_select(0, ranked) for state in initial))
        return parts_of((resets[found.places].view(there.shape) & there)[:, None], initial)

    def _cut(self, reverse: bool, x: Tensor) -> Cut:
        if reverse not in self.cuts:
            self.cuts[reverse] = cut(self.pairs, self.sizes.chunk_size, reverse, x.device)
        return self.cuts[reverse]

    def _resets(self, reverse: bool) -> Tensor | None:
        """Before which pairs [n], in the order of the run, the memory is restored."""
        if self.rows.resets is None:
            return None
        resets = self.rows.resets
        resets = resets if self.places is None else resets.flatten()[self.places]
        if not reverse:
            return resets
        followed = (self.pairs.step + 1 < self.pairs.lengths[self.pairs.row]).to(resets.device)
        following = self.pairs.following.clamp(max=max(len(resets) - 1, 0)).to(resets.device)
        return resets[following] & followed
