"""The generator as the build runs it: without torch, the same text each time, and only what has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from carrousel import codegen
from carrousel.cells import ALL

pytestmark = pytest.mark.slow

SCRIPT = Path(codegen.__file__).parent


def test_script_runs_without_torch_and_without_the_package(tmp_path):
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = None\n"  # importing it raises
        f"sys.argv = ['codegen', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "assert not hasattr(sys.modules['carrousel'], '__version__')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert {file.stem for file in tmp_path.iterdir()} == {*ALL, "all"}
    assert all(f"X({name})" in (tmp_path / "all.hpp").read_text() for name in ALL)


def test_generation_is_deterministic(tmp_path):
    """Python's sets come in another order in each process; the text must not."""
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, SCRIPT, tmp_path / seed], env=environment, check=True)
    for file in (tmp_path / "1").iterdir():
        assert file.read_text() == (tmp_path / "2" / file.name).read_text() == (tmp_path / "3" / file.name).read_text()


def test_unchanged_headers_are_not_written_again(tmp_path):
    codegen.write(tmp_path, [ALL["lstm"]])
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))
    (tmp_path / "all.hpp").write_text("changed")
    codegen.write(tmp_path, [ALL["lstm"]])
    assert (tmp_path / "lstm.hpp").stat().st_mtime == 0
    assert (tmp_path / "all.hpp").read_text() != "changed"


def test_script_generates_the_cells_that_are_named(tmp_path):
    subprocess.run([sys.executable, SCRIPT, tmp_path, "gru", "layer_norm_lstm"], check=True)
    assert {file.stem for file in tmp_path.iterdir()} == {"all", "gru", "layer_norm_lstm"}


@pytest.mark.parametrize("arguments", [[], ["out", "lstmm"]], ids=["nothing", "a typo"])
def test_script_says_how_it_is_used(arguments, tmp_path):
    command = [sys.executable, SCRIPT, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode != 0
    assert result.stderr.startswith("usage: python src/carrousel/codegen OUT_DIR [CELL]...\ncells: coupled ")
    assert not list(tmp_path.iterdir())
