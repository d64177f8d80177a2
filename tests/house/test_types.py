"""Every public name of the package has a type, so that a user's type checker knows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import carrousel

# pyright examines the package that the first python on PATH would import: ours, and the same package as these tests
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
PYRIGHT = shutil.which("pyright", path=PATH)
PACKAGE = Path(carrousel.__file__).resolve().parent


@pytest.mark.slow
@pytest.mark.skipif(PYRIGHT is None, reason="pyright is not installed: pip install 'carrousel[dev]'")
def test_every_public_name_has_a_type(tmp_path):
    environment = {**os.environ, "PATH": PATH, "PYTHONPATH": str(PACKAGE.parent)}
    command = [PYRIGHT, "--verifytypes", "carrousel", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    found = json.loads(done.stdout)["typeCompleteness"]
    assert Path(found["packageRootDirectory"]).resolve() == PACKAGE
    public = [symbol for symbol in found["symbols"] if symbol["isExported"]]
    unclear = [symbol for symbol in public if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]]
    problems = [f"{symbol['name']}: {each['message']}" for symbol in unclear for each in symbol["diagnostics"]]
    assert not unclear, "\n".join(problems)
    assert found["completenessScore"] == 1
    assert len(public) > 1000  # it has examined the package
