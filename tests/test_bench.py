"""The measurements: what is measured and how it is told. No test looks at a time."""

from __future__ import annotations

import io
import json
import re
import sys
import warnings

import numpy as np
import pytest
import torch
from own_cells import needs_compiler
from rich.console import Console

import carrousel
from carrousel import odyssey
from carrousel.bench import cells, clock, layers, lstm1997, memory, mlstm, options, own, streaming, table
from carrousel.bench.lstm1997_torch import TorchOperations
from carrousel.bench.shapes import GRID, PAPERS, named
from carrousel.bench.text import ScratchLSTM, trainers
from carrousel.cli import run
from carrousel.errors import UserError
from carrousel.papers.lstm1997.trainer import Trainer

TINY = "I3-H4-B2-T5"
FIELDS = {"cell", "shape", "mode", "threads", "ours_ms", "torch_ms", "ratio"}


def measured(capsys, *arguments):
    assert run(["bench", "layers", *arguments, "--seconds", "0", "--repeat", "1", "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


# ---- carrousel bench cells ------------------------------------------------------------------------------------------


# Those that are compiled at run time have tests of their own.
BUILT_IN = [kind for kind in cells.KINDS if kind not in odyssey.__all__]


def test_every_kind_of_layer_is_measured_beside_the_plain_lstm(tmp_path, capsys):
    file = tmp_path / "cells.json"
    options = ["--shapes", TINY, "--threads", "1", "--seconds", "0", "--repeat", "1", "--json", str(file)]
    assert run(["bench", "cells", "--kind", ",".join(BUILT_IN), *options]) == 0
    rows = json.loads(file.read_text())
    assert [row["kind"] for row in rows] == BUILT_IN
    for row in rows:
        assert row["ratio"] == pytest.approx(row["ours_ms"] / row["lstm_ms"])
        assert "torch_ms" not in row
    assert TINY in capsys.readouterr().out


def test_markdown_of_kinds_has_a_column_for_each_shape(capsys, monkeypatch):
    monkeypatch.setattr(cells, "SMALL", (TINY,))
    options = ["--kind", "gru", "--shapes", f"{TINY},I2-H3-B1-T4", "--threads", "1,2", "--seconds", "0", "--markdown"]
    assert run(["bench", "cells", *options]) == 0
    head, _, line, *_ = capsys.readouterr().out.splitlines()
    assert head == f"| kind, 1 / 2 threads | {TINY} | I2-H3-B1-T4 |"
    assert re.fullmatch(r"\| gru \|( \d+\.\d\d / \d+\.\d\d \|){2}", line)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_kind_in_torch_operations_computes_the_same(kind):
    torch.manual_seed(0)
    ours = cells.KINDS[kind].make(3, 4).eval()  # where there are masks, they are their means
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(cells.KINDS[kind].in_torch(ours).eval()(x)[0], ours(x)[0])
    cells.KINDS[kind].in_torch(ours.train())(x)[0].sum().backward()


def test_an_unknown_kind_is_named(capsys):
    assert run(["bench", "cells", "--kind", "gru,GRU2"]) == 2
    assert "--kind GRU2" in capsys.readouterr().err


# ---- carrousel bench autocast ---------------------------------------------------------------------------------------


def test_autocast_is_measured_beside_float32_and_torch(capsys):
    options = ["--shapes", TINY, "--threads", "1,2", "--seconds", "0", "--repeat", "1"]
    assert run(["bench", "autocast", *options, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["mode"], row["threads"]) for row in rows] == [
        (mode, threads) for threads in (1, 2) for mode in ("forward", "forward+backward")
    ]
    for row in rows:
        assert row["gain"] == pytest.approx(row["float32_ms"] / row["ours_ms"])
        assert row["ratio"] == pytest.approx(row["torch_ms"] / row["ours_ms"])


def test_autocast_in_markdown_is_a_line_a_shape(capsys):
    assert run(["bench", "autocast", "--shapes", TINY, "--threads", "1", "--seconds", "0", "--markdown"]) == 0
    head, rule, line, *_ = capsys.readouterr().out.splitlines()
    assert head.count("|") == rule.count("|") == line.count("|") == 5
    assert line.startswith(f"| {TINY} |")


# ---- carrousel bench mlstm -------------------------------------------------------------------------------------------


def test_mlstm_chunk_by_chunk_beside_step_by_step(tmp_path, capsys):
    file = tmp_path / "mlstm.json"
    options = ["--shapes", TINY, "--threads", "1", "--seconds", "0", "--repeat", "1", "--json", str(file)]
    assert run(["bench", "mlstm", *options]) == 0
    (row,) = json.loads(file.read_text())
    assert row["ratio"] == pytest.approx(row["steps_ms"] / row["chunks_ms"])
    assert TINY in capsys.readouterr().out


def test_mlstm_step_by_step_computes_the_same():
    ours, plain = carrousel.MLSTM(3, 8), mlstm.StepByStep(3, 8)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(70, 2, 3)
    torch.testing.assert_close(plain(x)[0], ours(x)[0], rtol=1e-3, atol=1e-4)


# ---- carrousel bench layers -----------------------------------------------------------------------------------------


def test_json_has_a_row_for_each_mode_and_number_of_threads(capsys):
    rows = measured(capsys, "--shapes", TINY, "--threads", "2,1")
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
    rows = measured(capsys, "--shapes", "paper-T100", "--threads", "1,2")  # with gradients, all threads:
    assert [row.get("target") for row in rows if row["cell"] == "lstm"] == [None, None, None, 4]
    assert [row.get("target") for row in rows if row["cell"] == "peephole"] == [None, None, None, 20]
    rows = measured(capsys, "--shapes", "I32-H1-B1-T1", "--threads", "1,2")
    assert [row.get("target") for row in rows] == [1, 1, 1, 1]  # the grid: everywhere


def test_a_cell_that_torch_has_not_is_measured_beside_scan_and_our_lstm(capsys):
    row, _ = measured(capsys, "--shapes", TINY, "--threads", "1", "--cells", "peephole")
    assert (row["cell"], row["against"]) == ("peephole", "scan")
    assert row["of_lstm"] == pytest.approx(row["ours_ms"] / row["lstm_ms"])


def test_the_file_and_the_table_are_both_written(tmp_path, capsys):
    file = tmp_path / "layers.json"
    assert run(["bench", "layers", "--shapes", TINY, "--threads", "1", "--seconds", "0", "--json", str(file)]) == 0
    assert len(json.loads(file.read_text())) == 2
    assert TINY in capsys.readouterr().out


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


# ---- shapes, clock, tables ------------------------------------------------------------------------------------------


def test_a_shape_of_the_grid_is_what_its_name_spells():
    for shape in GRID:
        assert shape.name == f"I{shape.I}-H{shape.H}-B{shape.B}-T{shape.T}"
    shape = named("I3-H4-B5-T6-L2-bidirectional")
    assert (shape.I, shape.H, shape.B, shape.T, shape.layers, shape.bidirectional) == (3, 4, 5, 6, 2, True)


def test_two_spellings_of_zero_are_refused():
    with pytest.raises(UserError, match="I3-H00-B1-T1"):
        named("I3-H00-B1-T1")


def test_rivals_take_turns(monkeypatch):
    now, calls = [0.0], []

    def rival(name, seconds):
        def call():
            calls.append(name)
            now[0] += seconds

        return call

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    slow, quick = clock.medians([rival("slow", 1.0), rival("quick", 1 / 256)], seconds=0, repeat=3)
    assert (slow, quick) == (1000, 1000 / 256)
    # warmed first (the quick one twice: its first call tells little), then in turns of at least 5 ms
    assert "".join(name[0] for name in calls) == "s" + "qq" + "sqq" * 3


def test_the_clock_takes_the_seconds_it_is_given(monkeypatch):
    now = [0.0]

    def rival():
        now[0] += 0.01

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    clock.medians([rival], seconds=1.0, repeat=1)
    assert now[0] == pytest.approx(1.0, abs=0.05)


ROWS = [
    layers.Row("lstm", "audio", "forward+backward", 1, 50.0, 200.0, 4.0),
    layers.Row("lstm", "audio", "forward+backward", 2, 40.0, 60.0, 1.5, target=3),
    layers.Row("lstm", "audio", "forward", 2, 10.0, 20.0, 2.0),
]


@needs_compiler
def test_a_cell_of_ones_own_is_measured_beside_scan_and_our_lstm(capsys):
    options = ["--shapes", "I2-H3-B2-T4-L2", "--threads", "1", "--seconds", "0", "--repeat", "1"]
    assert run(["bench", "own", *options, "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["cell"], row["mode"], row["against"]) for row in rows] == [
        ("MGU", mode, "scan") for mode in layers.MODES
    ]
    assert all(row["of_lstm"] == pytest.approx(row["ours_ms"] / row["lstm_ms"]) for row in rows)
    assert run(["bench", "own", *options, "--markdown"]) == 0
    assert re.search(r"\| I2-H3-B2-T4-L2 \| 1 \|.*\*\*[\d.]+\*\* \|", capsys.readouterr().out)


def test_a_cell_of_ones_own_that_can_not_be_compiled_is_not_measured(capsys, monkeypatch):
    """Two layers in torch operations, side by side, would say nothing."""
    monkeypatch.setattr(own.MGU, "compiled", False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", carrousel.NoKernelWarning)
        assert run(["bench", "own", "--shapes", TINY]) == 2
    assert "could not be compiled" in capsys.readouterr().err


def test_the_table_says_what_is_missed():
    paper = Console(file=io.StringIO(), width=160)
    paper.print(table.layers_table(ROWS))
    text = paper.file.getvalue()
    assert "at least 3, MISSED" in text
    assert "reached" not in text


def test_markdown_has_a_line_for_each_shape():
    head, rule, line, *_ = table.layers_markdown(ROWS).splitlines()
    assert head.count("|") == rule.count("|") == line.count("|") == 7
    assert line == "| lstm | audio | 50 / 200 | **4.0** | 40 / 60 | **1.5** |"


# ---- memory and text ------------------------------------------------------------------------------------------------


def test_memory_is_what_the_larger_shape_needs_more_of():
    small, large = (memory.in_a_process("ours", named(name), "lstm") for name in (TINY, "I3-H64-B64-T100"))
    kept = 100 * 64 * 64 * 4 * 4 / 2**20  # MB of four gates that the backward pass needs
    assert large > kept > small


def test_memory_compares_both_sides(capsys):
    assert run(["bench", "memory", "--shapes", "I3-H32-B64-T100", "--seconds", "0", "--json", "-"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["ratio"] == pytest.approx(row["torch_mb"] / row["ours_mb"])
    assert row["low_memory"] == pytest.approx(row["low_mb"] / row["ours_mb"])
    assert row["ours_mb"] > row["low_mb"] > 1
    assert row["low_time"] > 0


def test_memory_low_is_judged():
    row = {"shape": "audio", "ours_mb": 10, "torch_mb": 20, "ratio": 2, "low_mb": 5, "low_memory": 0.5, "low_time": 1.3}
    paper = Console(file=io.StringIO(), width=160)
    paper.print(table.memory_table([row]))
    text = paper.file.getvalue()
    assert "at most 0.45, MISSED" in text
    assert "at most 1.4, reached" in text


TEXT = (
    "The Time Traveller (for so it will be convenient to speak of him) was expounding a recondite matter to us. " * 20
)


def test_the_three_models_of_text_are_told_by_name(tmp_path, capsys):
    file = tmp_path / "text.txt"
    file.write_text(TEXT)
    assert run(["bench", "text", str(file), "--seconds", "0", "--epochs", "2", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == ["carrousel.LSTM", "torch.nn.LSTM", "torch operations"]
    assert all(row["tokens_per_second"] > 0 for row in rows)
    assert rows[0]["epochs"] == 2
    assert 1 < rows[0]["perplexity"] < 28  # 27 symbols and a first guess that is not much worse than even


def test_ours_and_torchs_model_of_text_learn_alike():
    """From the same weights through the same losses: they differ in speed only."""
    ours, theirs, _ = trainers(TEXT).values()
    theirs.recurrent.load_state_dict(ours.recurrent.state_dict())
    theirs.readout.load_state_dict(ours.readout.state_dict())
    losses = [ours.step() for _ in range(3)]
    assert losses == pytest.approx([theirs.step() for _ in range(3)], rel=1e-4)
    assert losses[2] < losses[0]


def test_the_scratch_cell_is_an_lstm():
    scratch, lstm = ScratchLSTM(3, 4), torch.nn.LSTM(3, 4)
    with torch.no_grad():
        for k, gate in enumerate("ifgo"):
            rows = slice(4 * k, 4 * k + 4)
            scratch.W[gate].copy_(lstm.weight_ih_l0[rows].T)
            scratch.R[gate].copy_(lstm.weight_hh_l0[rows].T)
            scratch.b[gate].copy_(lstm.bias_ih_l0[rows] + lstm.bias_hh_l0[rows])
    x = torch.randn(5, 2, 3)
    y, (h, c) = scratch(x, None)
    expected, (h_expected, c_expected) = lstm(x)
    torch.testing.assert_close((y, h, c), (expected, h_expected[0], c_expected[0]))
    torch.testing.assert_close(scratch(x, (h, c))[0], lstm(x, (h_expected, c_expected))[0])


# ---- carrousel bench lstm1997 ---------------------------------------------------------------------------------------

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


def measured_1997(capsys, *arguments):
    assert run(["bench", "lstm1997", "--seconds", "0", "--repeat", "1", *arguments]) == 0
    return capsys.readouterr().out


def test_without_jax_its_rows_say_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "carrousel.bench.lstm1997_jax", None)
    monkeypatch.delattr("carrousel.bench.lstm1997_jax", raising=False)
    rows = json.loads(measured_1997(capsys, "--json", "-"))
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
    assert "carrousel[bench]" in measured_1997(capsys)
    assert "carrousel[bench]" in measured_1997(capsys, "--markdown")


ROWS_1997 = [
    lstm1997.Row("4-1", 1, False, "carrousel", 60.0, target=80),
    lstm1997.Row("4-1", 1, False, "torch operations", 54_000.0, ratio=900.0, target=1000),
    lstm1997.Row("4-1", 16, True, "carrousel", 12.0),
]


def test_the_1997_table_says_what_is_missed_and_markdown_has_every_row():
    paper = Console(file=io.StringIO(), width=160)
    paper.print(table.lstm1997_table(ROWS_1997))
    text = paper.file.getvalue()
    assert "at most 80 ns, reached" in text
    assert "at least 1000 times, MISSED" in text
    _, rule, *lines = table.lstm1997_markdown(ROWS_1997).splitlines()
    assert lines[1] == "| 4-1 | 1 | torch operations | 54,000 | 900 |"
    assert lines[2] == "| 4-1 | 16 with their data | carrousel | 12 |  |"
    assert {line.count("|") for line in (rule, *lines[:3])} == {6}


# ---- carrousel bench streaming --------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 5])
def test_the_rivals_of_a_stream_return_the_same(T):
    """At the first call and at the second, which goes on with the state of the first."""
    with torch.inference_mode():
        rivals = dict(streaming.calls(streaming.Size(3, 7, T, None), streaming.with_onnx()))
        assert len(rivals) >= (4 if T == 1 else 3)
        for _ in range(2):
            first, *others = [torch.as_tensor(call()).clone() for call in rivals.values()]
            assert first.shape == (T, 7)
            for other in others:
                torch.testing.assert_close(other, first)


def measured_streaming(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(streaming, "SIZES", streaming.SIZES[:1])
    assert run(["bench", "streaming", "--seconds", "0", "--repeat", "1", *arguments]) == 0
    return capsys.readouterr().out


def test_without_onnx_runtime_its_rows_say_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(streaming, "with_onnx", lambda: None)
    rows = json.loads(measured_streaming(capsys, monkeypatch, "--json", "-"))
    whose = ["carrousel", "carrousel, out=", "torch.nn.LSTMCell", "torch.nn.LSTM", "ONNX Runtime"]
    assert [row["who"] for row in rows] == whose
    assert rows[2]["ratio"] == pytest.approx(rows[2]["us"] / rows[0]["us"])
    assert "carrousel[bench]" in rows[4]["note"]
    assert "us" not in rows[4]
    assert "carrousel[bench]" in measured_streaming(capsys, monkeypatch)
    assert "carrousel[bench]" in measured_streaming(capsys, monkeypatch, "--markdown")


ROWS_OF_STREAMS = [
    streaming.Row("I1-H40-T1", "carrousel", 2.5, target=3),
    streaming.Row("I1-H40-T1", "torch.nn.LSTMCell", 12.5, ratio=5.0),
    streaming.Row("I1-H40-T512", "carrousel", 0.16, target=0.15),
]


def test_the_table_of_streams_says_what_is_missed_and_markdown_has_every_row():
    paper = Console(file=io.StringIO(), width=160)
    paper.print(table.streaming_table(ROWS_OF_STREAMS))
    text = paper.file.getvalue()
    assert "at most 3 us, reached" in text
    assert "at most 0.15 us, MISSED" in text
    _, rule, *lines = table.streaming_markdown(ROWS_OF_STREAMS).splitlines()
    assert lines[1] == "| I1-H40-T1 | torch.nn.LSTMCell | 12.5 | 5.0 |"
    assert {line.count("|") for line in (rule, *lines[:3])} == {5}


# ---- carrousel bench options ----------------------------------------------------------------------------------------


def test_options_are_measured_beside_the_plain_call(tmp_path, capsys):
    arguments = ["bench", "options", "--shapes", TINY, "--threads", "1", "--seconds", "0", "--repeat", "1", "--json"]
    assert run([*arguments, "-"]) == 0
    rows = {row["option"]: row for row in json.loads(capsys.readouterr().out)}
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
    assert run([*arguments, str(tmp_path / "options.json")]) == 0
    assert "return_gates" in capsys.readouterr().out


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
