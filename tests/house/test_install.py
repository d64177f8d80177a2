"""`pip install .` where there is no C++ compiler, and where there is one that does not work."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def build(folder, compiler):
    """Build a wheel with CXX set to `compiler`; pip's process, done."""
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index"]
    where = ["--wheel-dir", str(folder), "--config-settings", f"build-dir={folder / 'build'}"]
    # CMake's own programs stand beside python, which need not be the first on PATH
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "CXX": str(compiler), "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return subprocess.run([*pip, *where, str(ROOT)], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel made without a compiler."""
    folder = tmp_path_factory.mktemp("wheel")
    done = build(folder, "/nowhere/c++")
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = folder.glob("carrousel-*.whl")
    return file


def test_the_wheel_has_every_module_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    expected = {str(path.relative_to(source)) for path in source.rglob("*") if path.suffix in (".py", ".pyi", ".typed")}
    assert "carrousel/py.typed" in expected
    assert names == expected


# Takes carrousel from where the wheel was unpacked, and from nowhere else.
USE = """
import importlib.machinery as machinery, sys, warnings
sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder]
sys.path.insert(0, sys.argv[1])
import torch
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import carrousel
    layers = carrousel.LSTM(3, 4), torch.nn.LSTM(3, 4)
    layers[0].load_state_dict(layers[1].state_dict())
    x = torch.randn(5, 2, 3)
    ours, theirs = (layer(x)[0] for layer in layers)
    carrousel.PeepholeLSTM(3, 4)(x)[0].sum().backward()
assert carrousel.__file__.startswith(sys.argv[1]), carrousel.__file__
torch.testing.assert_close(ours, theirs)
ours.sum().backward()
print(*[warning.message for warning in caught if "carrousel" in str(warning.message)], sep="\\n")
"""


def test_without_a_compiler_it_runs_and_says_so_once(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    done = subprocess.run([sys.executable, "-c", USE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (told,) = done.stdout.splitlines()
    assert "plain torch" in told
    assert "Install a C++20 compiler" in told


def test_a_compiler_that_does_not_work_is_an_error_with_its_reason(tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'c++: the licence has expired' >&2\nexit 1\n")
    compiler.chmod(0o755)
    done = build(tmp_path, compiler)
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "the licence has expired" in told
    assert "cmake.define.CARROUSEL_KERNELS=OFF" in told  # what to do
