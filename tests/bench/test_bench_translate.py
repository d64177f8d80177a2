"""`python -m bench translate`: both sides train the same network."""

from __future__ import annotations

import pytest
import torch
from translations import write_pairs

from bench.rivals.translator import to_ours
from bench.translate import Side, TorchTranslate, measure
from carrousel.tasks.translate import TASK, TranslateOptions

SIZES = {"hidden": 12, "embedding": 8, "vocabulary": 300, "batch": 8, "steps": 100}


def test_both_sides_are_measured(tmp_path):
    found = list(measure([str(write_pairs(tmp_path))], 0.5, **SIZES))
    assert [(row.who, row.unit) for row in found] == [
        (who, unit) for unit in ("steps a second", "chrF") for who in ("carrousel", "torch.nn")
    ]
    assert found[1].ratio == found[0].value / found[1].value
    assert found[3].ratio == found[2].value - found[3].value
    assert (found[1].target, found[3].target) == (None, 1.0)


@pytest.mark.parametrize("layers", [1, 2])
def test_both_sides_learn_the_same(tmp_path, layers):
    """After some steps without dropout the weights are equal to rounding."""
    options = TranslateOptions(files=(str(write_pairs(tmp_path)),), dropout=0.0, layers=layers, **SIZES).complete()
    data = TASK.data(options, torch.device("cpu"))
    ours, theirs = (Side(task, options, data).trainer for task in (TASK, TorchTranslate()))
    first = ours.model.state_dict()["table"].clone()
    for step in range(5):
        losses = [side.advance(0.1 + step / 100) for side in (ours, theirs)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert not torch.equal(first, ours.model.state_dict()["table"])
    renamed = to_ours(theirs.model)
    assert renamed.keys() == ours.model.state_dict().keys()
    for name, weight in ours.model.state_dict().items():
        torch.testing.assert_close(weight, renamed[name], rtol=1e-2, atol=1e-3)
