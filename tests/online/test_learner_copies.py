"""A Learner copied, pickled or saved goes its own way; what would spoil a file, or cannot be one, is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from carrousel.errors import UserError
from carrousel.online import Learner, Network

NETWORK = Network(2, 1, 2, 2, biased="all", input_gate_bias=(-3.0, -6.0))
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda learner: pickle.loads(pickle.dumps(learner)),
}


def after(steps, **options):
    """A learner in the middle of a stream."""
    learner = Learner(NETWORK, 0.5, seed=1, **options)
    for t in range(steps):
        learner.learn_one([0.1 * t, 0.5], [0.3] if t % 2 else None)
    return learner


def told(learner):
    """What it says and becomes, in five steps more and after a reset."""
    said = [learner.learn_one([0.1 * t, -0.5], [0.9]) for t in range(5)]
    learner.reset()
    return b"".join(array.tobytes() for array in (*said, learner.weights, learner.states)), learner.steps


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("options", [{}, {"update": "sequence", "dtype": "float64", "error": "entropy"}], ids=str)
def test_a_copy_goes_on_bit_for_bit_and_leaves_its_original_alone(copied, options):
    learner, twin = after(7, **options), after(7, **options)
    other = copied(learner)
    assert told(other) == told(twin)
    assert (learner.weights == after(7, **options).weights).all()  # not moved by the copy's steps
    assert told(learner) == told(after(7, **options))


def test_a_learner_that_has_diverged_leaves_the_file_of_before(tmp_path):
    """Its file could not be loaded, and had taken the place of one that could."""
    learner = Learner(Network(2, 1, 2, 2, biased="all", output="linear"), 1e10, seed=1)
    learner.save(tmp_path / "learner")
    before = (tmp_path / "learner").read_bytes()
    for _ in range(5):
        learner.learn_one([1.0, 1.0], [1e30])
    assert not np.isfinite(learner.weights).all()
    with pytest.raises(UserError, match=r"diverged at rate=10000000000.0.*learner stays as it was; .* a smaller rate"):
        learner.save(tmp_path / "learner")
    assert (tmp_path / "learner").read_bytes() == before


@pytest.mark.parametrize("update", ["step", "sequence"])
def test_the_rate_may_be_set_and_the_rule_may_not(update):
    """Once it was an attribute that nothing read: what learned went on as before, and what was saved did not."""
    learner, twin = after(3, update=update), after(3, update=update)
    learner.rate = 0.0
    with pytest.raises(ValueError, match=r"rate=nan"):
        learner.rate = float("nan")
    before = learner.weights
    told(learner)
    told(twin)
    assert learner.rate == 0.0
    assert (learner.weights == before).all()
    assert (twin.weights != before).any()
    for name, value in (("update", "step"), ("error", "entropy")):
        with pytest.raises(AttributeError, match=name):
            setattr(learner, name, value)


TENSORS = {
    "wants a gradient": torch.ones(2, requires_grad=True),
    "bfloat16": torch.ones(2, dtype=torch.bfloat16),
    "meta": torch.ones(2, device="meta"),
}


@pytest.mark.parametrize("x", TENSORS.values(), ids=TENSORS)
def test_a_tensor_that_is_no_array_is_named(x):
    learner = after(3)
    for call in (learner.predict_one, learner.learn_one, learner.learn_many):
        with pytest.raises(ValueError, match=r"^x=tensor\(.* is not an array: "):
            call(x)
    with pytest.raises(ValueError, match=r"^weights=tensor\(.* is not an array: "):
        learner.weights = x
    assert told(learner) == told(after(3))


@pytest.mark.parametrize(
    ("dtype", "value", "most"), [("float32", 1e39, "3.4e\\+38"), ("float64", np.inf, "1.8e\\+308")]
)
def test_the_largest_number_is_told(dtype, value, most):
    learner = Learner(NETWORK, 0.5, dtype=dtype)
    dtype = str(learner.dtype)  # float64, where nothing is compiled
    if dtype == "float64":
        value, most = np.inf, "1.8e\\+308"
    for call in (lambda: learner.learn_one([1.0, value]), lambda: learner.learn_many([[1.0, value]])):
        with pytest.raises(ValueError, match=f"x holds {value}.*up to {most}".replace("1e+39", r"1e\+39")):
            call()


@pytest.mark.parametrize(
    "sizes",
    [(10**12, 1, 1), (2**31, 1, 1), (1, 2**31, 1), (1, 1, 100_000, 100_000), (1, 1, 0, 1, 2**16)],
    ids=str,
)
def test_more_weights_than_the_native_side_can_count_are_refused(sizes):
    with pytest.raises(ValueError, match=rf"inputs={sizes[0]}, .* weights"):
        Network(*sizes)
