"""`carrousel bench layers`, and `python -m bench custom-cell`, which compares in the same way."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from custom_cells import needs_compiler
from measurements import TINY, bench, rows_of

import carrousel
from bench import __main__, custom_cell
from carrousel.bench import layers
from carrousel.bench.shapes import PAPERS, find_shape
from carrousel.cells import ALL
from carrousel.cli import run

pytestmark = pytest.mark.slow


def test_json_has_both_sides_of_each_mode_and_number_of_threads(capsys):
    rows = rows_of(capsys, "layers", "--shapes", TINY, "--threads", "2,1")
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    assert [(ours["what"], ours["threads"]) for ours, _ in pairs] == [
        ("lstm, forward", 1),
        ("lstm, forward+backward", 1),
        ("lstm, forward", 2),
        ("lstm, forward+backward", 2),
    ]
    for ours, theirs in pairs:
        assert (ours["who"], theirs["who"]) == ("carrousel", "torch.nn")
        assert (ours["benchmark"], ours["shape"], ours["unit"]) == ("layers", TINY, "ms")
        assert theirs["ratio"] == pytest.approx(theirs["value"] / ours["value"])
        assert ours["value"] > 0


def test_our_rows_say_what_they_are_of_the_peak(capsys):
    rows = rows_of(capsys, "layers", "--shapes", TINY, "--threads", "1", "--cells", "gru")
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        mode = ours["what"].removeprefix("gru, ")
        operations = layers.operations(ALL["gru"], find_shape(TINY), mode)
        assert ours["gflops"] == pytest.approx(operations / ours["value"] / 1e6)
        assert 0 < ours["peak_percent"] < 120
        assert ours["gflops"] / ours["peak_percent"] * 100 > 0.1  # the peak
        assert "gflops" not in theirs


@pytest.mark.parametrize(
    ("shape", "mode", "products"),
    [
        # Of an LSTM with I = 3, H = 5, B = 2, T = 7: 4 blocks, a multiplication and an addition each.
        ("I3-H5-B2-T7", "forward", [(3, 1), (5, 1)]),
        ("I3-H5-B2-T7", "forward+backward", [(3, 2), (5, 3)]),  # x has no gradient
        ("I3-H5-B2-T7-L2", "forward+backward", [(3, 2), (5, 3), (5, 3), (5, 3)]),
        ("I3-H5-B2-T7-bidirectional", "forward", [(3, 1), (5, 1), (3, 1), (5, 1)]),
    ],
)
def test_operations_are_those_of_the_products(shape, mode, products):
    expected = sum(2 * 4 * 5 * 2 * 7 * width * times for width, times in products)
    assert layers.operations(ALL["lstm"], find_shape(shape), mode) == expected


def test_a_target_stands_where_one_is_set(capsys):
    rows = rows_of(capsys, "layers", "--shapes", "paper-T100", "--threads", "1,2")  # with gradients, all threads:
    of_torch = [row.get("target") for row in rows if row["who"] == "torch.nn"]
    of_peephole = [r.get("target") for r in rows if r["who"] == "torch operations" and r["what"].startswith("peephole")]
    assert of_torch == [None, None, None, 4]
    assert of_peephole == [None, None, None, 20]
    rows = rows_of(capsys, "layers", "--shapes", "I32-H1-B1-T1", "--threads", "1,2")
    assert [row["target"] for row in rows if row["who"] == "torch.nn"] == [1, 1, 1, 1]  # the grid: everywhere


def test_a_cell_that_torch_has_not_is_measured_beside_torch_operations_and_our_lstm(capsys):
    rows = rows_of(capsys, "layers", "--shapes", TINY, "--threads", "1", "--cells", "peephole")
    assert [row["who"] for row in rows[:3]] == ["carrousel", "torch operations", "carrousel.LSTM"]
    assert rows[2]["ratio"] == pytest.approx(rows[2]["value"] / rows[0]["value"])


def test_the_file_and_the_table_are_both_written(tmp_path, capsys):
    file = tmp_path / "layers.json"
    assert TINY in bench(capsys, "layers", "--shapes", TINY, "--threads", "1", "--json", str(file))
    assert len(json.loads(file.read_text())) == 4


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
    shape = find_shape(TINY)
    ours = layers.layer(cell, shape)
    x = torch.randn(shape.T, shape.B, shape.I)
    torch.testing.assert_close(layers.rival(cell, shape, ours)(x)[0], ours(x)[0])


def test_gradients_are_those_of_all_parameters():
    shape = find_shape("I3-H4-B2-T5-L2-bidirectional")
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
def test_bad_arguments_are_find_shape(arguments, words, capsys):
    assert run(["bench", "layers", *arguments]) == 2
    assert words in capsys.readouterr().err


# ---- python -m bench custom-cell ------------------------------------------------------------------------------------


@needs_compiler
def test_a_custom_cell_is_measured_beside_torch_operations_and_our_lstm(capsys):
    rows = rows_of(capsys, "custom-cell", "--shapes", "I2-H3-B2-T4-L2", "--threads", "1")
    assert [(row["what"], row["who"]) for row in rows] == [
        (f"MGU, {mode}", who) for mode in layers.MODES for who in ("carrousel", "torch operations", "carrousel.LSTM")
    ]


def test_a_custom_cell_that_cannot_be_compiled_is_not_measured(capsys, monkeypatch):
    """Two layers in torch operations, side by side, would say nothing."""
    monkeypatch.setattr(custom_cell.MGU, "compiled", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", carrousel.NoKernelWarning)
        assert run(["custom-cell", "--shapes", TINY], __main__.app, __main__.PROGRAM) == 2
    assert "python -m bench: the custom cell could not be compiled" in capsys.readouterr().err
