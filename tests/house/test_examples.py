"""The examples, run as a reader runs them."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

FORESEE = Path(__file__).resolve().parents[2] / "examples" / "foresee.py"


def foresee(*arguments):
    return subprocess.run([sys.executable, str(FORESEE), *map(str, arguments)], capture_output=True, text=True)


def shares(done):
    """The errors of the network that is made to forget, and of the one with memory, of each line, in percent."""
    assert (done.returncode, done.stderr) == (0, "")
    _, *lines = done.stdout.splitlines()
    return [[int(share.rstrip("%")) for share in line.split()[2:]] for line in lines]


def test_the_neuron_is_foretold_by_memory_alone():
    told = shares(foresee())
    assert len(told) == 10
    assert all(forgetting > 90 for forgetting, _ in told)
    assert all(with_memory < 85 for _, with_memory in told[5:]), "it has learned"
    assert told[1][1] > 95, "it had to learn"


def test_a_series_of_ones_own(tmp_path):
    file = tmp_path / "waves.csv"
    waves = "".join(f"{t},{20 + 5 * math.sin(t / 3):.6f},7\n" for t in range(2000))
    file.write_text("hour,level,constant\n" + waves)
    forgetting, with_memory = shares(foresee(file, "--column", "level"))[-1]
    assert with_memory < forgetting / 2


def test_a_series_that_never_changes_has_no_error_to_share(tmp_path):
    file = tmp_path / "constant.csv"
    file.write_text("level\n" + "5\n" * 200)
    done = foresee(file)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.split()[2:] == ["-", "-"] for line in done.stdout.splitlines()[1:])


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ("hour,level\n" + "1,2\n" * 200, ["--column", "price"], "no column 'price', but hour, level"),
        ("hour,level\n" + "1,2\n" * 20, [], "holds 20 values"),
        ("hour,level\n" + "1,2\n" * 200 + "1,\n", [], "none may lack"),
        ("hour,level\n" + "1,high\n" * 200, [], "high"),
        ("hour,level\n" + "1,2\n" * 200, ["--rate", "-1"], "rate=-1.0"),
        ("level\n" + "1\n2\n" * 200, ["--rate", "1e30"], "--rate 1e+30 is too high: a network has diverged"),
        ("", [], "no line of names"),
    ],
    ids=["column", "short", "gap", "words", "rate", "diverged", "empty"],
)
def test_bad_input_is_told_in_a_line(tmp_path, content, arguments, says):
    file = tmp_path / "series.csv"
    file.write_text(content)
    done = foresee(file, *arguments)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
