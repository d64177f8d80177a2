"""What `check_estimator` checks, for estimators whose X or y it cannot make: SequenceTagger and Forecaster."""

from __future__ import annotations

import doctest
import inspect
import pickle
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from ragged import ragged
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import carrousel.estimators
from carrousel.estimators import Forecaster, SequenceTagger

STEPS, _ = ragged()
LABELS = [np.where(one[:, 0] > 2, "high", "low") for one in STEPS]
SENTENCES = [["the", "dog", "barks"], ["a", "cat", "sleeps", "now"], ["the", "cat"], ["Rex"]] * 10
TAGS = [["D", "N", "V"], ["D", "N", "V", "A"], ["D", "N"], ["P"]] * 10
DAYS = pd.date_range("2024-01-01", periods=120, name="day")
SOLD = 100 + 20 * np.sin(2 * np.pi * np.arange(120) / 7) + 0.1 * np.arange(120)
FRAME = pd.DataFrame({"sold": SOLD, "cost": SOLD[::-1]}, index=DAYS)
LONG = pd.concat([pd.DataFrame({"unique_id": name, "ds": DAYS, "y": SOLD * k}) for name, k in (("a", 1), ("b", 5))])

TAGGER = SequenceTagger(hidden=8, steps=60, random_state=0)
WORDS = SequenceTagger(hidden=8, embedding=8, char_embedding=4, char_hidden=4, steps=60, random_state=0, crf=True)
FORECASTER = Forecaster(horizon=7, hidden=8, steps=60, random_state=0)
CASES: dict[str, tuple[Any, Any, Any]] = {
    "steps": (TAGGER, STEPS, LABELS),
    "words": (WORDS, SENTENCES, TAGS),
    "frame": (FORECASTER, FRAME, None),
    "long": (FORECASTER, LONG, None),
}
each_case = pytest.mark.parametrize("case", CASES)


def fit(case: str, **changes):
    one, X, y = CASES[case]
    return clone(one).set_params(**changes).fit(X, y)


def weights(one) -> list[torch.Tensor]:
    return list(one.model_.state_dict().values())


def same(one, other) -> bool:
    return all(torch.equal(ours, theirs) for ours, theirs in zip(weights(one), weights(other), strict=True))


def flat(predicted) -> np.ndarray:
    return predicted.to_numpy() if isinstance(predicted, pd.DataFrame) else np.concatenate(predicted)


# ---- parameters -----------------------------------------------------------------------------------------------------


@each_case
def test_the_constructor_only_stores(case):
    kind = type(CASES[case][0])
    for name, parameter in list(inspect.signature(kind).parameters.items()):
        value = object()
        one = kind(**{name: value})
        assert vars(one).pop(name) is value
        others = inspect.signature(kind).parameters.items()
        assert vars(one) == {key: each.default for key, each in others if key != name}
        assert parameter.default is None or isinstance(parameter.default, (int, float, str, tuple))


@each_case
def test_parameters_are_read_and_set(case):
    one = CASES[case][0]
    other = type(one)().set_params(**one.get_params())
    assert other.get_params() == one.get_params() == clone(one).get_params()
    assert "random_state=0" in repr(one)
    with pytest.raises(ValueError, match="Invalid parameter 'magic'"):
        clone(one).set_params(magic=1)


@pytest.mark.parametrize("kind", [SequenceTagger, Forecaster])
def test_parameters_are_the_options_of_the_task_and_documented(kind):
    parameters = set(inspect.signature(kind).parameters)
    assert set(kind._task.options.describe()) - {"seed", "save_every"} <= parameters
    undocumented = [
        name for name in parameters if not re.search(rf"^        (\w+, )*{name}(, \w+)*: ", kind.__doc__, re.M)
    ]
    assert undocumented == []


@each_case
def test_fit_does_not_change_parameters_and_returns_itself(case):
    one, X, y = CASES[case]
    one = clone(one)
    before = one.get_params()
    assert one.fit(X, y) is one
    assert one.get_params() == before
    public = {name for name in vars(one) if not name.startswith("_")} - set(before)
    assert all(name.endswith("_") for name in public)


# ---- fits -----------------------------------------------------------------------------------------------------------


@each_case
def test_what_is_not_fitted_says_so(case):
    one, X, y = CASES[case]
    with pytest.raises(NotFittedError):
        clone(one).predict(X)
    with pytest.raises(NotFittedError):
        clone(one).score(X, y)


