"""Methods whose trials run one after another: the same errors, outputs and stops as in the compiled kernels."""

from __future__ import annotations

import numpy as np
import pytest

from carrousel.fused.kernels import LSTM1997
from carrousel.online.lstm1997.network import Network
from carrousel.online.lstm1997.reference import Reference
from carrousel.papers.harness.method import Errors
from carrousel.papers.harness.one_network import OneByOne
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.stop import Stop, Window
from carrousel.papers.lstm1997.methods.lstm import LSTM
from carrousel.papers.lstm1997.native_trials import NativeTrials

native = pytest.mark.skipif(LSTM1997 is None, reason="the compiled kernels are missing: no trial can run")
NETWORK = Network(3, 2, 2, 2, biased="all", weight_range=0.5)
RATE = 0.3


class OneReference:
    """The reference as a network that reads one sequence at a time."""

    def __init__(self, rng):
        self.reference = Reference(NETWORK, NETWORK.initial_weights(rng))

    def present(self, x, targets, at):
        r, outputs = self.reference, []
        r.reset()
        for t, row in enumerate(x if x.ndim == 2 else np.eye(4)[x][:, :3]):
            y = r.step(row)
            if t in at:
                if targets is not None:
                    r.learn(targets[len(outputs)])
                outputs.append(y)
        r.apply(RATE)
        return np.array(outputs).reshape(len(at), 2)


def block(seed, at_end, symbols, indices, count=30):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, count).astype(np.int32)
    steps = lengths.sum()
    x = rng.integers(-1, 3, steps).astype(np.int32) if symbols else rng.standard_normal((steps, 3)).astype(np.float32)
    rows = count if at_end else steps
    if indices:
        return Sequences(lengths, x, rng.integers(0 if at_end else -1, 2, rows).astype(np.int32))
    targets = rng.random((rows, 2)).astype(np.float32)
    truth = targets + np.float32(0.1) if at_end else None
    if not at_end:
        targets[rng.random(steps) < 0.3] = np.nan
    return Sequences(lengths, x, targets, truth)


def begin_both():
    both = LSTM(NETWORK, RATE).start(3, 1), OneByOne(OneReference, outputs=2, places=3)
    for method in both:
        for place in range(3):
            method.begin(place, np.random.default_rng(place))
    return both


@native
@pytest.mark.parametrize("indices", [False, True], ids=["numbers", "indices"])
@pytest.mark.parametrize("symbols", [False, True], ids=["dense", "symbols"])
@pytest.mark.parametrize("at_end", [False, True], ids=["every step", "at the end"])
def test_one_by_one_the_reference_is_the_lstm_in_the_kernels(at_end, symbols, indices):
    lanes, single = begin_both()
    blocks = [block(0, at_end, symbols, indices), None, block(2, at_end, symbols, indices)]
    for _ in range(2):
        for a, b in zip(lanes.train(blocks, None), single.train(blocks, None)):
            assert (a is None) == (b is None)
            if a is not None:
                assert np.allclose(np.array(a.errors), np.array(b.errors), atol=5e-5)
    for a, b in zip(lanes.evaluate(blocks), single.evaluate(blocks)):
        assert a is b is None or np.allclose(np.array(a), np.array(b), atol=5e-5)
    for a, b in zip(lanes.outputs(blocks), single.outputs(blocks)):
        assert a is b is None or np.allclose(a, b, atol=5e-5)


@native
def test_a_trial_that_stops_takes_no_more_sequences_and_a_new_one_takes_its_place():
    _, single = begin_both()
    easy = block(0, True, False, False)._replace(targets=np.full((30, 2), 0.5, np.float32), truth=None)
    stop = Stop(bound=0.3, window=10)
    first, second = single.train([easy, None, None], stop)[0], single.train([easy, None, None], stop)[0]
    assert first.stopped
    assert 10 <= len(first.errors.largest) < 30
    assert second is None
    single.begin(0, np.random.default_rng(7))
    assert single.train([easy, None, None], stop)[0] is not None


@native
@pytest.mark.parametrize(
    "stop",
    [
        Stop(0.3, 10),
        Stop(0.2, 10, allowed=4),
        Stop(1.0, 25, mean=0.3),
        Stop(1.0, 25, mean=0.12, measure="squared"),
        Stop(0.5, 10, every=50),
        Stop(0.3, 10, at_end=True),
    ],
    ids=str,
)
def test_a_window_meets_a_stop_at_the_same_sequence_as_the_kernels(stop):
    sequences = block(3, False, False, False, count=400)
    sequences = sequences._replace(targets=0.5 + 0.5 * (sequences.targets - 0.5))
    trials = NativeTrials(NETWORK, [NETWORK.initial_weights(0)], RATE)
    (free,) = trials.train([sequences])
    trials = NativeTrials(NETWORK, [NETWORK.initial_weights(0)], RATE)
    (stopped,) = trials.train([sequences], stop)
    window = Window(stop)
    met = [window.add(errors) for errors in zip(*free.errors)]
    assert stopped.stopped
    assert met.index(True) + 1 == len(stopped.errors.largest)


def test_no_number_is_no_success():
    window = Window(Stop(0.5, window=2))
    nan = Errors(*np.full(4, np.nan, np.float32))
    zero = Errors(*np.zeros(4, np.float32))
    assert [window.add(errors) for errors in (nan, zero, zero)] == [False, False, True]
