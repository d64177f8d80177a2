"""The forms of X: the same sequences give the same bits in each; what is none of them is an error that says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from ragged import SMALL, end_to_end, means, pad, ragged

from carrousel.estimators import SequenceClassifier, SequenceRegressor

X, y = ragged()
FLAT, LENGTHS = end_to_end(X)
EQUAL = np.stack([one[[0, -1, 0]] for one in X])  # [N, 3, 2]


def fit(X, y=y, lengths=None, **options):
    return SequenceClassifier(**{**SMALL, **options}).fit(X, y, lengths)


@pytest.fixture(scope="module")
def from_list():
    return fit(X)


@pytest.fixture(scope="module")
def from_array():
    return fit(EQUAL)


def same(one, other) -> bool:
    """Whether two fits have the same weights, bit for bit."""
    ours, theirs = one.model_.state_dict(), other.model_.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


OBJECTS = np.empty(len(X), object)
OBJECTS[:] = X

RAGGED = {
    "end_to_end": (FLAT, LENGTHS, {}),
    "padded": (pad(X), LENGTHS, {}),
    "object_array": (OBJECTS, None, {}),
    "tuple": (tuple(X), None, {}),
    "nested_lists": ([one.tolist() for one in X], None, {}),
    "float32": ([one.astype(np.float32) for one in X], None, {}),
    "tensors": ([torch.from_numpy(one) for one in X], None, {}),
    "frames": ([pd.DataFrame(one, columns=["level", "noise"]) for one in X], None, {}),
    "frame_end_to_end": (pd.DataFrame(FLAT, columns=["level", "noise"]), LENGTHS, {}),
    "transposed_list": ([one.T for one in X], None, {"layout": "NFT"}),
    "transposed_padded": (pad(X).swapaxes(1, 2), LENGTHS, {"layout": "NFT"}),
    "fortran_order": (np.asfortranarray(FLAT), LENGTHS, {}),
}


@pytest.mark.parametrize("form", RAGGED)
def test_forms_of_ragged_sequences_give_the_same_weights(form, from_list):
    values, lengths, options = RAGGED[form]
    one = fit(values, lengths=lengths, **options)
    assert same(one, from_list)
    assert (one.n_features_in_, one.n_channels_) == (2, 2)
    assert np.array_equal(one.predict_proba(values, lengths), from_list.predict_proba(X))


DENSE = {
    "list": (list(EQUAL), {}),
    "transposed": (EQUAL.swapaxes(1, 2), {"layout": "NFT"}),
    "nested_lists": (EQUAL.tolist(), {}),
    "tensor": (torch.from_numpy(EQUAL), {}),
}


@pytest.mark.parametrize("form", DENSE)
def test_forms_of_equal_sequences_give_the_same_weights(form, from_array):
    values, options = DENSE[form]
    one = fit(values, **options)
    assert same(one, from_array)
    assert np.array_equal(one.predict(values), from_array.predict(EQUAL))


def test_rows_are_sequences_of_one_channel():
    rows = EQUAL[..., 0]
    one = fit(rows)
    assert (one.n_features_in_, one.n_channels_) == (3, 1)
    assert same(one, fit(rows[..., None]))
    assert same(one, fit([*rows[..., None]]))
    assert fit(rows.tolist()).n_features_in_ == 3
    assert np.array_equal(one.predict_proba(rows), one.predict_proba([*rows[..., None]]))
    with pytest.raises(ValueError, match="X has 2 features, but SequenceClassifier is expecting 3 features"):
        one.predict(rows[:, :2])


def test_a_list_of_rows_of_different_lengths_is_one_channel():
    rows = [one[:, 0] for one in X]
    one = fit(rows)
    assert (one.n_features_in_, one.n_channels_) == (1, 1)
    assert same(one, fit([row[:, None] for row in rows]))
    assert len(one.predict(np.zeros((4, 7)))) == 4, "rows of any length"


def test_x_is_not_changed(tmp_path):
    before = [one.copy() for one in X]
    fit(X)
    assert all(np.array_equal(one, other) for one, other in zip(X, before))
    for values in (FLAT.astype(np.float32), FLAT.copy()):
        copy = values.copy()
        fit(values, lengths=LENGTHS).predict(values, LENGTHS)
        assert np.array_equal(values, copy)


def test_a_memory_map_that_is_read_only(tmp_path, from_list):
    np.save(tmp_path / "flat.npy", FLAT.astype(np.float32))
    mapped = np.load(tmp_path / "flat.npy", mmap_mode="r")
    assert not mapped.flags.writeable
    assert same(fit(mapped, lengths=LENGTHS), fit(FLAT.astype(np.float32), lengths=LENGTHS))


# ---- names ----------------------------------------------------------------------------------------------------------


def test_names_of_columns_are_checked():
    frames = [pd.DataFrame(one, columns=["level", "noise"]) for one in X]
    one = fit(frames)
    assert one.feature_names_in_.tolist() == ["level", "noise"]
    with pytest.raises(ValueError, match="feature names should match"):
        one.predict([frame[["noise", "level"]] for frame in frames])
    with pytest.raises(ValueError, match="sequence 1 has other columns than sequence 0"):
        one.predict([frames[0], frames[1][["noise", "level"]]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        one.predict(X)


# ---- missing values -------------------------------------------------------------------------------------------------


def test_missing_values_are_refused_and_named():
    broken = [one.copy() for one in X]
    broken[7][-1, 1] = np.nan
    says = rf"X contains NaN: sequence 7, step {len(X[7]) - 1}, channel 1 .*impute='zero', 'mean' or 'last'"
    with pytest.raises(ValueError, match=says):
        fit(broken)
    with pytest.raises(ValueError, match=says):
        fit(X).predict(broken)


@pytest.mark.parametrize("impute", ["zero", "mean", "last"])
def test_missing_values_are_replaced(impute):
    broken = [one.copy() for one in X]
    broken[0] = np.array([[np.nan, 50.0], [np.nan, np.nan]])
    level = {"zero": 0.0, "mean": np.mean(np.concatenate([FLAT[LENGTHS[0] :, 0]])), "last": None}[impute]
    one = fit(broken, impute=impute)
    assert one.__sklearn_tags__().input_tags.allow_nan
    if level is not None:
        whole = [np.array([[level, 50.0], [level, broken_noise(broken, impute)]])]
        np.testing.assert_allclose(one.predict_proba([broken[0]]), one.predict_proba(whole), rtol=1e-4)


def broken_noise(broken: list[np.ndarray], impute: str) -> float:
    """What replaces the missing value of the second channel."""
    return 0.0 if impute == "zero" else float(np.nanmean(np.concatenate([one[:, 1] for one in broken])))


# ---- errors ---------------------------------------------------------------------------------------------------------

BAD = {
    "infinity": ([*X[:-1], np.full((2, 2), np.inf)], None, {}, ValueError, "infinity"),
    "sparse": (scipy.sparse.csr_matrix(EQUAL[..., 0]), None, {}, TypeError, "[Ss]parse"),
    "sparse_in_a_list": ([scipy.sparse.csr_matrix(one) for one in X], None, {}, TypeError, "sequence 0 is sparse"),
    "complex": ([one.astype(complex) for one in X], None, {}, ValueError, "Complex data not supported"),
    "other_channels": ([*X[:-1], np.zeros((3, 5))], None, {}, ValueError, "sequence 59 has 5 channels, and sequence 0"),
    "no_steps": ([*X[:-1], np.zeros((0, 2))], None, {}, ValueError, "sequence 59 has no steps: leave it out"),
    "three_dimensions": ([*X[:-1], np.zeros((1, 2, 2))], None, {}, ValueError, "sequence 59 has 3 dimensions"),
    "one_dimension": (np.zeros(60), None, {}, ValueError, "Expected 2D array, got 1D"),
    "four_dimensions": (np.zeros((60, 2, 2, 2)), None, {}, ValueError, "dim 4"),
    "empty_list": ([], None, {}, ValueError, "Expected 2D array, got 1D"),
    "words": ([["a", "b"]] * 60, None, {}, ValueError, "could not convert string"),
    "lengths_of_a_list": (X, LENGTHS, {}, ValueError, "lengths is for arrays"),
    "lengths_too_few": (FLAT, LENGTHS[:-1], {}, ValueError, "lengths has the sum .* rows: with lengths, an array of"),
    "lengths_too_long": (pad(X), LENGTHS + 1, {}, ValueError, r"lengths has 60 numbers up to 9: X \[60, 8, 2\] needs"),
    "lengths_of_zero": (FLAT, LENGTHS * 0, {}, ValueError, "lengths must be whole numbers, at least 1"),
    "lengths_of_floats": (FLAT, LENGTHS * 1.0, {}, ValueError, "lengths must be whole numbers"),
    "layout": (X, None, {"layout": "TNF"}, ValueError, "layout='TNF' is not one of NTF, NFT"),
    "impute": (X, None, {"impute": "magic"}, ValueError, "impute='magic' is not one of zero, mean, last"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_sequence_is_refused(case):
    values, lengths, options, kind, says = BAD[case]
    with pytest.raises(kind, match=says):
        fit(values, lengths=lengths, **options)


def test_other_channels_than_those_of_fit_are_refused(from_list):
    with pytest.raises(ValueError, match="X has 3 features, but SequenceClassifier is expecting 2 features"):
        from_list.predict([np.zeros((4, 3))])
    with pytest.raises(ValueError, match="X has 1 channels, but SequenceClassifier was fitted on 2"):
        from_list.predict(np.zeros((4, 3)))


def test_numbers_of_sequences_and_targets_differ():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(X, y[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        SequenceRegressor(**SMALL).fit(X, means(X)[:-1])
