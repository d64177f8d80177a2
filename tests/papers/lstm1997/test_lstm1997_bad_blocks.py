"""Bad input to the trainer of 1997: an error names the argument, and no trial changes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from lstm1997_input import NETWORK, WEIGHTS

from carrousel.fused.kernels import LSTM1997
from carrousel.papers.harness.sequences import Sequences
from carrousel.papers.harness.stop import Stop
from carrousel.papers.lstm1997.native_trials import NativeTrials

native = pytest.mark.skipif(LSTM1997 is None, reason="the compiled kernels are missing: no Trainer")

GOOD = Sequences(np.array([2, 3], np.int32), np.ones((5, 2), np.float32), np.full((2, 3), 0.5, np.float32))
BAD_BLOCKS = {
    "lengths": [
        np.array([2.0, 3.0]),
        np.array([2, 0]),
        np.array([-1, 6]),
        np.array([2 + 2**32, 3]),
        np.array([[2, 3]]),
        np.array([2, 3, 1]),
        np.array(["2", "3"]),
        None,
    ],
    "x": [
        np.zeros((4, 2)),
        np.zeros((5, 3)),
        np.zeros(5),
        np.array([0, 1, 2, 0, 0]),
        np.array([0, 1, -2, 0, 0]),
        np.full((5, 2), np.nan),
        np.full((5, 2), np.inf),
        np.full((5, 2), 1e39),
        [[1.0, 2.0], [3.0]],
        "abc",
        None,
    ],
    "targets": [
        np.zeros((3, 3)),
        np.zeros((2, 2)),
        np.zeros(2),
        np.array([0, 3]),
        np.array([0, -1]),
        np.full((2, 3), np.nan),
        np.full((5, 3), -np.inf),
        np.array([[np.nan, 1, 1]] * 5),
        [[0.0], [0.0, 1.0]],
        0.5,
        None,
    ],
}


@native
@pytest.mark.parametrize(
    ("part", "value"), [(part, value) for part, values in BAD_BLOCKS.items() for value in values], ids=repr
)
def test_a_bad_block_changes_no_trial(part, value):
    trainer = NativeTrials(NETWORK, [NETWORK.initial_weights(k) for k in range(3)], 0.5)
    trainer.train([GOOD] * 3, Stop(0.01, window=3))
    before = [trainer.weights.copy(), trainer.presented.copy(), trainer.stopped.copy(), trainer._recent.copy()]
    blocks = [GOOD, GOOD._replace(**{part: value}), GOOD]
    for call in (trainer.train, trainer.evaluate, trainer.outputs):
        with pytest.raises(ValueError, match=r"blocks\[1\]\."):
            call(blocks)
    now = [trainer.weights, trainer.presented, trainer.stopped, trainer._recent]
    assert all((a == b).all() for a, b in zip(before, now))


@native
def test_what_is_no_block_is_told():
    trainer = NativeTrials(NETWORK, [NETWORK.initial_weights(0)] * 2, 0.5)
    with pytest.raises(ValueError, match=r"blocks\[1\] is of type tuple, expected Sequences"):
        trainer.train([GOOD, tuple(GOOD)])
    with pytest.raises(ValueError, match="blocks has 1 entries, expected a list of 2"):
        trainer.train([GOOD])


@native
def test_rows_of_several_lengths_are_no_weights():
    with pytest.raises(ValueError, match=r"^weights=\[\[1.0\], \[1.0, 2.0\]\] is not an array"):
        NativeTrials(NETWORK, [[1.0], [1.0, 2.0]], 0.5)


@pytest.mark.parametrize(
    "weights", [w for k, w in WEIGHTS.items() if k != "none"], ids=[k for k in WEIGHTS if k != "none"]
)
def test_bad_weights_change_no_trial(weights):
    trainer = NativeTrials(NETWORK, [NETWORK.initial_weights(0)] * 2, 0.5)
    before = trainer.weights.copy()
    with pytest.raises(ValueError, match="weights"):
        trainer.weights = [weights, weights]
    assert (trainer.weights == before).all()
    with pytest.raises(ValueError, match="weights"):
        NativeTrials(NETWORK, [weights], 0.5)


@native
@pytest.mark.parametrize("call", ["train", "evaluate", "outputs"])
@pytest.mark.parametrize("blocks", [5, None, [GOOD]])
def test_blocks_that_are_no_list_of_one_a_trial_are_told(call, blocks):
    trainer = NativeTrials(NETWORK, [NETWORK.initial_weights(0)] * 2, 0.5)
    with pytest.raises(ValueError, match=r"blocks has .* expected a list of 2: one a trial"):
        getattr(trainer, call)(blocks)


@native
@pytest.mark.parametrize(
    "options", [{"threads": "2"}, {"threads": 1.5}, {"window": 2.5}, {"rate": True}, {"rate": 1e39}, {"network": "net"}]
)
def test_a_trainers_argument_of_another_type_is_told(options):
    good = {"network": NETWORK, "weights": [NETWORK.initial_weights(0)], "rate": 0.5}
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r} must be")):
        NativeTrials(**{**good, **options})


@pytest.mark.parametrize("options", [{"bound": "x"}, {"window": 2.5}, {"allowed": 0.5}, {"mean": "0"}, {"every": 0}])
def test_a_stop_that_is_none_is_told(options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=re.escape(f"{name}={value!r} must be")):
        Stop(**{"bound": 0.1, **options})
