"""Pairs of symbols in batches: each pair once in a pass, about equal lengths together, known from the step alone."""

from __future__ import annotations

import numpy as np
import torch

from carrousel.data.symbol_pairs import POOL, SortedBatches, SymbolPairs, SymbolTexts

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


def test_a_batch_depends_on_its_number_only():
    one, other = SortedBatches(some_pairs(), 4, 1), SortedBatches(some_pairs(), 4, 1)
    expected = [one.take(step) for step in range(3 * POOL)]
    for step in (2 * POOL + 5, 3, POOL, 0):
        assert all(map(torch.equal, other.take(step), expected[step]))
    assert not all(
        map(torch.equal, SortedBatches(some_pairs(), 4, 2).take(3).target_lengths, expected[3].target_lengths)
    )


def test_each_pair_is_seen_once_in_a_pass():
    pairs = some_pairs(POOL * 2)
    batches = SortedBatches(pairs, 4, 1)  # a pool is two passes
    seen = sorted(
        tuple(batch.target[: batch.target_lengths[column], column].tolist())
        for batch in map(batches.take, range(POOL))
        for column in range(4)
    )
    assert seen == sorted(2 * [tuple(row) for row in pairs.targets.to_lists()])


def test_pairs_of_a_batch_are_about_as_long():
    batches = SortedBatches(some_pairs(4 * POOL), 4, 1)
    spreads = []
    for step in range(POOL):
        lengths = batches.take(step).target_lengths
        spreads.append(int(lengths.max() - lengths.min()))
    assert max(spreads) <= 3
    means = [float(batches.take(step).target_lengths.float().mean()) for step in range(POOL)]
    assert means != sorted(means)  # the batches themselves are shuffled
