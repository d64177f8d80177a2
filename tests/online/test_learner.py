"""The Learner equals the reference, compiled or not; what a call commits; files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from carrousel.errors import UserError
from carrousel.fused import kernels
from carrousel.online.learner import Learner
from carrousel.online.lstm1997 import engine as module
from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.reference import Reference

NETWORKS = {
    "experiment_4": Network(2, 1, 2, 2, biased="all", input_gate_bias=(-3, -6), weight_range=0.5),
    "experiment_6b": Network(8, 8, 3, 2, biased="all", weight_range=0.5),
    "experiment_2a": Network(9, 9, 1, 1, output_gates=False, connectivity="B", g="g1", h="id", weight_range=0.5),
    "conventional_linear": Network(3, 2, 2, 3, hidden=5, biased="hidden", output="linear", weight_range=0.5),
    "no_blocks": Network(3, 2, 0, connectivity="B"),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
compiled_only = pytest.mark.parametrize("backend", ["compiled"], indirect=True)


@pytest.fixture(params=["compiled", "reference"], autouse=True)
def backend(request, monkeypatch):
    """Each test runs with the compiled network and with the reference in its place."""
    if request.param == "reference":
        monkeypatch.setattr(module, "LSTM1997", None)
    elif kernels.LSTM1997 is None:
        pytest.skip("the compiled kernels are not built")
    return request.param


def stream(network, T, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.random((T, network.outputs))
    y[rng.random(T) < 0.4] = np.nan
    return rng.standard_normal((T, network.inputs)), y


def wanted(row):
    return None if np.isnan(row[0]) else row


def everything(learner):
    """All that a Learner keeps, to be compared."""
    memory = learner._engine.memory()
    return [learner.steps, *memory.tolist(), *learner.weights.tolist()]


@pytest.mark.parametrize("update", ["step", "sequence"])
@every_network
def test_learner_equals_the_reference_to_rounding(network, update):
    x, y = stream(network, 40)
    learner = Learner(network, 0.3, seed=2, update=update, dtype="float64")
    reference = Reference(network, network.initial_weights(2))
    for t in range(40):
        predicted, said = learner.predict_one(x[t]), learner.learn_one(x[t], wanted(y[t]))
        assert (predicted == said).all()
        assert np.abs(said - reference.step(x[t])).max() < 1e-12
        if wanted(y[t]) is not None:
            reference.learn(y[t])
        if update == "step":
            reference.apply(0.3)
        if t == 20:
            learner.reset()
            reference.apply(0.3)
            reference.reset()
    assert np.abs(learner.states - reference.s).max(initial=0) < 1e-12
    assert np.abs(learner.activations - reference.y).max(initial=0) < 1e-12
    learner.reset()
    reference.apply(0.3)
    assert np.abs(learner.weights - network.join(reference.weights)).max() < 1e-12


@every_network
def test_many_steps_are_single_steps(network):
    x, y = stream(network, 30)
    one, many = Learner(network, 0.3), Learner(network, 0.3)
    single = [one.learn_one(a, wanted(b)) for a, b in zip(x, y)]
    assert (many.learn_many(x, y) == np.array(single)).all()
    assert (one.weights == many.weights).all()
    assert one.steps == many.steps == 30


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("update", ["step", "sequence"])
@every_network
def test_saved_within_a_sequence_it_goes_on_bit_for_bit(network, update, dtype, tmp_path):
    x, y = stream(network, 60)
    whole = Learner(network, 0.3, update=update, dtype=dtype)
    said = whole.learn_many(x, y)
    whole.reset()
    for steps in (0, 1, 37, 60):
        learner = Learner(network, 0.3, update=update, dtype=dtype)
        learner.learn_many(x[:steps], y[:steps])
        learner.save(tmp_path / "learner.safetensors")
        again = Learner.load(tmp_path / "learner.safetensors", network)
        assert again.steps == steps
        assert (again.learn_many(x[steps:], y[steps:]) == said[steps:]).all()
        again.reset()  # where an update waits, it is applied here
        assert everything(again) == everything(whole)


def test_a_checkpoint_of_another_network_or_of_none_is_refused(tmp_path):
    path = tmp_path / "learner.safetensors"
    Learner(NETWORKS["experiment_4"], 0.3).save(path)
    with pytest.raises(ValueError, match="is not the network in"):
        Learner.load(path, NETWORKS["experiment_6b"])
    with pytest.raises(UserError, match="does not exist"):
        Learner.load(tmp_path / "nothing")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="truncated"):
        Learner.load(path)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([1.0], [0.5], "x has shape"),
        ([1.0, np.nan], [0.5], "x holds nan"),
        (2, [0.5], "x=2"),
        ([1.0, 2.0], [np.inf], "y holds inf"),
        ([1.0, 2.0], [0.5, 0.5], "y has shape"),
        ([1.0, 2.0], 1, "y=1"),
        ([1.0, 2.0], -1, "y=-1"),
        (["a", "b"], [0.5], "x has shape"),
    ],
    ids=str,
)
def test_a_call_that_fails_changes_nothing(x, y, says):
    network = NETWORKS["experiment_4"]
    learner, twin = Learner(network, 0.3), Learner(network, 0.3)
    for one in (learner, twin):
        one.learn_one([0.3, -0.2], [0.7])
    with pytest.raises(ValueError, match=says):
        learner.learn_one(x, y)
    assert learner.steps == 1
    assert (learner.learn_one([0.1, 0.2], [0.1]) == twin.learn_one([0.1, 0.2], [0.1])).all()
    assert (learner.weights == twin.weights).all()


@compiled_only
def test_a_number_beyond_float32_is_refused(backend):
    learner = Learner(NETWORKS["experiment_4"], 0.3)
    with pytest.raises(ValueError, match=r"x holds 1e\+39"):
        learner.learn_one([1.0, 1e39])
    assert learner.steps == 0


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ({"rate": -1.0}, "rate=-1"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"update": "epoch"}, "update='epoch'"),
        ({"error": "cubic"}, "error='cubic'"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"weights": np.zeros(3)}, "weights has shape"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(argument, says):
    with pytest.raises(ValueError, match=says):
        Learner(NETWORKS["experiment_4"], **{"rate": 0.1, **argument})


# ---- what a call commits --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", ["step", "sequence"])
@every_network
def test_predict_one_commits_nothing(network, update):
    x, y = stream(network, 30)
    learner = Learner(network, 0.3, update=update)
    learner.learn_many(x[:20], y[:20])
    before = everything(learner)
    said = [learner.predict_one(row) for row in x[20:]]
    assert everything(learner) == before
    assert np.ptp(said, axis=0).max() > 0, "it depends on x"
    learner.learn_one(x[20])
    assert everything(learner) != before


@every_network
def test_a_step_without_target_moves_the_state_and_no_weight(network):
    x, y = stream(network, 10)
    learner = Learner(network, 0.3)
    learner.learn_many(x, y)
    weights, states = learner.weights, learner.states
    learner.learn_one(x[0])
    assert (learner.weights == weights).all()
    assert (learner.states != states).all()
    learner.learn_one(x[1], np.full(network.outputs, 0.9))
    assert (learner.weights != weights).any()


@every_network
def test_reset_forgets_the_stream_and_keeps_the_weights(network):
    x, y = stream(network, 30)
    learner = Learner(network, 0.3)
    learner.learn_many(x[:20], y[:20])
    learner.reset()
    new = Learner(network, 0.3, weights=learner.weights)
    assert not learner.states.any()
    assert not learner.activations.any()
    assert (learner.learn_many(x[20:], y[20:]) == new.learn_many(x[20:], y[20:])).all()
    assert (learner.weights == new.weights).all()


def test_an_index_is_the_input_or_the_target_that_is_1():
    network = NETWORKS["experiment_6b"]
    one, other = Learner(network, 0.3), Learner(network, 0.3)
    ones = np.eye(8)
    for symbol, target in ((3, 0), (5, None), (-1, 7)):
        row = ones[symbol] if symbol >= 0 else np.zeros(8)
        assert (one.predict_one(symbol) == other.predict_one(row)).all()
        assert (one.learn_one(symbol, target) == other.learn_one(row, None if target is None else ones[target])).all()
    assert (one.learn_many([1, -1, 4], [2, -1, 6]) == other.learn_many([1, -1, 4], ones[[2, 0, 6]] * NONE_AT_1)).all()
    assert everything(one) == everything(other)


NONE_AT_1 = np.array([[1.0], [np.nan], [1.0]])


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.full((3, 2), np.nan), None, "x holds nan"),
        (np.zeros((3, 1)), None, "x has shape"),
        (np.zeros((3, 2)), np.zeros((2, 1)), "y has shape"),
        (np.zeros((3, 2)), np.full((3, 1), np.inf), "y holds inf"),
    ],
    ids=str,
)
def test_many_steps_that_fail_change_nothing(x, y, says):
    learner = Learner(NETWORKS["experiment_4"], 0.3)
    learner.learn_one([0.3, -0.2], [0.7])
    before = everything(learner)
    with pytest.raises(ValueError, match=says):
        learner.learn_many(x, y)
    with pytest.raises(ValueError, match="x has shape"):
        learner.predict_one([1.0])
    with pytest.raises(ValueError, match="weights holds nan"):
        learner.weights = np.full(learner.network.weight_count, np.nan)
    assert everything(learner) == before


# ---- files ----------------------------------------------------------------------------------------------------------


def test_a_file_tells_in_json_what_it_holds(tmp_path):
    learner = Learner(NETWORKS["experiment_4"], 0.3, update="sequence")
    learner.learn_one([0.3, -0.2], [0.7])
    learner.save(tmp_path / "learner.safetensors")
    with safe_open(tmp_path / "learner.safetensors", "numpy") as file:
        facts = json.loads(file.metadata()["carrousel"])
        assert (file.get_tensor("weights") == learner.weights).all()
        assert (file.get_tensor("states") == learner.states).all()
    assert facts["network"]["input_gate_bias"] == [-3, -6]
    assert (facts["rate"], facts["update"], facts["steps"]) == (0.3, "sequence", 1)


def test_a_file_goes_on_where_it_was_saved_only(tmp_path, monkeypatch, backend):
    """Compiled or not, memory has an order of its own."""
    if kernels.LSTM1997 is None:
        pytest.skip("the compiled kernels are not built")
    path = tmp_path / "learner.safetensors"
    Learner(NETWORKS["experiment_4"], 0.3).save(path)
    monkeypatch.setattr(module, "LSTM1997", None if backend == "compiled" else kernels.LSTM1997)
    with pytest.raises(UserError, match=f"saved {'with' if backend == 'compiled' else 'without'} the compiled kernels"):
        Learner.load(path)
