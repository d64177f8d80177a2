"""The Learner in processes of its own: where the kernels are missing, and on a stream that does not end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from carrousel.fused.kernels import LSTM1997

pytestmark = pytest.mark.slow

WITHOUT_KERNELS = """
import sys, warnings
sys.modules["carrousel._kernels"] = None
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from carrousel.online.learner import Learner
    from carrousel.online.lstm1997.network import Network
assert "without its compiled kernels" in str(told[0].message), told
learner = Learner(Network(1, 1, 1, biased="all"), 0.5)
errors = [abs(0.8 - learner.learn_one([0.5], [0.8])[0]) for _ in range(200)]
assert errors[-1] < errors[0] / 3, errors
assert learner.dtype == "float64"
"""


def test_without_kernels_it_learns_after_a_warning():
    subprocess.run([sys.executable, "-c", WITHOUT_KERNELS], check=True)


ENDLESS = """
import numpy as np
from bench.memory import resident
from carrousel.online.learner import Learner
from carrousel.online.lstm1997.network import Network

learner = Learner(Network(1, 1, 1, biased="all"), 0.01)
x = np.random.default_rng(0).uniform(-1, 1, (100_000, 1)).astype(np.float32)

def steps():
    learner.learn_many(x, x)
    for row in x[:1000]:
        learner.predict_one(row)
        learner.learn_one(row, row)

steps()
size, before = len(learner._engine.memory()), resident()
while learner.steps < 10_000_000:
    steps()
assert np.isfinite(learner.weights).all() and np.abs(learner.states).max() > 0
print(len(learner._engine.memory()) - size, resident() - before)
"""


@pytest.mark.skipif(LSTM1997 is None, reason="the compiled kernels are not built")
def test_ten_million_steps_in_constant_memory():
    """What lives on between steps has one size, and the process does not grow: a float a step would be 40 MB."""
    done = subprocess.run([sys.executable, "-c", ENDLESS], check=True, stdout=subprocess.PIPE, text=True)
    of_network, megabytes = map(float, done.stdout.split())
    assert of_network == 0
    assert megabytes < 2