@each_case
def test_a_second_fit_is_the_first(case):
    one, X, y = CASES[case]
    first = fit(case)
    assert same(first, clone(one).fit(X, y).fit(X, y))
    other = fit(case, random_state=1)
    assert not same(first, other)
    assert same(first, other.set_params(random_state=0).fit(X, y))


@each_case
def test_pickles_predict_the_same_bits(case):
    one = fit(case)
    other = pickle.loads(pickle.dumps(one))
    X = CASES[case][1]
    assert np.array_equal(flat(other.predict(X)), flat(one.predict(X)))
    assert isinstance(other.model_, torch.nn.Module)
    assert not other.model_.training


@each_case
def test_input_and_global_state_stay(case):
    _, X, y = CASES[case]
    before, state = pickle.dumps((X, y)), torch.get_rng_state()
    one = fit(case)
    one.predict(X)
    one.score(X, y)
    assert pickle.dumps((X, y)) == before
    assert torch.equal(torch.get_rng_state(), state)


@each_case
def test_feature_counts(case):
    one = fit(case)
    assert one.n_features_in_ == {"steps": 2, "words": 1, "frame": 2, "long": 3}[case]
    assert one.n_steps_ == 60


@each_case
def test_partial_fit_goes_on_after_a_pickle(case):
    one, X, y = CASES[case]
    first = {"classes": np.unique(np.concatenate(y))} if y is not None else {}
    one = clone(one).partial_fit(X, y, **first)
    steps = one.n_steps_
    other = pickle.loads(pickle.dumps(one))
    assert same(one.partial_fit(X, y), other.partial_fit(X, y))
    assert one.n_steps_ == 2 * steps


@each_case
def test_search_and_cross_validation(case):
    one, X, y = CASES[case]
    if case == "long":
        return  # rows of several series are not split by their number
    cv = TimeSeriesSplit(2) if case == "frame" else 2
    assert np.isfinite(cross_val_score(clone(one), X, y, cv=cv, error_score="raise")).all()
    search = GridSearchCV(clone(one), {"cell": ["lstm", "gru"]}, cv=cv, error_score="raise").fit(X, y)
    assert set(search.best_params_) == {"cell"}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["steps", "words", "frame"])
def test_search_in_two_processes_is_that_of_one(case):
    one, X, y = CASES[case]
    cv = TimeSeriesSplit(2) if case == "frame" else 2
    found = [GridSearchCV(clone(one), {"hidden": [2, 8]}, cv=cv, n_jobs=jobs).fit(X, y) for jobs in (1, 2)]
    assert np.array_equal(*(each.cv_results_["mean_test_score"] for each in found))


def test_pipelines():
    halves = FunctionTransformer(lambda sequences: [one / 2 for one in sequences])
    assert make_pipeline(halves, clone(TAGGER)).fit(STEPS, LABELS).score(STEPS, LABELS) > 0.8
    assert len(make_pipeline(FunctionTransformer(), clone(FORECASTER)).fit(FRAME).predict(FRAME)) == 7


@pytest.mark.parametrize("kind", [SequenceTagger, Forecaster])
def test_examples_in_docstrings_run(kind):
    tests = doctest.DocTestFinder().find(kind, kind.__name__, globs={"carrousel": carrousel})
    assert any(test.examples for test in tests)
    assert all(doctest.DocTestRunner().run(test).failed == 0 for test in tests)


# ---- SequenceTagger -------------------------------------------------------------------------------------------------


def test_forms_of_steps_and_labels(tmp_path):
    X, lengths = np.concatenate(STEPS).astype(np.float32), np.array([len(one) for one in STEPS])
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one = clone(TAGGER).fit(mapped, np.concatenate(LABELS), lengths)
    assert same(one, clone(TAGGER).fit([each.astype(np.float32) for each in STEPS], LABELS))
    assert one.classes_.tolist() == ["high", "low"]
    assert [len(each) for each in one.predict(mapped, lengths)] == lengths.tolist()
    equal = np.stack([each[[0, -1]] for each in STEPS])
    labels = np.stack([each[[0, -1]] for each in LABELS])
    assert same(clone(TAGGER).fit(equal, labels), clone(TAGGER).fit(list(equal), list(labels)))


def test_words_end_to_end_are_sentences():
    lengths = [len(one) for one in SENTENCES]
    one = clone(WORDS).fit([w for s in SENTENCES for w in s], [t for s in TAGS for t in s], lengths)
    assert same(one, fit("words"))
    assert flat(one.predict([["the", "zebra"]])).shape == (2,)


