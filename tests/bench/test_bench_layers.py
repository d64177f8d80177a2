"""`carrousel bench layers`, and `own`, which tells its rows in the same way."""

from __future__ import annotations

import json
import re
import warnings

import pytest
import torch
from measurements import TINY, bench, printed, rows_of
from own_cells import needs_compiler

import carrousel
from bench import custom_cell as own
from carrousel.bench import layers
from carrousel.bench.shapes import PAPERS, named
from carrousel.cli import run

FIELDS = {"cell", "shape", "mode", "threads", "ours_ms", "torch_ms", "ratio"}


def test_json_has_a_row_for_each_mode_and_number_of_threads(capsys):
    rows = rows_of(capsys, "layers", "--shapes", TINY, "--threads", "2,1")
    assert [(row["mode"], row["threads"]) for row in rows] == [
        ("forward", 1),
        ("forward+backward", 1),
        ("forward", 2),
        ("forward+backward", 2),
    ]
    for row in rows:
        assert set(row) >= FIELDS
        assert (row["cell"], row["shape"], row["against"]) == ("lstm", TINY, "torch.nn")
        assert row["ratio"] == pytest.approx(row["torch_ms"] / row["ours_ms"])
        assert row["ours_ms"] > 0


def test_a_target_stands_where_one_is_set(capsys):
    rows = rows_of(capsys, "layers", "--shapes", "paper-T100", "--threads", "1,2")  # with gradients, all threads:
    assert [row.get("target") for row in rows if row["cell"] == "lstm"] == [None, None, None, 4]
    assert [row.get("target") for row in rows if row["cell"] == "peephole"] == [None, None, None, 20]
    rows = rows_of(capsys, "layers", "--shapes", "I32-H1-B1-T1", "--threads", "1,2")
    assert [row.get("target") for row in rows] == [1, 1, 1, 1]  # the grid: everywhere


def test_a_cell_that_torch_has_not_is_measured_beside_scan_and_our_lstm(capsys):
    row, _ = rows_of(capsys, "layers", "--shapes", TINY, "--threads", "1", "--cells", "peephole")
    assert (row["cell"], row["against"]) == ("peephole", "scan")
    assert row["of_lstm"] == pytest.approx(row["ours_ms"] / row["lstm_ms"])


def test_the_file_and_the_table_are_both_written(tmp_path, capsys):
    file = tmp_path / "layers.json"
    assert TINY in bench(capsys, "layers", "--shapes", TINY, "--threads", "1", "--json", str(file))
    assert len(json.loads(file.read_text())) == 2


def test_by_default_other_cells_run_where_they_have_a_target():
    plan = layers.plan(PAPERS, [])
    assert [shape for cell, shape in plan if cell == "lstm"] == list(PAPERS)
    assert [(cell, shape.name) for cell, shape in plan if cell != "lstm"] == [
        ("peephole", "paper-T100"),
        ("lstm1997", "paper-T100"),
        ("peephole", "hydrology"),
        ("lstm1997", "hydrology"),
    ]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_relu", "peephole", "lstm1997"])
def test_the_rivals_compute_the_same(cell):
    shape = named(TINY)
    ours = layers.layer(cell, shape)
    x = torch.randn(shape.T, shape.B, shape.I)
    torch.testing.assert_close(layers.rival(cell, shape, ours)(x)[0], ours(x)[0])


def test_gradients_are_those_of_all_parameters():
    shape = named("I3-H4-B2-T5-L2-bidirectional")
    ours = layers.layer("lstm", shape)
    gradients = layers.forward_backward(ours, torch.randn(5, 2, 3))()
    assert [g.shape for g in gradients] == [p.shape for p in ours.parameters()]
    assert not layers.forward(ours, torch.randn(5, 2, 3))()[0].requires_grad


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shapes", "huge"], "huge"),
        (["--shapes", "I1-H0-B1-T1"], "I1-H0-B1-T1"),
        (["--cells", "tree"], "tree"),
        (["--cells", "peephole", "--shapes", "char-rnn"], "char-rnn"),
        (["--threads", "0"], "--threads 0"),
        (["--threads", "many"], "--threads many"),
        (["--shapes", TINY, "--seconds", "0", "--threads", "1", "--json", "/"], "--json /"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_arguments_are_named(arguments, words, capsys):
    assert run(["bench", "layers", *arguments]) == 2
    assert words in capsys.readouterr().err


ROWS = [
    layers.Row("lstm", "audio", "forward+backward", 1, 50.0, 200.0, 4.0),
    layers.Row("lstm", "audio", "forward+backward", 2, 40.0, 60.0, 1.5, target=3),
    layers.Row("lstm", "audio", "forward", 2, 10.0, 20.0, 2.0),
]


def test_the_table_says_what_is_missed():
    text = printed(layers.table(ROWS))
    assert "at least 3, MISSED" in text
    assert "reached" not in text


def test_markdown_has_a_line_for_each_shape():
    head, rule, line, *_ = layers.markdown(ROWS).splitlines()
    assert head.count("|") == rule.count("|") == line.count("|") == 7
    assert line == "| lstm | audio | 50 / 200 | **4.0** | 40 / 60 | **1.5** |"


# ---- carrousel bench own --------------------------------------------------------------------------------------------


@needs_compiler
def test_a_cell_of_ones_own_is_measured_beside_scan_and_our_lstm(capsys):
    options = ["--shapes", "I2-H3-B2-T4-L2", "--threads", "1"]
    rows = rows_of(capsys, "own", *options)
    assert [(row["cell"], row["mode"], row["against"]) for row in rows] == [
        ("MGU", mode, "scan") for mode in layers.MODES
    ]
    assert all(row["of_lstm"] == pytest.approx(row["ours_ms"] / row["lstm_ms"]) for row in rows)
    told = bench(capsys, "own", *options, "--markdown")
    assert re.search(r"\| I2-H3-B2-T4-L2 \| 1 \|.*\*\*[\d.]+\*\* \|", told)


def test_a_cell_of_ones_own_that_can_not_be_compiled_is_not_measured(capsys, monkeypatch):
    """Two layers in torch operations, side by side, would say nothing."""
    monkeypatch.setattr(own.MGU, "compiled", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", carrousel.NoKernelWarning)
        assert run(["bench", "own", "--shapes", TINY]) == 2
    assert "could not be compiled" in capsys.readouterr().err
