"""The native trainer equals the reference, trials do not see each other, bad input does nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from carrousel.fused import kernels
from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.reference import Reference
from carrousel.papers.harness.sequences import Sequences

if kernels.LSTM1997 is None:
    pytest.skip("the compiled kernels are not built", allow_module_level=True)

from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.native_trials import NativeTrials

NETWORKS = {
    "experiment_4": Network(2, 1, 2, 2, biased="all", input_gate_bias=(-3, -6), weight_range=0.5),
    "experiment_6b": Network(8, 8, 3, 2, biased="all", weight_range=0.5),
    "large_alphabet": Network(20, 3, 4, 1, biased="gates", weight_range=0.5),
    "experiment_2a": Network(9, 9, 1, 1, output_gates=False, connectivity="B", g="g1", h="id", weight_range=0.5),
    "outputs_see_inputs": Network(4, 3, 2, 2, connectivity="FB", biased="gates and outputs", weight_range=0.5),
    "cells_see_inputs_only": Network(5, 2, 2, 1, recurrent_cells=False, weight_range=0.5),
    "conventional_linear": Network(3, 2, 2, 3, hidden=5, biased="hidden", output="linear", weight_range=0.5),
    "no_blocks": Network(3, 2, 0, connectivity="B"),
}
every_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
TRIALS = 21  # a whole vector and a part of one in every instruction set


@pytest.fixture
def instruction_set():
    """The one in force, restored afterwards."""
    before = kernels.instruction_set()
    yield
    kernels.use_instruction_set(before)


def block(network, seed, count=5, every_step=False, symbols=False):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(5, 12, count).astype(np.int32)
    steps = lengths.sum()
    dense = rng.standard_normal((steps, network.inputs)).astype(np.float32)
    x = rng.integers(-1, network.inputs, steps).astype(np.int32) if symbols else dense
    targets = rng.random((steps if every_step else count, network.outputs)).astype(np.float32)
    if every_step:
        targets[rng.random(steps) < 0.3] = np.nan
    return Sequences(lengths, x, targets)


def rows_of(sequences, network):
    """Each sequence's inputs [T, I] and targets, None where there is none."""
    x = sequences.x if sequences.x.ndim == 2 else np.eye(network.inputs + 1)[sequences.x][:, :-1]
    begin = 0
    for i, T in enumerate(sequences.lengths):
        targets = sequences.targets[begin : begin + T]
        if sequences.at_end:
            targets = np.full((T, network.outputs), np.nan)
            targets[-1] = sequences.targets[i]
        yield x[begin : begin + T], [None if np.isnan(t[0]) else t for t in targets]
        begin += T


def by_reference(network, weights, sequences, rate, update, error):
    reference = Reference(network, weights)
    absolute = []
    for x, targets in rows_of(sequences, network):
        reference.reset()
        errors = []
        for row, target in zip(x, targets):
            y = reference.step(row)
            if target is not None:
                errors.append(np.abs(target - y))
                reference.learn(target, error)
                if update == "step":
                    reference.apply(rate)
        reference.apply(rate)
        absolute.append(np.mean(errors) if errors else 0.0)
    return network.join(reference.weights), absolute


@pytest.mark.parametrize("error", ["squared", "entropy"])
@pytest.mark.parametrize("update", ["sequence", "step"])
@pytest.mark.parametrize("symbols", [False, True], ids=["dense", "symbols"])
@pytest.mark.parametrize("every_step", [False, True], ids=["at_end", "every_step"])
@every_network
def test_trainer_equals_the_reference(network, every_step, symbols, update, error):
    weights = np.array([network.initial_weights(seed) for seed in range(TRIALS)], np.float32)
    blocks = [block(network, seed, 4 + seed % 3, every_step, symbols) for seed in range(TRIALS)]
    trainer = NativeTrials(network, weights, 0.3, update=update, error=error)
    presented = trainer.train(blocks)
    for i in (0, TRIALS - 1):
        expected, absolute = by_reference(network, weights[i], blocks[i], 0.3, update, error)
        assert np.abs(trainer.weights[i] - expected).max() < 3e-5
        assert np.abs(presented[i].errors.absolute - absolute).max() < 3e-5
    assert np.abs(trainer.weights - weights).max() > 1e-4


@pytest.mark.parametrize("symbols", [False, True], ids=["dense", "symbols"])
@every_network
def test_a_trial_is_the_same_bits_alone_in_any_company_and_everywhere(network, symbols, instruction_set):
    weights = [network.initial_weights(seed) for seed in range(TRIALS)]
    blocks = [block(network, seed, 4 + seed % 3, symbols=symbols) for seed in range(TRIALS)]

    def trained(which, threads=1):
        trainer = NativeTrials(network, [weights[i] for i in which], 0.3, threads=threads)
        errors = [np.array(p.errors) for p in trainer.train([blocks[i] for i in which])]
        return trainer.weights, errors

    expected, errors = trained(range(TRIALS))
    for isa in kernels.instruction_sets():
        kernels.use_instruction_set(isa)
        for which, threads in ((range(TRIALS), 1), (range(TRIALS), 2), ([3], 1), (range(2, 9), 1)):
            got, got_errors = trained(which, threads)
            assert (got == expected[list(which)]).all()
            assert all((a == errors[i]).all() for a, i in zip(got_errors, which))


