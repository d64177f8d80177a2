"""Ctrl-C at every moment of a command, from its first import to its exit: exit code 130, and no traceback."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from runs import ENVIRONMENT, PROGRAM, obey_signals, train, write_text

pytestmark = pytest.mark.slow

# Sends SIGINT to its own process when the module in INTERRUPT_AT is about to be imported, or when Python ends.
SITECUSTOMIZE = """
import atexit, os, signal, sys

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Importing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            interrupt()

sys.meta_path.insert(0, Importing)
if os.environ["INTERRUPT_AT"] == "exit":
    atexit.register(interrupt)
"""
SCRIPT = f"""#!{sys.executable}
import re
import sys
from carrousel.cli import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""  # as pip writes it


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """With a short run in it, the script `carrousel`, and in `site` what interrupts a process."""
    folder = tmp_path_factory.mktemp("ctrl_c")
    train(write_text(folder), folder / "model")
    (folder / "carrousel").write_text(SCRIPT)
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(SITECUSTOMIZE)
    return folder


@pytest.fixture(params=["module", "script"])
def program(request, folder):
    return PROGRAM if request.param == "module" else [sys.executable, str(folder / "carrousel")]


def start(command, **environment) -> subprocess.Popen:
    """A process for which Ctrl-C is what it is in a terminal, whatever it is for this one."""
    return subprocess.Popen(
        list(map(str, command)),
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_signals,
    )


def ended(process: subprocess.Popen) -> tuple[int, str]:
    """The exit code and what stands on stderr, but for the line that ^C is on."""
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr.strip()


MOMENTS = ["numpy", "torch._C", "carrousel.layers", "carrousel.cli", "carrousel.cli.bench"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_while_it_starts(moment, program, folder):
    site = os.pathsep.join([str(folder / "site"), ENVIRONMENT["PYTHONPATH"]])
    process = start([*program, "train", "--list"], PYTHONPATH=site, INTERRUPT_AT=moment)
    assert ended(process) == (130, "")


@pytest.mark.parametrize(("arguments", "code"), [("--version", 0), ("eval nothing nothing", 2)])
def test_when_it_is_done_it_ends_as_it_would(arguments, code, folder):
    site = os.pathsep.join([str(folder / "site"), ENVIRONMENT["PYTHONPATH"]])
    found, stderr = ended(start([*PROGRAM, *arguments.split()], PYTHONPATH=site, INTERRUPT_AT="exit"))
    assert found == code
    assert "Traceback" not in stderr


def wait_for(process: subprocess.Popen, library: str) -> None:
    """Until a process has loaded a library, or has ended."""
    maps = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and library not in maps.read_text():
        time.sleep(0.001)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not say what a process has loaded")
def test_at_a_random_moment(program, folder):
    """From the first library on, which comes milliseconds after Python itself, where nobody can help it."""
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    for _ in range(3):
        process = start([*program, "sample", folder / "model", "--length", "100000000"])
        wait_for(process, "numpy")
        for _ in range(2):
            time.sleep(draw.uniform(0, 1) ** 2 * 2)
            process.send_signal(signal.SIGINT)
        assert ended(process) == (130, ""), f"seed {seed}"


def test_twice_in_a_row(folder):
    """While it writes, after which the first is on its way."""
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    for _ in range(3):
        process = start([*PROGRAM, "sample", folder / "model", "--length", "100000000"])
        assert process.stdout.read(10)
        for _ in range(2):
            process.send_signal(signal.SIGINT)
            time.sleep(draw.uniform(0, 0.003))
        assert ended(process) == (130, ""), f"seed {seed}"


LIBRARY = """
import os, signal, sys
import carrousel
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    print("mine")
"""


def test_a_program_that_imports_carrousel_keeps_its_own_way(tmp_path):
    (tmp_path / "program.py").write_text(LIBRARY)
    process = start([sys.executable, tmp_path / "program.py"])
    assert process.communicate(timeout=60) == ("mine\n", "")


def test_what_a_shell_starts_with_ctrl_c_ignored_ignores_it(folder):
    site = os.pathsep.join([str(folder / "site"), ENVIRONMENT["PYTHONPATH"]])
    environment = {**ENVIRONMENT, "PYTHONPATH": site, "INTERRUPT_AT": "torch"}
    script = 'trap "" INT; exec "$@"'
    command = ["sh", "-c", script, "sh", *PROGRAM, "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