@pytest.mark.parametrize("case", ["steps", "words"])
def test_steps_are_learned_and_do_not_depend_on_what_is_beside(case):
    _, X, y = CASES[case]
    one = fit(case, steps=300)
    assert one.score(X, y) > 0.9
    chances = one.predict_proba(X)
    np.testing.assert_allclose(flat(chances).sum(1), 1, rtol=1e-6)
    for sequence, expected in zip(X[:8], chances):
        np.testing.assert_allclose(one.predict_proba([sequence])[0], expected, rtol=1e-5 if case == "words" else 1e-9)
    weights = np.arange(len(X)) == 0
    assert one.score(X, y, sample_weight=weights) == one.score(X[:1], y[:1])


def test_crf_is_another_output():
    assert not np.array_equal(
        flat(fit("words").predict_proba(SENTENCES)), flat(fit("words", crf=False).predict_proba(SENTENCES))
    )


def test_names_of_columns_are_checked():
    frames = [pd.DataFrame(one, columns=["level", "noise"]) for one in STEPS]
    one = clone(TAGGER).fit(frames, LABELS)
    assert one.feature_names_in_.tolist() == ["level", "noise"]
    with pytest.raises(ValueError, match="feature names should match"):
        one.predict([frame[["noise", "level"]] for frame in frames])


BAD_TAGS: dict[str, tuple[Any, Any, Any, str]] = {
    "too_few": (STEPS, [*LABELS[:-1], LABELS[-1][:-1]], ValueError, "sequence 59 has . steps, and y has . labels"),
    "no_lists": (STEPS, ["low"] * 60, ValueError, "y has 60 labels, and X has .* steps in 60 sequences"),
    "sequences": (STEPS, LABELS[:-1], ValueError, "inconsistent numbers of samples"),
    "types": (STEPS, [np.ones(len(STEPS[0])), *LABELS[1:]], TypeError, r"several types \(float, str\)"),
    "one_class": (STEPS, [["a"] * len(one) for one in STEPS], ValueError, "y has 1 class"),
    "none": (STEPS, None, ValueError, "requires y to be passed"),
    "texts": (["the dog"], [["D"]], TypeError, "is the text 'the dog', and not a list of words"),
    "no_words": ([["a"], []], [["D"], []], ValueError, "sentence 1 has no words"),
    "no_text": ([["a", 1.0]], [["D", "N"]], TypeError, "sentence 0, word 1 is 1.0"),
}


@pytest.mark.parametrize("case", BAD_TAGS)
def test_what_cannot_be_tagged(case):
    X, y, kind, says = BAD_TAGS[case]
    with pytest.raises(kind, match=says):
        clone(TAGGER).fit(X, y)


def test_numbers_are_not_words():
    with pytest.raises(ValueError, match="X has numbers, and SequenceTagger was fitted on words"):
        fit("words").predict(STEPS)
    with pytest.raises(ValueError, match="X has words, and SequenceTagger was fitted on numbers"):
        fit("steps").predict(SENTENCES)


# ---- Forecaster -----------------------------------------------------------------------------------------------------


def test_a_forecast_has_the_form_of_the_frame():
    found = fit("frame").predict()
    assert list(found.columns[:4]) == ["sold", "q0.1(sold)", "q0.5(sold)", "q0.9(sold)"]
    expected = pd.date_range(DAYS[-1] + pd.Timedelta(days=1), periods=7)
    assert found.index.name == "day"
    assert (found.index == expected).all()
    assert (found["q0.1(sold)"] <= found["q0.9(sold)"]).all()
    long = fit("long").predict(horizon=3)
    assert long["unique_id"].tolist() == ["a"] * 3 + ["b"] * 3
    assert (long["ds"] == [*expected[:3]] * 2).all()


@pytest.mark.parametrize(
    "index",
    [
        pd.period_range("2001-01", periods=120, freq="M"),
        pd.date_range("2001-01", periods=120, freq="ME"),
        pd.date_range("2001-01-01", periods=120, freq="h", tz="Asia/Tokyo"),
        pd.RangeIndex(50, 170),
    ],
    ids=["period", "month_end", "zone", "range"],
)
def test_indexes_continue(index):
    found = clone(FORECASTER).fit(pd.Series(SOLD[:113], index[:113])).predict()
    assert (found.index == index[113:]).all()
    assert found.columns[0] == "y"


