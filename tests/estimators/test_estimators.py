"""Fits: what they depend on, what they leave alone, targets, parameters, partial_fit, and the tools of scikit-learn."""

from __future__ import annotations

import doctest
import inspect
import pickle
import re
import threading

import numpy as np
import pytest
import sklearn
import torch
from ragged import LABELS, SMALL, end_to_end, means, pad, ragged
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import carrousel.estimators
from carrousel.estimators import SequenceClassifier, SequenceRegressor
from carrousel.estimators.base import EPOCHS, STEPS

X, y = ragged()
FLAT, LENGTHS = end_to_end(X)
NEW, NEW_LABELS = ragged(seed=1)

each_estimator = pytest.mark.parametrize(
    ("estimator", "targets"),
    [(SequenceClassifier(**SMALL), y), (SequenceRegressor(**SMALL), means(X))],
    ids=["classifier", "regressor"],
)


def weights(one) -> list[torch.Tensor]:
    return list(one.model_.state_dict().values())


def same(one, other) -> bool:
    """Whether two fits have the same weights, bit for bit."""
    return all(torch.equal(ours, theirs) for ours, theirs in zip(weights(one), weights(other), strict=True))


# ---- what a fit depends on, and leaves alone ------------------------------------------------------------------------


@each_estimator
def test_a_seed_gives_the_same_weights_whatever_else_runs(estimator, targets):
    first = clone(estimator).fit(X, targets)
    torch.manual_seed(123)
    with torch.no_grad():
        second = clone(estimator).fit(X, targets)
    with torch.inference_mode():
        third = clone(estimator).fit(X, targets)
    assert same(first, second)
    assert same(first, third)
    assert not same(first, clone(estimator).set_params(random_state=1).fit(X, targets))


def test_fits_in_threads_do_not_disturb_each_other():
    """Dropout reads torch's generator, which is one for all threads."""
    expected = SequenceClassifier(**SMALL).fit(X, y)
    found: list[SequenceClassifier] = []
    threads = [threading.Thread(target=lambda: found.append(SequenceClassifier(**SMALL).fit(X, y))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert all(same(one, expected) for one in found)


@each_estimator
def test_global_state_stays(estimator, targets):
    threads = torch.get_num_threads()
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = clone(estimator).fit(X, targets)
    one.predict(X)
    one.partial_fit(X, targets)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()
    try:
        torch.set_default_dtype(torch.float64)
        assert same(clone(estimator).fit(X, targets), clone(estimator).fit(X, targets))
        assert torch.get_default_dtype() == torch.float64
        with pytest.raises(ValueError, match="lr -1"):
            clone(estimator).set_params(lr=-1).fit(X, targets)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@each_estimator
def test_a_prediction_does_not_depend_on_the_sequences_beside_it(estimator, targets):
    one = clone(estimator).fit(X, targets)
    method = getattr(one, "predict_proba", one.predict)
    whole = method(NEW)
    alone = np.concatenate([method([each]) for each in NEW])
    np.testing.assert_allclose(alone, whole, rtol=1e-13)
    np.testing.assert_allclose(method(NEW[::-1]), whole[::-1], rtol=1e-13)


# ---- what it learns -------------------------------------------------------------------------------------------------


def test_labels_are_learned():
    one = SequenceClassifier(**{**SMALL, "steps": 300}).fit(X, y)
    assert one.classes_.tolist() == sorted(LABELS)
    assert one.score(NEW, NEW_LABELS) >= 0.9
    probabilities = one.predict_proba(NEW)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    assert np.array_equal(one.classes_[probabilities.argmax(1)], one.predict(NEW))


def test_numbers_are_learned_in_any_unit():
    """Years and masses in kilograms: far from 0, or very small."""
    targets = np.stack([2000 + means(X), 1e-20 * means(X)], 1)
    one = SequenceRegressor(**{**SMALL, "steps": 300}).fit(X, targets)
    assert one.predict(NEW).shape == (len(NEW), 2)
    assert one.score(NEW, np.stack([2000 + means(NEW), 1e-20 * means(NEW)], 1)) > 0.8


@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 3)])
def test_predictions_have_the_shape_of_y(shape):
    one = SequenceRegressor(**SMALL).fit(X, np.resize(means(X), shape))
    assert one.predict(X).shape == shape
    assert one.predict(X[:1]).shape == (1, *shape[1:])
    assert one.predict(X).dtype == np.float64


def test_a_number_that_never_changes_is_predicted():
    np.testing.assert_allclose(SequenceRegressor(**SMALL).fit(X, np.full(60, 3.0)).predict(NEW), 3.0, atol=0.2)


@pytest.mark.parametrize(
    "labels", [y.astype(object), np.arange(60) % 3, np.arange(60) % 3 - 1.0, np.arange(60) % 2 == 0]
)
def test_labels_of_any_type(labels):
    one = SequenceClassifier(**SMALL).fit(X, labels)
    assert one.classes_.dtype == np.asarray(labels).dtype
    assert set(one.predict(X)) <= set(labels)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.full(60, "a"), "needs two classes or more, and y has 1 class: .*'a'"),
        (np.linspace(0, 1, 60), "continuous"),
        (np.full(60, np.nan), "NaN"),
        (np.array(["a", "b", None] * 20, object), r"labels of several types \(NoneType, str\)"),
        (None, "requires y to be passed, but the target y is None"),
    ],
)
def test_labels_that_are_no_classes(labels, says):
    with pytest.raises((ValueError, TypeError), match=says):
        SequenceClassifier(**SMALL).fit(X, labels)


