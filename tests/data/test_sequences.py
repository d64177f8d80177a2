"""Sequences in one piece: chosen, joined, split by class, scaled, imputed, padded, shuffled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from carrousel.data.classes import sort_labels, split_by_class
from carrousel.data.examples import Examples, Shuffled
from carrousel.data.scaling import IMPUTE, Scaling
from carrousel.data.sequences import Sequences, join
from carrousel.errors import UserError

NAN = float("nan")


def sequences(*rows, labels=None, channels=("a", "b"), skipped=None) -> Sequences:
    """Sequences of rows [T, F]."""
    return Sequences(
        values=np.concatenate([np.array(row, np.float32) for row in rows]),
        lengths=np.array([len(row) for row in rows], np.int64),
        labels=labels,
        names=tuple(f"line {index + 1}" for index in range(len(rows))),
        channels=channels,
        skipped=skipped or {},
    )


ONE = sequences([[1, 10], [2, 20]], [[3, 30]], [[4, 40], [5, 50], [6, 60]], labels=("x", "", "y"), skipped={"rows": 2})


def test_a_choice_has_its_values_labels_and_names():
    found = ONE.select([2, 0])
    assert found.values.tolist() == [[4, 40], [5, 50], [6, 60], [1, 10], [2, 20]]
    assert (found.lengths.tolist(), found.labels, found.names) == ([3, 2], ("y", "x"), ("line 3", "line 1"))
    assert found.skipped == {"rows": 2}
    assert len(ONE.select([])) == len(ONE.select([]).values) == 0


def test_joined_files_keep_their_order_and_count_what_was_left_out():
    found = join([ONE, ONE.select([1])], ["a.ts", "b.ts"])
    assert found.values.tolist() == [*ONE.values.tolist(), [3, 30]]
    assert found.labels == ("x", "", "y", "")
    assert found.names == ("a.ts, line 1", "a.ts, line 2", "a.ts, line 3", "b.ts, line 2")
    assert found.skipped == {"rows": 4}
    assert join([ONE], ["a.ts"]) is ONE


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (sequences([[1]], labels=("x",), channels=("a",)), r"b.ts has 1 channels \(a\), a.ts has 2 \(a, b\)"),
        (sequences([[1, 2]]), "b.ts and a.ts do not both have labels"),
    ],
)
def test_files_that_do_not_fit_are_not_joined(other, message):
    with pytest.raises(UserError, match=message):
        join([ONE, other], ["a.ts", "b.ts"])


def test_a_digest_sees_every_difference():
    others = [
        sequences([[1, 10], [2, 21]], [[3, 30]], [[4, 40], [5, 50], [6, 60]], labels=ONE.labels),
        sequences([[1, 10]], [[2, 20], [3, 30]], [[4, 40], [5, 50], [6, 60]], labels=ONE.labels),
        sequences([[1, 10], [2, 20]], [[3, 30]], [[4, 40], [5, 50], [6, 60]], labels=("x", "", "z")),
        ONE.select([1, 0, 2]),
    ]
    assert len({each.digest() for each in (ONE, *others)}) == 5
    assert ONE.select([0, 1, 2]).digest() == ONE.digest()


# ---- classes --------------------------------------------------------------------------------------------------------


def test_labels_are_sorted_as_people_do():
    assert sort_labels(["10", "9", "b", "-1", "a", "9", "nan", "1.5"]) == ("-1", "1.5", "9", "10", "a", "b", "nan")


@given(st.lists(st.integers(0, 4), min_size=2, max_size=80), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]))
def test_each_class_has_its_share_and_trains(targets, fraction):
    targets = np.unique(targets, return_inverse=True)[1].astype(np.int64)
    train, valid = split_by_class(targets, fraction, seed=3)
    assert sorted([*train, *valid]) == list(range(len(targets)))
    for number, count in enumerate(np.bincount(targets)):
        held_out = int((targets[valid] == number).sum())
        assert held_out < count
        assert held_out == count - 1 or abs(held_out - fraction * count) < 1
    again = split_by_class(targets, fraction, seed=3)
    assert all(np.array_equal(one, other) for one, other in zip((train, valid), again, strict=True))


def test_a_seed_is_a_split():
    targets = np.repeat(np.arange(3), 20)
    splits = [tuple(split_by_class(targets, 0.2, seed)[1]) for seed in range(5)]
    assert len(set(splits)) == 5
    assert all(len(split) == 12 for split in splits)


# ---- scaling --------------------------------------------------------------------------------------------------------


def test_scaling_is_that_of_the_training_part():
    given = sequences([[1, 7], [3, 7]], [[1000, 7]], [[5, 7]])
    scaling = Scaling.measure(given, np.array([0, 2]))
    assert scaling.mean == (3.0, 7.0)
    assert scaling.deviation == pytest.approx((np.sqrt(8 / 3), 1.0))
    assert scaling.apply(given, "file", None) == 0
    assert given.values[[0, 1, 3], 0].mean() == pytest.approx(0, abs=1e-6)
    assert given.values[[0, 1, 3], 0].std() == pytest.approx(1)
    assert given.values[:, 1].tolist() == [0, 0, 0, 0]
    assert Scaling.from_json(scaling.to_json()) == scaling


def test_values_far_from_zero_are_scaled_exactly():
    """A mean of a million deviations, and many more steps than are scaled at a time."""
    random = np.random.default_rng(0)
    values = (1e6 + random.standard_normal((2**20 + 99, 1))).astype(np.float32)
    given = Sequences(values, np.array([len(values)]), None, ("all",), ("a",), {})
    expected = (values.astype(np.float64) - values.mean(dtype=np.float64)) / values.std(dtype=np.float64)
    Scaling.measure(given, np.array([0])).apply(given, "file", None)
    np.testing.assert_allclose(given.values, expected, atol=1e-5)


def missing() -> Sequences:
    return sequences([[NAN, 1], [2, NAN], [NAN, NAN], [4, 3]], [[NAN, NAN]])


REPLACED = {  # in the units of the data; the means are 3 and 2
    "zero": [[0, 1], [2, 0], [0, 0], [4, 3], [0, 0]],
    "mean": [[3, 1], [2, 2], [3, 2], [4, 3], [3, 2]],
    "last": [[3, 1], [2, 1], [2, 1], [4, 3], [3, 2]],
}


@pytest.mark.parametrize("impute", IMPUTE)
def test_missing_values_are_replaced_as_named(impute):
    given = missing()
    scaling = Scaling.measure(given, np.array([0]))
    assert (scaling.mean, scaling.deviation) == ((3.0, 2.0), (1.0, 1.0))
    assert scaling.apply(given, "file", impute) == 6
    assert (given.values + np.array([3, 2])).tolist() == REPLACED[impute]


def test_missing_values_are_refused_by_name():
    given = missing().select([1, 0])
    scaling = Scaling.measure(given, np.array([1]))
    says = r"data\.ts, line 2: a missing at step 1, the first of 6; .* --impute zero, mean, last"
    with pytest.raises(UserError, match=says):
        scaling.apply(given, "data.ts", None)
    with pytest.raises(UserError, match=r"data\.ts, line 1: b missing at step 2; choose"):
        scaling.apply(sequences([[1, 1], [2, NAN]]), "data.ts", None)


# ---- batches --------------------------------------------------------------------------------------------------------


def test_a_batch_holds_the_steps_of_its_sequences():
    lengths = torch.tensor([2, 1, 3])
    values = torch.arange(12.0).view(6, 2)
    some = Examples(values, torch.tensor([0, 2, 3]), lengths, torch.tensor([0, 1, 2])).select(torch.tensor([2, 0]))
    x = some.pad()
    assert x.shape == (3, 2, 2)
    assert torch.equal(x[:, 0], values[3:6])
    assert torch.equal(x[:2, 1], values[:2])
    assert (some.lengths.tolist(), some.targets.tolist(), len(some)) == ([3, 2], [2, 0], 2)


def test_groups_are_of_the_same_length_and_complete():
    lengths = torch.randint(1, 50, (100,))
    some = Examples(torch.zeros(1, 1), lengths, lengths, lengths)
    groups = some.split_by_length(32)
    assert sorted(torch.cat(groups).tolist()) == list(range(100))
    assert torch.equal(lengths[torch.cat(groups)], lengths.sort().values)


@given(st.integers(1, 20), st.integers(0, 2**64 - 1))
def test_each_pass_takes_everything_once(size, seed):
    taken = Shuffled(size, seed).take(0, 3 * size).view(3, size)
    assert all(sorted(row.tolist()) == list(range(size)) for row in taken)


def test_a_part_of_the_row_is_known_from_its_place():
    whole = Shuffled(7, 1).take(0, 70)
    for first, count in ((0, 1), (5, 20), (68, 2), (21, 7)):
        assert torch.equal(Shuffled(7, 1).take(first, count), whole[first : first + count])
    forwards = Shuffled(7, 1)
    assert torch.equal(torch.cat([forwards.take(place, 4) for place in range(0, 68, 4)]), whole[:68])
    assert len({tuple(row) for row in whole.view(10, 7).tolist()}) > 5
    assert not torch.equal(whole, Shuffled(7, 2).take(0, 70))