def test_seasons_are_learned():
    one = fit("frame", steps=600).set_params(horizon=7)
    one.fit(FRAME[:106])
    assert one.score(FRAME) > -1.5
    assert one.horizon_ == one.season_ == 7
    assert abs(one.predict()["sold"].to_numpy() - SOLD[106:113]).mean() < 8


def test_rows_after_the_end_continue_the_series():
    one = clone(FORECASTER).fit(FRAME[:100])
    later, whole = one.predict(FRAME[100:110]), one.predict(FRAME[:110])
    pd.testing.assert_frame_equal(later, whole)
    assert one.predict(FRAME[100:101]).index[0] == DAYS[101]
    assert one.score(FRAME[100:]) == one.score(FRAME) == one.score(FRAME[90:])
    assert one.score(FRAME) != one.score(FRAME[:100])


def test_what_is_known_for_the_future_is_read():
    offer = (np.arange(127) % 10 == 3).astype(float)
    one = clone(FORECASTER).set_params(known="offer").fit(FRAME.assign(offer=offer[:120]))
    future = pd.DataFrame({"offer": offer[120:]}, index=pd.date_range(DAYS[-1] + pd.Timedelta(days=1), periods=7))
    found = one.predict(future)
    assert (found.index == future.index).all()
    assert not np.allclose(found["sold"], one.predict(1 - future)["sold"])
    with pytest.raises(ValueError, match="0 rows after the last sold, and 7 are needed"):
        one.predict()


def test_arrays_and_memory_maps(tmp_path):
    np.save(tmp_path / "x.npy", SOLD)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one = clone(FORECASTER).fit(mapped)
    assert same(one, clone(FORECASTER).fit(SOLD[:, None]))
    assert one.predict().index.tolist() == list(range(120, 127))
    assert one.score(SOLD[:60]) < 0


def test_names_of_columns_of_a_frame_are_checked():
    one = fit("frame")
    assert one.feature_names_in_.tolist() == ["sold", "cost"]
    pd.testing.assert_frame_equal(one.predict(FRAME[["cost", "sold"]]), one.predict(FRAME))
    with pytest.raises(ValueError, match=r"feature names should match .* unseen \['z'\], missing \[\]"):
        one.predict(FRAME.assign(z=1.0))


BAD_FRAMES = {
    "gap": (FRAME.drop(index=DAYS[5]), "the steps are not even: 2024-01-05 .row 4. is followed by 2024-01-07"),
    "twice": (pd.concat([FRAME, FRAME]), "there is the time 2024-01-01 twice, at row 0 and row 120"),
    "texts": (FRAME.assign(z="r"), "row 0, column 'z': 'r' is not a number"),
    "infinite": (FRAME.assign(z=np.inf), "row 0, column 'z': inf is beyond float32"),
    "missing": (FRAME.assign(z=[np.nan, *SOLD[1:]]), "z missing at step 1.*impute"),
    "short": (FRAME[:8], r"no series is long enough: the longest has 8 steps"),
}


@pytest.mark.parametrize("case", BAD_FRAMES)
def test_what_cannot_be_forecast(case):
    X, says = BAD_FRAMES[case]
    with pytest.raises(ValueError, match=says):
        clone(FORECASTER).set_params(window=14).fit(X)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"horizon": 0}, "horizon=0 is not allowed"),
        ({"window": "14"}, "window='14' is not allowed"),
        ({"quantiles": (0.5, 2.0)}, "quantiles '0.5,2.0' is not allowed"),
        ({"target": "bought"}, "X has no column 'bought'"),
        ({"impute": "magic"}, "impute='magic' is not one of"),
    ],
)
def test_parameters_that_are_not_allowed(options, says):
    with pytest.raises(ValueError, match=says):
        clone(FORECASTER).set_params(**options).fit(FRAME)


def test_more_steps_than_the_horizon_are_refused():
    with pytest.raises(ValueError, match="horizon=8 is not allowed: this model predicts 1 to 7 steps"):
        fit("frame").predict(horizon=8)


def test_missing_values_are_replaced_and_counted():
    holes = FRAME.copy()
    holes.iloc[10, 0] = np.nan
    with pytest.warns(UserWarning, match=r"1 missing values were replaced where they are read \(impute last\)"):
        one = clone(FORECASTER).set_params(impute="last").fit(holes)
    assert np.isfinite(one.predict().to_numpy()).all()