# ---- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceRegressor])
def test_parameters_are_the_options_of_the_task_and_documented(kind):
    parameters = set(inspect.signature(kind).parameters)
    ours = {"valid_fraction", "impute", "layout", "random_state"}
    assert parameters == set(kind._task.options.describe()) - {"seed", "save_every"} | ours
    assert [
        name for name in parameters if not re.search(rf"^        (\w+, )*{name}(, \w+)*: ", kind.__doc__, re.M)
    ] == []


OTHER = {
    "hidden": 9, "layers": 2, "cell": "gru", "directions": "forward", "pool": "mean", "dropout": 0.2, "noise": 0.1,
    "shift": 0.1, "smoothing": 0.1, "batch": 16, "optimizer": "adam", "lr": 0.001, "weight_decay": 0.5,
    "schedule": "linear", "clip": 0.01, "steps": 61, "valid_fraction": 0.3, "random_state": 1,
}  # fmt: skip
ELSEWHERE = {"epochs", "minutes", "patience", "impute", "layout", "device"}  # have tests of their own


def test_every_parameter_has_a_test():
    assert {*OTHER, *ELSEWHERE} == set(inspect.signature(SequenceClassifier).parameters)


@pytest.fixture(scope="module")
def usual():
    return SequenceClassifier(**SMALL).fit(X, y)


@pytest.mark.parametrize("name", OTHER)
def test_every_parameter_changes_the_weights(name, usual):
    other = SequenceClassifier(**{**SMALL, name: OTHER[name]}).fit(X, y)
    ours, theirs = usual.model_.state_dict(), other.model_.state_dict()
    assert ours.keys() != theirs.keys() or any(
        ours[key].shape != theirs[key].shape or not torch.equal(ours[key], theirs[key]) for key in ours
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch": 0, "steps": None}, "^batch 0 is not allowed: it must be at least 1"),
        ({"hidden": "64"}, "^hidden='64' is not a number"),
        ({"hidden": 0}, "^hidden 0 is not allowed: it must be at least 1"),
        ({"cell": "ltsm"}, "^cell ltsm is not one of lstm, gru"),
        ({"weight_decay": -1}, "^weight_decay -1 is not allowed"),
        ({"epochs": 2}, "^steps and epochs both say when to end: give one of them"),
        ({"valid_fraction": 1.0}, "^valid_fraction=1.0 is not allowed"),
        ({"patience": 2}, "^patience counts validations, and there are none: set valid_fraction above 0"),
        ({"device": "abacus"}, "^device abacus cannot be used"),
        ({"optimizer": "sgd", "lr": 1e38, "clip": 0, "schedule": "constant"}, "became (nan|inf) at step .* lower lr"),
    ],
)
def test_parameters_that_are_not_allowed(options, says):
    with pytest.raises((ValueError, TypeError), match=says):
        SequenceClassifier(**{**SMALL, **options}).fit(X, y)


def test_what_ends_a_fit():
    few = {**SMALL, "hidden": 2, "steps": None}
    assert SequenceClassifier(**few, epochs=3).fit(X, y).n_steps_ == 6
    assert SequenceClassifier(**few, minutes=0.001).fit(X, y).n_steps_ > 0
    assert SequenceClassifier(**few).fit(X, y).n_steps_ == STEPS
    assert SequenceClassifier(**few, batch=1).fit(X, y).n_steps_ == EPOCHS * 60


def test_patience_ends_a_fit_with_the_best_weights():
    """Labels without a pattern: the more is learned, the worse."""
    labels = np.random.default_rng(0).permutation(y)
    options = {**SMALL, "steps": 500, "lr": 0.05, "dropout": 0.0, "noise": 0.0, "shift": 0.0, "valid_fraction": 0.4}
    one = SequenceClassifier(**options, patience=3).fit(X, labels)
    assert one.n_steps_ < 500
    assert one.curve_.since_best == 3
    best = SequenceClassifier(**{**options, "patience": 0}).fit(X, labels)
    assert best.n_steps_ == 500
    assert best.curve_.best.loss < best.curve_.valid[-1].loss


def test_numbers_of_numpy_are_numbers():
    one = SequenceClassifier(**{**SMALL, "hidden": np.int64(8), "dropout": np.float64(0.5)}).fit(X, y)
    assert same(one, SequenceClassifier(**SMALL).fit(X, y))


# ---- partial_fit ----------------------------------------------------------------------------------------------------


def test_partial_fit_learns_from_batches():
    one = SequenceClassifier(**SMALL)
    for turn in range(40):
        part = slice(turn % 3 * 20, turn % 3 * 20 + 20)
        one.partial_fit(X[part], y[part], classes=LABELS if turn == 0 else None)
    assert one.n_steps_ == 40
    assert one.score(NEW, NEW_LABELS) > 0.8