def test_blocks_may_be_cut_anywhere_and_the_criterion_meets_the_same_sequence():
    network = NETWORKS["experiment_4"]
    whole = block(network, 1, 60)._replace(targets=np.full((60, 1), 0.5, np.float32))
    stop = Stop(bound=0.1, window=20, mean=0.05)
    results = []
    for cuts in ([0, 60], [0, 7, 8, 33, 60]):
        trainer = NativeTrials(network, [network.initial_weights(0)] * 4, 0.5)
        for first, last in pairwise(cuts):
            trainer.train([whole.part(first, last)] * 4, stop)
        results.append((trainer.presented.tolist(), trainer.stopped.tolist(), trainer.weights.tolist()))
    assert results[0] == results[1]
    assert results[0][1] == [True] * 4
    assert 20 <= results[0][0][0] < 60


def test_a_trial_that_takes_anothers_place_is_as_one_from_the_start():
    network, stop = NETWORKS["experiment_4"], Stop(bound=0.5, window=20)
    weights = [network.initial_weights(seed) for seed in range(3)]
    sequences = block(network, 1, 60)._replace(targets=np.full((60, 1), 0.5, np.float32))
    trainer = NativeTrials(network, weights[:2], 0.5)
    assert [presented.stopped for presented in trainer.train([sequences] * 2, stop)] == [True, True]
    trainer.begin(1, weights[2])
    fresh = NativeTrials(network, weights[2:], 0.5)
    first, second = trainer.train([sequences.part(0, 19)] * 2, stop)
    assert first is None  # it has stopped, and stays so
    assert not second.stopped
    assert (second.errors.largest == fresh.train([sequences.part(0, 19)], stop)[0].errors.largest).all()
    assert (trainer.weights[1] == fresh.weights[0]).all()
    with pytest.raises(ValueError, match="weights"):
        trainer.begin(0, weights[0][:-1])


def judged(errors, stop):
    """At which sequence the criterion is met, by the rule's own words; None: never."""
    for n in range(stop.every * -(-stop.window // stop.every), len(errors.largest) + 1, stop.every):
        last = slice(n - stop.window, n)
        over = (errors.largest[last] > stop.bound).sum()
        if over <= stop.allowed and (stop.mean is None or getattr(errors, stop.measure)[last].mean() < stop.mean):
            return n
    return None


@pytest.mark.parametrize(
    "stop",
    [
        Stop(0.3, 10),
        Stop(0.2, 10, allowed=4),
        Stop(1.0, 25, mean=0.12),
        Stop(1.0, 25, mean=0.02, measure="squared"),
        Stop(0.3, 10, every=50),
    ],
    ids=str,
)
def test_criteria(stop):
    network = NETWORKS["experiment_4"]
    sequences = block(network, 3, 400)
    sequences = sequences._replace(targets=0.5 + 0.5 * (sequences.targets - 0.5))
    free = NativeTrials(network, [network.initial_weights(0)], 0.5)
    expected = judged(free.train([sequences])[0].errors, stop)
    trainer = NativeTrials(network, [network.initial_weights(0)], 0.5)
    result = trainer.train([sequences], stop)[0]
    assert expected is not None
    assert result.stopped
    assert trainer.presented[0] == expected == len(result.errors.largest)


@every_network
def test_evaluation_changes_nothing_and_tells_the_outputs(network):
    trainer = NativeTrials(network, [network.initial_weights(0)] * 3, 0.3)
    before = trainer.weights.copy()
    sequences = block(network, 2)
    errors, outputs = trainer.evaluate([sequences] * 3)[1], trainer.outputs([sequences] * 3)[1]
    assert (trainer.weights == before).all()
    assert trainer.presented.tolist() == [0, 0, 0]
    assert errors.largest == pytest.approx(np.abs(outputs - sequences.targets).max(axis=1), abs=1e-6)
    assert errors.squared == pytest.approx(((outputs - sequences.targets) ** 2).mean(axis=1), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lengths": np.array([2, 0], np.int32)}, "lengths"),
        ({"x": np.zeros((4, 3), np.float32)}, r"blocks\[1\].x has shape \[4, 3\]"),
        ({"x": np.full((4, 2), np.inf, np.float32)}, "x holds inf"),
        ({"x": np.array([0, 1, 2, 0])}, "index 2"),
        ({"targets": np.full((2, 1), np.nan, np.float32)}, "targets holds nan"),
        ({"targets": np.array([0, -1])}, "targets holds -1"),
        ({"targets": np.zeros((3, 1), np.float32)}, "targets has shape"),
    ],
    ids=str,
)
def test_bad_blocks_are_refused_and_no_trial_has_changed(change, says):
    network = NETWORKS["experiment_4"]
    good = Sequences(np.array([2, 2], np.int32), np.zeros((4, 2), np.float32), np.ones((2, 1), np.float32))
    trainer = NativeTrials(network, [network.initial_weights(0)] * 2, 0.3)
    before = trainer.weights.copy()
    with pytest.raises(ValueError, match=says):
        trainer.train([good, good._replace(**change)])
    assert (trainer.weights == before).all()
    assert trainer.presented.tolist() == [0, 0]
