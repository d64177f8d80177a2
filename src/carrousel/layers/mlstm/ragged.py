"""mLSTM on rows of any lengths: every step of every row in one line, cut into the chunks that there are.

Letters: T time, B batch, n steps of all rows, K chunks of all rows, S steps of a chunk. A *pair* is a step of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from carrousel.scan.rows import Rows


class Pairs(NamedTuple):
    """The pairs [n], in the order in which the layers compute them."""

    row: Tensor  # [n] int64, on the CPU as all of these
    step: Tensor  # [n]
    following: Tensor  # [n] the place of the same row's next pair, where it has one
    first: Tensor  # [B] the place of each row's first pair
    lengths: Tensor  # [B]
    places: Tensor | None  # [n] where they lie in x, whose first two places are made one; None: x has them in order
    full: bool  # all steps of all rows are pairs, those beyond a length too: where no number is known yet

    @property
    def there(self) -> Tensor:
        """Which pairs are steps that there are [n]: all, but for `full`."""
        return self.step < self.lengths[self.row]


def pairs_of(x: Tensor, rows: Rows) -> Pairs:
    """Those of x [T, B, .] or [B, T, .] with lengths, or of flat x [n, .]."""
    if rows.batch_sizes is not None:
        return _of_packed(rows.batch_sizes)
    if rows.offsets is not None:
        return _of_rows(rows.offsets.diff())
    assert rows.lengths is not None
    B, T = (x.shape[0], x.shape[1]) if rows.batch_first else (x.shape[1], x.shape[0])
    if torch.compiler.is_compiling():
        said = f"lengths are not all among 0 .. {T}, the steps of the input"
        torch._assert_async(((rows.lengths >= 0) & (rows.lengths <= T)).all(), said)  # type: ignore[call-overload]
        pairs = _of_rows(torch.full((B,), T), B * T)._replace(lengths=rows.lengths, full=True)
    else:
        pairs = _of_rows(rows.lengths)
    by_row, by_step = (T, 1) if rows.batch_first else (1, B)
    return pairs._replace(places=pairs.row * by_row + pairs.step * by_step)


def _of_rows(lengths: Tensor, n: int | None = None) -> Pairs:
    """One row after another; n is the sum of the lengths, where it is known."""
    row = torch.repeat_interleave(torch.arange(len(lengths)), lengths, output_size=n)
    first = lengths.cumsum(0) - lengths
    places = torch.arange(len(row))
    return Pairs(row, places - first[row], places + 1, first, lengths, None, False)


def _of_packed(sizes: Tensor) -> Pairs:
    """One step after another, of `sizes` [T] rows each, the longest first."""
    step = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    before = sizes.cumsum(0) - sizes
    row = torch.arange(len(step)) - before[step]
    first = torch.arange(int(sizes[0]))
    lengths = torch.zeros_like(first).index_add(0, row, torch.ones_like(row))
    return Pairs(row, step, before[step] + sizes[step] + row, first, lengths, None, False)


class Cut(NamedTuple):
    """Pairs cut into chunks, which lie as `chunks.py` says: K of them, `counts` of a kind."""

    counts: list[int]  # how many rows have a first chunk, a second one, ...
    rows: Tensor  # [B] the rows, the longest first
    rank: Tensor  # [B] the place of each among them
    of_rank: Tensor  # [K] the rank of each chunk's row
    places: Tensor  # [K*S] which pair stands where; another of the same row, where none does
    there: Tensor  # [K, S] whether one does
    back: Tensor  # [n] where, in chunks made one line, each pair stands


def cut(pairs: Pairs, chunk_size: int, reverse: bool, device: torch.device) -> Cut:
    """The pairs in chunks, in the order of time or against it."""
    lengths = pairs.lengths
    if pairs.full:
        B, T = len(lengths), len(pairs.row) // max(len(lengths), 1)
        S = min(chunk_size, T)
        counts, rows = [B] * -(-T // S), torch.arange(B)
        heights, rank = torch.full((len(counts),), B), rows
        of_rank = rows.repeat(len(counts))
    else:
        S = max(1, min(chunk_size, int(lengths.max()) if len(lengths) else 1))
        rows = lengths.argsort(descending=True, stable=True)
        rank = rows.argsort()
        chunks = -(-lengths[rows] // S)
        which = chunks > torch.arange(int(chunks.max()) if len(rows) else 0)[:, None]  # [c, B]
        heights, of_rank = which.sum(1), which.nonzero()[:, 1]
        counts = heights.tolist()
    after = pairs.step if not reverse else torch.where(pairs.there, lengths[pairs.row] - 1 - pairs.step, pairs.step)
    above = heights.cumsum(0) - heights
    back = (above[after // S] + rank[pairs.row]) * S + after % S
    places = pairs.first[rows[of_rank]].repeat_interleave(S).index_copy(0, back, torch.arange(len(back)))
    there = torch.zeros(len(places), dtype=torch.bool).index_copy(0, back, pairs.there)
    found = rows, rank, of_rank, places, there.view(-1, S), back
    return Cut(counts, *(tensor.to(device) for tensor in found))


def each_chunk(found: Cut) -> Iterator[Cut]:
    """The first chunks of all rows, the second ones, and so on; `back` as in the whole."""
    S, below = found.there.shape[1], 0
    for count in found.counts:
        above = below + count
        of_rank, there = found.of_rank[below:above], found.there[below:above]
        yield found._replace(counts=[count], of_rank=of_rank, there=there, places=found.places[below * S : above * S])
        below = above