@each_estimator
def test_partial_fit_keeps_the_optimizers_state(estimator, targets):
    """Stored and read back between two calls, it goes on as if it had never been stored."""
    one = clone(estimator)
    first = {"classes": LABELS} if isinstance(one, SequenceClassifier) else {}
    one.partial_fit(X, targets, **first)
    other = pickle.loads(pickle.dumps(one))
    forgetful = pickle.loads(pickle.dumps(one))
    forgetful._optimizer_state = {}
    for each in (one, other, forgetful):
        each.partial_fit(X, targets)
    assert same(one, other)
    assert not same(one, forgetful)
    assert one.n_steps_ == 4


@each_estimator
def test_partial_fit_continues_after_fit(estimator, targets):
    one = clone(estimator).fit(X, targets)
    before = [tensor.clone() for tensor in weights(one)]
    one.set_params(lr=1e-6, noise=0.0, shift=0.0).partial_fit(X, targets)
    assert one.n_steps_ == SMALL["steps"] + 2
    for now, then in zip(weights(one), before):
        torch.testing.assert_close(now, then, rtol=0, atol=1e-4)
    assert not all(torch.equal(now, then) for now, then in zip(weights(one), before))


def test_partial_fit_of_a_classifier_needs_all_classes_first():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SequenceClassifier(**SMALL).partial_fit(X, y)
    one = SequenceClassifier(**SMALL).partial_fit(X[:1], y[:1], classes=LABELS)
    with pytest.raises(ValueError, match="not the same as in the first call"):
        one.partial_fit(X, y, classes=["a", "b"])
    with pytest.raises(ValueError, match=r"labels that are not among the classes .*'odd'"):
        one.partial_fit(X[:2], ["odd", "slow"])
    one = SequenceRegressor(**SMALL).partial_fit(X, means(X))
    with pytest.raises(ValueError, match="y has 2 numbers for a sequence, and had 1 in the first call"):
        one.partial_fit(X, np.zeros((60, 2)))
    with pytest.raises(ValueError, match="parameters of the network changed since the last call"):
        one.set_params(hidden=9).partial_fit(X, means(X))


# ---- the tools of scikit-learn --------------------------------------------------------------------------------------


@each_estimator
def test_pickle_predicts_the_same_bits_and_holds_no_data(estimator, targets):
    many, labels = X * 50, np.tile(targets, 50)
    one = clone(estimator).fit(many, labels)
    stored = pickle.dumps(one)
    assert np.array_equal(pickle.loads(stored).predict(NEW), one.predict(NEW))
    assert len(stored) < 30_000 < sum(each.nbytes for each in many)


@each_estimator
def test_clone_and_parameters(estimator, targets):
    one = clone(estimator).fit(X, targets)
    copy = clone(one)
    assert copy.get_params() == one.get_params()
    assert not hasattr(copy, "model_")
    assert isinstance(one.model_, torch.nn.Module)
    assert not one.model_.training
    assert all(weight.grad is None for weight in one.model_.parameters())


@each_estimator
def test_cross_validation_of_a_list(estimator, targets):
    scores = cross_val_score(estimator, X, targets, cv=3)
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    assert cross_val_predict(estimator, X, targets, cv=3).shape == targets.shape


@each_estimator
def test_grid_search_of_a_list(estimator, targets):
    grid = {"hidden": [2, 8], "cell": ["lstm", "gru"]}
    found = GridSearchCV(estimator, grid, cv=2, error_score="raise").fit(X, targets)
    assert set(found.best_params_) == set(grid)
    assert found.predict(NEW).shape == (60,)


def test_pipeline_of_a_list():
    halves = FunctionTransformer(lambda sequences: [one[::2] for one in sequences])
    one = make_pipeline(halves, SequenceClassifier(**SMALL)).fit(X, y)
    assert same(one[-1], SequenceClassifier(**SMALL).fit([each[::2] for each in X], y))


def test_lengths_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        last = SequenceClassifier(**SMALL).set_fit_request(lengths=True).set_predict_request(lengths=True)
        last.set_score_request(lengths=True)
        one = make_pipeline(StandardScaler(), last).fit(FLAT, y, lengths=LENGTHS)
        expected = SequenceClassifier(**SMALL).fit(StandardScaler().fit_transform(FLAT), y, LENGTHS)
        assert same(one[-1], expected)
        assert one.predict(FLAT, lengths=LENGTHS).shape == (60,)
        assert one.score(FLAT, y, lengths=LENGTHS) > 0.5
        padded = cross_val_score(last, pad(X), y, params={"lengths": LENGTHS}, cv=3)
    assert np.array_equal(padded, cross_val_score(SequenceClassifier(**SMALL), X, y, cv=3))


def test_examples_in_docstrings_run():
    for kind in (SequenceClassifier, SequenceRegressor):
        tests = doctest.DocTestFinder().find(kind, kind.__name__, globs={"carrousel": carrousel})
        assert any(test.examples for test in tests)
        for test in tests:
            assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
