"""`carrousel bench options`, `autocast` and `mlstm`: the same layer in another way."""

from __future__ import annotations

import json

import pytest
import torch
from measurements import TINY, bench, rows_of

import carrousel
from bench import mlstm, options
from carrousel.bench.shapes import named

# ---- carrousel bench options ----------------------------------------------------------------------------------------


def test_options_are_measured_beside_the_plain_call(tmp_path, capsys):
    arguments = ["options", "--shapes", TINY, "--threads", "1"]
    rows = {row["option"]: row for row in rows_of(capsys, *arguments)}
    plain = rows.pop("plain")
    assert plain["ratio"] == 1
    assert plain["torch_ms"] > 0
    assert list(rows) == [
        "resets",
        "lengths, 60% filled",
        "lengths, 20% filled",
        "return_states",
        "return_states, return_gates",
    ]
    for row in rows.values():
        assert row["ratio"] == pytest.approx(row["ours_ms"] / (row.get("fill", 1) * plain["ours_ms"]))
        assert ("torch_ms" in row) == ("lengths" in row["option"])
        assert "target" not in row  # they are for one shape
    assert "return_gates" in bench(capsys, *arguments, "--json", str(tmp_path / "options.json"))


def test_targets_of_options():
    times = dict.fromkeys(["plain", "resets", "lengths, 60% filled", "return_states"], 2.0)
    lengths = {0.6: torch.tensor([500, 700])}
    shape = named(options.SHAPE)
    rows = list(options.rows(shape, 2, lengths, times, {"plain": 5.0}))
    assert [row.target for row in rows] == [None, 1.1, 1.2, 1.15]
    assert [row.torch_ms for row in rows] == [5.0, None, None, None]
    assert rows[2].ratio == pytest.approx(shape.T * shape.B / 1200)


@pytest.mark.parametrize("fill", options.FILLS)
def test_lengths_have_the_fill(fill):
    shape = named("I1-H1-B4000-T100")
    lengths = options.lengths_of(shape, fill)
    assert lengths.double().mean().item() == pytest.approx(100 * fill, rel=0.05)
    assert lengths.min() >= 1
    assert lengths.max() <= 100


# ---- carrousel bench autocast ---------------------------------------------------------------------------------------


def test_autocast_is_measured_beside_float32_and_torch(capsys):
    rows = rows_of(capsys, "autocast", "--shapes", TINY, "--threads", "1,2")
    assert [(row["mode"], row["threads"]) for row in rows] == [
        (mode, threads) for threads in (1, 2) for mode in ("forward", "forward+backward")
    ]
    for row in rows:
        assert row["gain"] == pytest.approx(row["float32_ms"] / row["ours_ms"])
        assert row["ratio"] == pytest.approx(row["torch_ms"] / row["ours_ms"])


def test_autocast_in_markdown_is_a_line_a_shape(capsys):
    told = bench(capsys, "autocast", "--shapes", TINY, "--threads", "1", "--markdown")
    head, rule, line, *_ = told.splitlines()
    assert head.count("|") == rule.count("|") == line.count("|") == 5
    assert line.startswith(f"| {TINY} |")


# ---- carrousel bench mlstm ------------------------------------------------------------------------------------------


def test_mlstm_chunk_by_chunk_beside_step_by_step(tmp_path, capsys):
    file = tmp_path / "mlstm.json"
    told = bench(capsys, "mlstm", "--shapes", TINY, "--threads", "1", "--json", str(file))
    (row,) = json.loads(file.read_text())
    assert row["ratio"] == pytest.approx(row["steps_ms"] / row["chunks_ms"])
    assert TINY in told


def test_mlstm_step_by_step_computes_the_same():
    ours, plain = carrousel.MLSTM(3, 8), mlstm.StepByStep(3, 8)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(70, 2, 3)
    torch.testing.assert_close(plain(x)[0], ours(x)[0], rtol=1e-3, atol=1e-4)
