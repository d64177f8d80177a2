"""`make test-wheel`: the wheel of `make wheel` in an empty environment, in which there is no compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(request):
    file = request.config.getoption("--wheel")
    if file is None:
        pytest.skip("it takes a minute, and a wheel: make test-wheel")
    return Path(file).resolve()


@pytest.fixture(scope="module")
def run(wheel, tmp_path_factory):
    """Runs a command of the environment in a folder that is not the repository's, with nothing else on its path."""
    folder = tmp_path_factory.mktemp("wheel")
    venv.create(folder / "environment", with_pip=True)
    programs = folder / "environment" / "bin"
    (folder / "away").mkdir()

    def run(command, *arguments, **more):
        environment = {"HOME": str(folder), **more, "PATH": str(programs)}
        line = [str(programs / command), *map(str, arguments)]
        done = subprocess.run(line, env=environment, cwd=folder / "away", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    assert not any(shutil.which(compiler, path=str(programs)) for compiler in ("c++", "g++", "clang++", "cc"))
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "HOME"}
    run("python", "-m", "pip", "install", "--no-compile", "-c", ROOT / "constraints.txt", wheel, **settings)
    return run


def test_its_tag_is_one_of_other_machines_too(wheel):
    assert re.search(r"-manylinux_\d+_\d+_\w+\.whl$", wheel.name)


def test_it_loads_its_kernels_and_computes_as_torch(run):
    run(
        "python",
        "-W",
        "error",
        "-c",
        "import carrousel, torch\n"
        "ours, theirs = carrousel.LSTM(3, 4), torch.nn.LSTM(3, 4)\n"
        "ours.load_state_dict(theirs.state_dict())\n"
        "x = torch.randn(5, 2, 3)\n"
        "torch.testing.assert_close(ours(x)[0], theirs(x)[0])",
    )


def test_it_trains_samples_and_evaluates(run):
    text = ROOT / "README.md"
    done = run("carrousel", "train", "text", text, "--steps", "30", "--hidden", "32", "--out", "run")
    assert "plain torch" not in done.stderr
    assert len(run("carrousel", "sample", "run", "--length", "50").stdout) >= 50
    assert "bits" in run("carrousel", "eval", "run", text).stdout
