"""Pairs of symbols in batches: each pair once in a pass, about equal lengths together, known from the step alone."""

from __future__ import annotations

import numpy as np
import torch

from carrousel.data.buckets import Buckets
from carrousel.data.symbol_pairs import SymbolPairs, SymbolTexts

CPU = torch.device("cpu")


def some_texts(count: int, seed: int) -> SymbolTexts:
    """Texts of 1 to 20 symbols."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 21, count)
    return SymbolTexts.join(draw.integers(3, 99, lengths.sum()).astype(np.int32), lengths, CPU)


def some_pairs(count: int = 50) -> SymbolPairs:
    return SymbolPairs(some_texts(count, 1), some_texts(count, 2))


def test_texts_are_padded_and_come_back():
    texts = some_texts(9, 0)
    rows = texts.to_lists()
    padded = texts.pad()
    assert padded.dtype == torch.int64
    for index, row in enumerate(rows):
        assert padded[: len(row), index].tolist() == row
    assert texts.select(torch.tensor([4, 2])).to_lists() == [rows[4], rows[2]]


def test_batches_are_sorted_by_target_and_then_by_source():
    pairs = some_pairs(256)
    buckets = Buckets(pairs.order_by_length(), 8, seed=1)
    for step in range(32):
        batch = pairs.select(buckets.take(step)).to_batch()
        lengths = list(zip(batch.target_lengths.tolist(), batch.source_lengths.tolist(), strict=True))
        assert lengths == sorted(lengths)
