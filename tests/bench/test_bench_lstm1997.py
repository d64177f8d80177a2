"""`carrousel bench lstm1997`: all rivals learn the same weights, and what is said of them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from measurements import bench, printed, rows_of

from bench import lstm1997
from bench.rivals.lstm1997_torch import TorchOperations
from carrousel.papers.lstm1997.trainer import Trainer

experiments = pytest.mark.parametrize("experiment", lstm1997.TARGETS)


def learned(experiment, trials):
    """The row, blocks of twenty sequences, the weights before, and those that our trainer learns."""
    row, _ = lstm1997.TARGETS[experiment]
    blocks = [block.part(0, 20) for block in lstm1997.drawn(row, trials)[1]]
    before = lstm1997.initial(row, trials)
    trainer = Trainer(row.network, before, row.rate)
    trainer.train(blocks)
    assert np.abs(trainer.weights - before).max() > 1e-3
    return row, blocks, before, trainer.weights


@experiments
def test_torch_operations_learn_the_weights_that_we_learn(experiment):
    row, (block,), (before,), (ours,) = learned(experiment, 1)
    theirs = TorchOperations(row.network, before, row.rate)
    theirs.train(block)
    np.testing.assert_allclose(theirs.weights, ours, atol=2e-6)


@pytest.mark.parametrize("way", ["JAX, jax.grad", "JAX, (25) and (27)"])
@pytest.mark.parametrize("trials", [1, 3])
@experiments
def test_jax_learns_the_weights_that_we_learn(experiment, trials, way):
    jax = lstm1997.with_jax()
    if jax is None:
        pytest.skip("JAX is not installed: pip install 'carrousel[bench]'")
    row, blocks, before, ours = learned(experiment, trials)
    theirs = jax.Compiled(row.network, before, row.rate, jax.WAYS[way])
    theirs.train(theirs.padded(blocks))
    np.testing.assert_allclose(np.reshape(theirs.weights, ours.shape), ours, atol=2e-6)


def test_without_jax_its_rows_say_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "bench.rivals.lstm1997_jax", None)
    monkeypatch.delattr("bench.rivals.lstm1997_jax", raising=False)
    rows = rows_of(capsys, "lstm1997")
    assert [(row["trials"], row["data"], row["who"]) for row in rows if row["experiment"] == "6b"] == [
        (1, False, "carrousel"),
        (1, False, "torch operations"),
        (1, False, "JAX"),
        (16, False, "carrousel"),
        (16, False, "JAX"),
        (16, True, "carrousel"),
    ]
    assert all("carrousel[bench]" in row["note"] and "ns" not in row for row in rows if row["who"] == "JAX")
    ours, theirs = rows[:2]
    assert theirs["ratio"] == pytest.approx(theirs["ns"] / ours["ns"])
    assert "carrousel[bench]" in bench(capsys, "lstm1997")
    assert "carrousel[bench]" in bench(capsys, "lstm1997", "--markdown")


ROWS = [
    lstm1997.Row("4-1", 1, False, "carrousel", 60.0, target=80),
    lstm1997.Row("4-1", 1, False, "torch operations", 54_000.0, ratio=900.0, target=1000),
    lstm1997.Row("4-1", 16, True, "carrousel", 12.0),
]


def test_the_1997_table_says_what_is_missed_and_markdown_has_every_row():
    text = printed(lstm1997.table(ROWS))
    assert "at most 80 ns, reached" in text
    assert "at least 1000 times, MISSED" in text
    _, rule, *lines = lstm1997.markdown(ROWS).splitlines()
    assert lines[1] == "| 4-1 | 1 | torch operations | 54,000 | 900 |"
    assert lines[2] == "| 4-1 | 16 with their data | carrousel | 12 |  |"
    assert {line.count("|") for line in (rule, *lines[:3])} == {6}
