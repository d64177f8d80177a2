"""Batches of sequences that are about as long."""

from __future__ import annotations

import numpy as np
import torch

from carrousel.data.buckets import Buckets


def test_a_batch_depends_on_its_step_only_and_holds_sequences_of_about_one_length():
    lengths = torch.randint(1, 60, (1024,), generator=torch.Generator().manual_seed(0))
    buckets = Buckets(lengths, 8, seed=3)
    batches = [buckets.take(step) for step in range(256)]  # two passes
    assert all(torch.equal(Buckets(lengths, 8, seed=3).take(step), batches[step]) for step in (249, 0, 31, 32))
    assert torch.cat(batches).bincount(minlength=1024).tolist() == [2] * 1024
    spreads = [(lengths[batch].max() - lengths[batch].min()).item() for batch in batches]
    assert np.mean(spreads) < 5
    assert not torch.equal(batches[0], Buckets(lengths, 8, seed=4).take(0))
    few = Buckets(lengths[:5], 8, seed=3)
    assert [few.take(step).shape for step in range(3)] == [(8,)] * 3
