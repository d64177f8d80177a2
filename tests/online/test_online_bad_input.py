"""Bad input to the network of 1997 and its learner: an error names the argument, and nothing changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lstm1997_input import NETWORK, WEIGHTS

from carrousel import checkpoint
from carrousel.errors import UserError
from carrousel.online.learner import Learner
from carrousel.online.lstm1997.network import Network

# ---- descriptions ---------------------------------------------------------------------------------------------------

number = st.integers(-2, 4)
anything = st.one_of(st.none(), st.booleans(), number, st.floats(), st.text(max_size=3), st.lists(number, max_size=3))
biases = st.one_of(anything, st.tuples(st.floats(-9, 0), st.floats(-9, 0)), st.lists(anything, max_size=3))
ARGUMENTS = {
    "inputs": anything,
    "outputs": anything,
    "blocks": anything,
    "block_size": anything,
    "hidden": anything,
    "output_gates": anything,
    "connectivity": st.sampled_from(["F", "B", "f", "", None]),
    "biased": st.sampled_from(["none", "gates", "hidden", "all", "some", None]),
    "input_gate_bias": biases,
    "output_gate_bias": biases,
    "weight_range": anything,
    "g": st.sampled_from(["g1", "g2", "g3", 1]),
    "h": st.sampled_from(["h1", "id", "h2", None]),
    "output": st.sampled_from(["logistic", "linear", "softmax"]),
}
CHANGES = st.lists(st.sampled_from(sorted(ARGUMENTS)), max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: ARGUMENTS[name] for name in names})
)


def made(changes):
    """The network, or what is said against it."""
    try:
        return Network(**{"inputs": 2, "outputs": 1, "blocks": 2, **changes}), None
    except ValueError as error:
        return None, str(error)


@given(changes=CHANGES)
def test_a_description_is_right_or_refused_by_name(changes):
    """No other exception, no network that cannot be drawn."""
    network, error = made(changes)
    if network is None:
        assert any(name in error for name in changes)
        return
    weights = network.initial_weights(0)
    assert weights.shape == (network.weight_count,)
    assert np.isfinite(weights).all()
    for given_bias, at in (
        (network.input_gate_bias, network.input_gates),
        (network.output_gate_bias, network.output_gate_units),
    ):
        if given_bias is not None:
            assert network.split(weights).hidden_bias[at].tolist() == list(given_bias)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"block_size": 0}, "block_size=0"),
        ({"biased": "all", "input_gate_bias": (-1.0, -2.0, -3.0)}, r"input_gate_bias=\(-1.0, -2.0, -3.0\) must be 2"),
        ({"biased": "all", "input_gate_bias": -3.0}, "input_gate_bias=-3.0 must be 2"),
        ({"biased": "all", "output_gate_bias": "12"}, "output_gate_bias='12'"),
        ({"biased": "all", "input_gate_bias": ("a", "b")}, r"input_gate_bias=\('a', 'b'\)"),
        ({"blocks": 0, "hidden": 3, "biased": "gates"}, 'biased="gates".*blocks=0'),
        ({"blocks": 0, "hidden": 3, "biased": "all", "input_gate_bias": (-1.0,)}, r"input_gate_bias=\(-1.0,\)"),
        ({"weight_range": True}, "weight_range=True"),
        ({"weight_range": 1e300}, "weight_range=1e"),
    ],
    ids=str,
)
def test_the_argument_and_its_value_are_told(wrong, says):
    with pytest.raises(ValueError, match=says):
        Network(**{"inputs": 2, "outputs": 1, "blocks": 2, **wrong})


def test_numpys_numbers_describe_a_network_as_pythons_do(tmp_path):
    network = Network(np.int64(2), np.int32(3), 2, 2, biased="all", weight_range=np.float64(0.5))
    assert network == NETWORK
    Learner(network, np.float32(0.1)).save(tmp_path / "learner")  # JSON holds it
    assert Learner.load(tmp_path / "learner").network == NETWORK


@pytest.mark.parametrize("seed", ["x", -1, 1.5])
def test_a_seed_that_is_none_is_told(seed):
    with pytest.raises(ValueError, match=f"seed {seed!r}"):
        NETWORK.initial_weights(seed)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        NETWORK.split(weights)


# ---- the learner ----------------------------------------------------------------------------------------------------


def everything(learner):
    """All that a Learner keeps, weights, states, derivatives and collected changes among it."""
    memory = learner._engine.memory()
    kept = (memory, learner.weights, learner.states, learner.activations)
    return [learner.steps, *(array.tobytes() for array in kept)]


@pytest.fixture(scope="module")
def learner():
    """One that is in the middle of a sequence; weights change at its end."""
    learner = Learner(NETWORK, 0.3, update="sequence")
    for x, y in (([0.3, -0.2], [0.7, 0.1, 0.2]), ([1.0, 0.5], None), ([-1.0, 0.5], [0.1, 0.9, 0.5])):
        learner.learn_one(x, y)
    return learner


def array_like(width):
    """Inputs or targets of the wrong shape, of the wrong kind, or with NaN or infinity in them."""
    bad = st.sampled_from([np.nan, np.inf, -np.inf, 1e39])
    holds = st.tuples(
        st.lists(st.floats(-1, 1), min_size=width - 1, max_size=width - 1), bad, st.integers(0, width - 1)
    )
    return st.one_of(
        st.lists(st.floats(-1, 1), max_size=6).filter(lambda values: len(values) != width),
        holds.map(lambda parts: [*parts[0][: parts[2]], parts[1], *parts[0][parts[2] :]]),
        st.integers(width, 99),
        st.integers(-99, -2),
        st.floats(-1, 1),
        st.text(max_size=3),
        st.lists(st.text(max_size=2), min_size=width, max_size=width),
        st.just([[0.5] * width]),
        st.just([0.5j] * width),
        st.just({}),
    )


@given(x=array_like(2))
def test_a_bad_input_changes_nothing_in_a_learner(learner, x):
    before = everything(learner)
    for call in (
        lambda: learner.learn_one(x, [0.5, 0.5, 0.5]),
        lambda: learner.learn_one(x),
        lambda: learner.predict_one(x),
    ):
        with pytest.raises(ValueError, match=r"\bx\b"):
            call()
    assert everything(learner) == before


@given(y=array_like(3))
def test_a_bad_target_changes_nothing_in_a_learner(learner, y):
    before = everything(learner)
    with pytest.raises(ValueError, match=r"\by\b"):
        learner.learn_one([0.5, 0.5], y)
    assert everything(learner) == before


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_bad_weights_change_nothing_in_a_learner(learner, weights):
    before = everything(learner)
    with pytest.raises(ValueError, match="weights"):
        learner.weights = weights
    assert everything(learner) == before


def test_a_learners_argument_of_another_type_is_told(learner, tmp_path):
    with pytest.raises(ValueError, match="network='net' must be a Network"):
        Learner("net", 0.1)
    for call, name in ((learner.predict_one, "x"), (learner.learn_one, "x"), (learner.learn_many, "x")):
        with pytest.raises(ValueError, match=rf"{name}=\[\[1.0\], \[1.0, 2.0\]\] is not an array"):
            call([[1.0], [1.0, 2.0]])
    with pytest.raises(ValueError, match=r"weights=.* is not an array"):
        learner.weights = [[1.0], [1.0, 2.0]]
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        Learner.load(tmp_path)
    with pytest.raises(UserError, match=r"does not exist: name a file that Learner\.save has written"):
        Learner.load(tmp_path / "nothing")


# ---- checkpoints ----------------------------------------------------------------------------------------------------


@given(cut=st.floats(0, 1, exclude_max=True))
def test_a_checkpoint_cut_anywhere_is_told(learner, tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "learner"
    learner.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(UserError, match="truncated"):
        Learner.load(path)


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_checkpoint_with_one_bit_changed_is_told(learner, tmp_path_factory, place, bit):
    path = tmp_path_factory.mktemp("bit") / "learner"
    learner.save(path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    with pytest.raises(UserError, match=str(path)):
        Learner.load(path)


def test_a_checkpoint_of_something_else_is_told(learner, tmp_path):
    path = tmp_path / "other"
    checkpoint.write(path, {"kind": "text"}, {"weights": torch.zeros(3)}, "free some space")
    with pytest.raises(UserError, match=f"{path} is a checkpoint, but not of a Learner"):
        Learner.load(path)
    learner.save(path)
    with pytest.raises(ValueError, match=r"network=.*block_size=1.*is not the network in.*block_size=2"):
        Learner.load(path, Network(2, 3, 2, 1, biased="all", weight_range=0.5))
