"""`python -m bench lstm1997`: all rivals learn the same weights."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from measurements import bench, rows_of

from bench import lstm1997
from bench.rivals.lstm1997_torch import TorchOperations
from carrousel.papers.lstm1997.native_trials import NativeTrials

pytestmark = pytest.mark.slow

experiments = pytest.mark.parametrize("experiment", lstm1997.TARGETS)


def learned(experiment, trials):
    """The row, blocks of twenty sequences, the weights before, and those that our trainer learns."""
    row, _ = lstm1997.TARGETS[experiment]
    blocks = [block.part(0, 20) for block in lstm1997.sample_blocks(row, trials)[1]]
    before = lstm1997.initial_weights(row, trials)
    trainer = NativeTrials(row.method.network, before, row.method.rate)
    trainer.train(blocks)
    assert np.abs(trainer.weights - before).max() > 1e-3
    return row, blocks, before, trainer.weights


@experiments
def test_torch_operations_learn_the_weights_that_we_learn(experiment):
    row, (block,), (before,), (ours,) = learned(experiment, 1)
    theirs = TorchOperations(row.method.network, before, row.method.rate)
    theirs.train(block)
    np.testing.assert_allclose(theirs.weights, ours, atol=2e-6)


@pytest.mark.parametrize("way", ["JAX, jax.grad", "JAX, (25) and (27)"])
@pytest.mark.parametrize("trials", [1, 3])
@experiments
def test_jax_learns_the_weights_that_we_learn(experiment, trials, way):
    jax = lstm1997.import_jax()
    if jax is None:
        pytest.skip("JAX is not installed: pip install 'carrousel[bench]'")
    row, blocks, before, ours = learned(experiment, trials)
    theirs = jax.Compiled(row.method.network, before, row.method.rate, jax.WAYS[way])
    theirs.train(theirs.padded(blocks))
    np.testing.assert_allclose(np.reshape(theirs.weights, ours.shape), ours, atol=2e-6)


def test_without_jax_its_rows_say_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "bench.rivals.lstm1997_jax", None)
    monkeypatch.delattr("bench.rivals.lstm1997_jax", raising=False)
    rows = rows_of(capsys, "lstm1997")
    assert [(row["what"], row["who"]) for row in rows if row["shape"] == "6b"] == [
        ("1 network", "carrousel"),
        ("1 network", "torch operations"),
        ("1 network", "JAX"),
        ("16 networks", "carrousel"),
        ("16 networks", "JAX"),
        ("16 networks with their data", "carrousel"),
    ]
    assert all("carrousel[bench]" in row["note"] and "value" not in row for row in rows if row["who"] == "JAX")
    ours, theirs = rows[:2]
    assert theirs["ratio"] == pytest.approx(theirs["value"] / ours["value"])
    assert "carrousel[bench]" in bench(capsys, "lstm1997")
    assert "carrousel[bench]" in bench(capsys, "lstm1997", "--markdown")
