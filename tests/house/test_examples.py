"""The examples, run as a reader runs them."""

from __future__ import annotations

import json
import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from carrousel.online import Network
from carrousel.online.lstm1997.reference import Reference

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NOTEBOOKS = sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))


def run(name, *arguments):
    """Run examples/`name`.py without a display."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "ignore:FigureCanvasAgg"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def lines_of(name):
    done = run(name)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def percents(line):
    return [float(share) for share in re.findall(r"([\d.]+)%", line)]


# ---- one script for each group of users -----------------------------------------------------------------------------


def test_drop_in():
    swapped, layer, difference, *times = lines_of("drop_in")
    assert swapped == "Swapped: 1 replaced, 0 left"
    assert layer.endswith("-> carrousel.LSTM")
    assert float(difference.split()[-1]) < 1e-5
    assert len(times) == 3


def test_tides():
    """Evenly spaced hours, whose heights are near those of half a day before."""
    header, *rows = lines_of("tides")
    assert header == "time,height"
    assert rows[25].startswith("2024-01-02 01:00,")
    heights = np.array([float(row.split(",")[1]) for row in rows])
    assert len(heights) == 24 * 150
    assert np.corrcoef(heights[25:], heights[:-25])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("name", "needs"), [("search_with_optuna", "optuna"), ("search_on_a_cluster", "dask.distributed")]
)
def test_searches(name, needs):
    pytest.importorskip(needs, reason=f"{needs} is not installed: it is in no extra")
    (best,) = lines_of(name)
    assert re.match(r"best of \d( trials)?: 0\.[789]\d with", best)


def test_streaming_audio():
    *_, same, spoken, heard, right = lines_of("streaming_audio")
    assert same.endswith("True")
    assert len(spoken) == len(heard) > 50
    assert percents(right)[0] > 95


def test_reinforcement_resets():
    difference, *updates = lines_of("reinforcement_resets")
    assert float(difference.split()[-1]) < 1e-6
    assert percents(updates[-1])[0] > 95


def test_hydrology_gates():
    *_, explained, fields, follows, _ = lines_of("hydrology_gates")
    assert percents(explained)[0] > 80
    assert fields == "fields: h, c, i, f, g, o"
    assert abs(float(follows.split()[-1])) > 0.7


def test_custom_cell():
    lines = lines_of("custom_cell")
    difference = next(line for line in lines if line.startswith("largest difference"))
    assert float(difference.split()[-1]) < 1e-5
    assert float(lines[-1].split()[-1]) < 0.02, "it has learned"


def test_online_learning():
    *lines, _, same = lines_of("online_learning")
    learning, frozen = percents(lines[-1])
    assert learning > 80 > 50 > frozen
    assert same.endswith("True")


# ---- the notebooks are made of the scripts --------------------------------------------------------------------------


def code_of(script):
    """The code cells of a script in percent format, in order."""
    kinds = re.split(r"^# %%(.*)\n", script, flags=re.MULTILINE)[1:]
    return [text.strip() for kind, text in zip(kinds[::2], kinds[1::2]) if "markdown" not in kind]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_holds_the_code_of_its_script_and_small_outputs(name):
    file = EXAMPLES / f"{name}.ipynb"
    cells = [cell for cell in json.loads(file.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    script = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    assert ["".join(cell["source"]) for cell in cells] == code_of(script), "run `make notebooks`"
    assert all(cell["execution_count"] for cell in cells)
    assert file.stat().st_size < 100_000


def test_each_script_with_cells_has_its_notebook():
    scripts = [path.stem for path in EXAMPLES.glob("*.py") if "\n# %%" in path.read_text(encoding="utf-8")]
    assert sorted(scripts) == NOTEBOOKS


@pytest.mark.full
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name):
    nbformat = pytest.importorskip("nbformat", reason='the docs extra is not installed: pip install ".[docs]"')
    client = pytest.importorskip("nbclient", reason='the docs extra is not installed: pip install ".[docs]"')
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    client.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()


# ---- forecast.py ----------------------------------------------------------------------------------------------------


def shares(done):
    """On each line, the errors of the network without memory and of the one with it, in per cent."""
    assert (done.returncode, done.stderr) == (0, "")
    _, *lines = done.stdout.splitlines()
    return [[int(share.rstrip("%")) for share in line.split()[2:]] for line in lines]


def test_the_neuron_is_predicted_with_memory_only():
    errors = shares(run("forecast"))
    assert len(errors) == 10
    assert all(without_memory > 90 for without_memory, _ in errors)
    assert all(with_memory < 85 for _, with_memory in errors[5:]), "it has learned"
    assert errors[1][1] > 95, "it had to learn"


def test_a_series_of_ones_own(tmp_path):
    file = tmp_path / "waves.csv"
    waves = "".join(f"{t},{20 + 5 * math.sin(t / 3):.6f},7\n" for t in range(2000))
    file.write_text("hour,level,constant\n" + waves)
    without_memory, with_memory = shares(run("forecast", file, "--column", "level"))[-1]
    assert with_memory < without_memory / 2


def test_a_series_that_never_changes_has_no_error_to_divide_by(tmp_path):
    file = tmp_path / "constant.csv"
    file.write_text("level\n" + "5\n" * 200)
    done = run("forecast", file)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.split()[2:] == ["-", "-"] for line in done.stdout.splitlines()[1:])


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ("hour,level\n" + "1,2\n" * 200, ["--column", "price"], "no column 'price', but hour, level"),
        ("hour,level\n" + "1,2\n" * 20, [], "holds 20 values"),
        ("hour,level\n" + "1,2\n" * 200 + "1,\n", [], "without gaps"),
        ("hour,level\n" + "1,high\n" * 200, [], "high"),
        ("hour,level\n" + "1,2\n" * 200, ["--rate", "-1"], "rate=-1.0"),
        ("level\n" + "1\n2\n" * 200, ["--rate", "1e30"], "--rate 1e+30 is too high: a network has diverged"),
        ("", [], "no header line"),
    ],
    ids=["column", "short", "gap", "words", "rate", "diverged", "empty"],
)
def test_bad_input_is_reported_in_one_line(tmp_path, monkeypatch, capsys, content, arguments, says):
    file = tmp_path / "series.csv"
    file.write_text(content)
    monkeypatch.setattr(sys, "argv", ["forecast.py", str(file), *arguments])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(EXAMPLES / "forecast.py"), run_name="__main__")
    assert says in capsys.readouterr().err.splitlines()[-1]


# ---- micro1997.py ---------------------------------------------------------------------------------------------------


@pytest.fixture
def micro(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import micro1997

    return micro1997


def test_the_network_in_one_file_is_the_reference(micro):
    """The same weights and sequences, errors at every step and at the end only: outputs and weights agree."""
    rng = np.random.default_rng(0)
    network = micro.Network(I=3, K=2, C=2, S=3, input_gate_bias=[-1.0, -2.0], rng=rng, weight_range=0.5)
    description = Network(inputs=3, outputs=2, blocks=2, block_size=3, biased="all")
    parts = (network.W[:, :-1], network.W[:, -1], network.V[:, :-1], network.V[:, -1])
    reference = Reference(description, np.concatenate([part.ravel() for part in parts]))
    for length, errors_at in ((17, range(17)), (40, [39])):
        network.reset(), reference.reset()
        for t in range(length):
            x, target = rng.uniform(-2, 2, 3), rng.uniform(0, 1, 2)
            np.testing.assert_allclose(network.step(x), reference.step(x), rtol=1e-13)
            if t in errors_at:
                network.learn(target), reference.learn(target)
        network.update(0.5), reference.apply(0.5)
        w = reference.weights
        np.testing.assert_allclose(network.W, np.column_stack([w.hidden, w.hidden_bias]), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(network.V, np.column_stack([w.output, w.output_bias]), rtol=1e-10, atol=1e-13)


def test_the_adding_problem_in_one_file_is_the_papers(micro):
    rng = np.random.default_rng(0)
    for _ in range(200):
        x, target = micro.adding(rng, T=20)
        assert 20 <= len(x) <= 22
        assert x[0, 1] == x[-1, 1] == -1
        (marked,) = np.nonzero(x[:, 1] == 1)
        assert len(marked) in (1, 2), "one where the first pair is marked"
        assert marked[0] < 10
        assert marked[-1] < 10  # T / 2
        assert target == pytest.approx(0.5 + x[marked, 0].sum() / 4)


def test_micro1997_runs():
    header, *lines = run("micro1997", "--sequences", 20).stdout.splitlines()
    assert header.startswith("93 weights")
    assert len(lines) == 10
