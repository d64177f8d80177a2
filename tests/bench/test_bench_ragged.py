"""`python -m bench ragged`: both sides train the same network."""

from __future__ import annotations

import pytest
import torch
from labelled import write_ts
from measurements import rows_of
from tagged_files import write_conllu

from bench.ragged import new_models, one_pass
from carrousel.tasks import ALL

EXACT = {  # a small file, and options without random numbers
    "classify": (write_ts, {"dropout": 0.0, "noise": 0.0, "shift": 0.0}),
    "tag": (write_conllu, {"dropout": 0.0, "word_dropout": 0.0}),
}


@pytest.mark.parametrize("name", EXACT)
def test_both_sides_have_a_row(name, tmp_path, capsys):
    file = EXACT[name][0](tmp_path)
    found = rows_of(capsys, "ragged", str(file), "--threads", "1", "--seconds", "0", "--repeat", "1")
    assert [row["who"] for row in found] == ["carrousel", "torch.nn, packed"]
    assert found[1]["ratio"] == found[1]["value"] / found[0]["value"]
    assert found[1]["target"] == 2.0


@pytest.mark.parametrize("name", EXACT)
def test_both_sides_learn_the_same(name, tmp_path):
    """After a pass without dropout and noise the weights are equal to rounding."""
    write, exact = EXACT[name]
    task = ALL[name]
    options = task.options(files=(str(write(tmp_path)),), hidden=6, batch=8, **exact).complete()
    data = task.data(options, torch.device("cpu"))
    ours, theirs = new_models(task, options, data.facts)
    batches = [data.batch(step) for step in range(5)]
    for model in (ours, theirs):
        one_pass(task, model, batches, options)()
    torch.testing.assert_close(ours.output.weight, theirs.output.weight, rtol=1e-3, atol=1e-4)
    layers = [(ours.recurrent, theirs.recurrent.lstm)]
    layers += [(ours.encoder.speller, theirs.encoder.speller.lstm)] if name == "tag" else []
    for one, other in layers:
        torch.testing.assert_close(one.weight_hh_l0, other.weight_hh_l0, rtol=1e-3, atol=1e-4)
