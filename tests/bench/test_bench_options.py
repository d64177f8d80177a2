"""`python -m bench options`, `autocast` and `mlstm`: the same layer in another way."""

from __future__ import annotations

import json

import pytest
import torch
from measurements import TINY, bench, rows_of

import carrousel
from bench import mlstm, options
from carrousel.bench.shapes import find_shape

# ---- python -m bench options ----------------------------------------------------------------------------------------


def test_options_are_measured_beside_the_plain_call(tmp_path, capsys):
    arguments = ["options", "--shapes", TINY, "--threads", "1"]
    found = rows_of(capsys, *arguments)
    ours = {row["what"]: row for row in found if row["who"] == "carrousel"}
    plain = ours.pop("plain")
    assert plain["ratio"] == 1
    assert list(ours) == [
        "resets",
        "lengths, 60% filled",
        "lengths, 20% filled",
        "return_states",
        "return_states, return_gates",
    ]
    assert ours["resets"]["ratio"] == pytest.approx(ours["resets"]["value"] / plain["value"])
    assert not any("target" in row for row in found)  # they are for one shape
    theirs = [row["what"] for row in found if row["who"] == "torch.nn"]
    assert theirs == ["plain", "lengths, 60% filled", "lengths, 20% filled"]
    assert "return_gates" in bench(capsys, *arguments, "--json", str(tmp_path / "options.json"))


def test_targets_of_options():
    times = dict.fromkeys(["plain", "resets", "lengths, 60% filled", "return_states"], 2.0)
    lengths = {0.6: torch.tensor([500, 700])}
    shape = find_shape(options.SHAPE)
    plain, theirs, *others = options.compare(shape, 2, lengths, times, {"plain": 5.0})
    assert (theirs.who, theirs.value) == ("torch.nn", 5.0)
    assert [each.target for each in (plain, *others)] == [None, 1.1, 1.2, 1.15]
    assert others[1].ratio == pytest.approx(shape.T * shape.B / 1200)


@pytest.mark.parametrize("fill", options.FILLS)
def test_lengths_have_the_fill(fill):
    shape = find_shape("I1-H1-B4000-T100")
    lengths = options.sample_lengths(shape, fill)
    assert lengths.double().mean().item() == pytest.approx(100 * fill, rel=0.05)
    assert lengths.min() >= 1
    assert lengths.max() <= 100


# ---- python -m bench autocast ---------------------------------------------------------------------------------------


def test_autocast_is_measured_beside_float32_and_torch(capsys):
    rows = rows_of(capsys, "autocast", "--shapes", TINY, "--threads", "1,2")
    sides = [rows[k : k + 3] for k in range(0, len(rows), 3)]
    assert [(ours["what"], ours["threads"]) for ours, _, _ in sides] == [
        (mode, threads) for threads in (1, 2) for mode in ("forward", "forward+backward")
    ]
    for ours, full, theirs in sides:
        assert [row["who"] for row in (ours, full, theirs)] == ["carrousel", "carrousel, float32", "torch.nn"]
        assert full["ratio"] == pytest.approx(full["value"] / ours["value"])
        assert theirs["ratio"] == pytest.approx(theirs["value"] / ours["value"])


# ---- python -m bench mlstm ------------------------------------------------------------------------------------------


def test_mlstm_chunk_by_chunk_beside_step_by_step(tmp_path, capsys):
    file = tmp_path / "mlstm.json"
    printed = bench(capsys, "mlstm", "--shapes", TINY, "--threads", "1", "--json", str(file))
    chunks, steps = json.loads(file.read_text())
    assert steps["ratio"] == pytest.approx(steps["value"] / chunks["value"])
    assert TINY in printed


def test_mlstm_step_by_step_computes_the_same():
    ours, plain = carrousel.MLSTM(3, 8), mlstm.StepByStep(3, 8)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(70, 2, 3)
    torch.testing.assert_close(plain(x)[0], ours(x)[0], rtol=1e-3, atol=1e-4)
