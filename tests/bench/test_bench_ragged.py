"""`python -m bench ragged`: both sides train the same network."""

from __future__ import annotations

import torch
from labelled import write_ts
from measurements import rows_of

from bench.ragged import new_models, one_pass
from carrousel.tasks.classify import TASK, ClassifyOptions


def test_both_sides_have_a_row(tmp_path, capsys):
    found = rows_of(capsys, "ragged", str(write_ts(tmp_path)), "--threads", "1", "--seconds", "0", "--repeat", "1")
    assert [row["who"] for row in found] == ["carrousel", "torch.nn, packed"]
    assert found[1]["ratio"] == found[1]["value"] / found[0]["value"]
    assert found[1]["target"] == 2.0


def test_both_sides_learn_the_same(tmp_path):
    """After a pass without dropout and noise the weights are equal to rounding."""
    options = ClassifyOptions(
        files=(str(write_ts(tmp_path)),), hidden=6, batch=8, dropout=0.0, noise=0.0, shift=0.0
    ).complete()
    data = TASK.data(options, torch.device("cpu"))
    ours, theirs = new_models(options, data.facts)
    batches = [data.batch(step) for step in range(5)]
    for model in (ours, theirs):
        one_pass(model, batches, options)()
    torch.testing.assert_close(ours.output.weight, theirs.output.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ours.recurrent.weight_hh_l0, theirs.recurrent.lstm.weight_hh_l0, rtol=1e-3, atol=1e-4)
