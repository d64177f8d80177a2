"""Too little memory: one line that says how much was asked for and what to lower, exit code 2, nothing damaged."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from runs import ENVIRONMENT, SMALL, train, write_text

from bench import __main__ as every_benchmark
from carrousel import checkpoint, memory
from carrousel.cli import run
from carrousel.errors import UserError
from carrousel.tasks.network import CELLS
from carrousel.tasks.text import TASK, TextOptions
from carrousel.training import sizes

pytestmark = pytest.mark.slow

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and RLIMIT_AS")

# The command, in a process that may take so many megabytes more when everything is imported: torch's optimisers import
# torch._dynamo at their first use.
LIMITED = """
import resource, sys
import torch._dynamo
import carrousel.tasks
from carrousel import memory
from carrousel.cli import run
used = memory.kilobytes("/proc/self/status")["VmSize"]
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]) * 10**6, resource.RLIM_INFINITY))
sys.exit(run(sys.argv[2:]))
"""
WIDE = [
    "--hidden",
    "256",
    "--batch",
    "100",
    "--length",
    "100",
    "--steps",
    "2",
    "--valid-fraction",
    "0",
]  # 37 MB or more


def limited(megabytes: int, *arguments) -> tuple[int, str]:
    """Exit code and stderr of the command with so much memory."""
    command = [sys.executable, "-c", LIMITED, str(megabytes), *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_text(tmp_path_factory.mktemp("text"), 20_000)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--hidden", "200000"],
            r"training 480,\S+ weights \(--hidden 200000, --layers 2\) .* lower --hidden or --layers",
        ),
        (["--layers", "1000000"], r"\(--hidden 384, --layers 1000000\) .* lower --hidden or --layers"),
        (["--hidden", "2000000"], "--hidden 2000000 is not allowed: it must be at least 1 and at most 1,000,000"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_a_run_that_cannot_fit_is_refused_before_it_starts(options, says, text, tmp_path, capsys):
    assert run(["train", "text", str(text), "--out", str(tmp_path / "out"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(says, line), line
    assert "is not allowed" in line or re.search(
        r"takes at least [\d.,]+ TB of memory, and [\d.,]+ [MGT]B are free", line
    )
    assert not (tmp_path / "out").exists()


@linux_only
def test_a_batch_that_cannot_fit_is_refused(text, tmp_path):
    code, stderr = limited(20, "train", "text", text, "--out", tmp_path / "out", *WIDE)
    assert code == 2
    says = r"in steps of 10,000 characters \(--batch 100 x --length 100\) takes at least \d+\.\d MB of memory, and "
    assert re.fullmatch(
        rf"carrousel: training [\d,]+ weights .* {says}.* are free: lower --batch or --length\n", stderr
    )


@linux_only
@pytest.mark.parametrize("megabytes", [50, 70, 110, 180])
def test_a_run_that_runs_out_says_so_and_keeps_its_last_checkpoint(megabytes, text, tmp_path):
    """By torch's allocator, by the kernels, by Python, whoever meets the limit: a traceback once, or an abort."""
    code, stderr = limited(megabytes, "train", "text", text, "--out", tmp_path, *WIDE)
    assert code == 2
    asked = r"out of memory( \([\d.]+ MB were asked for at once\))?"
    saved = r"(nothing was saved yet|\S+last.safetensors stays as it was saved last)"
    assert re.fullmatch(
        rf"carrousel: {asked}: training .* takes more than \d+\.\d MB; lower --batch or --length; {saved}\n", stderr
    )
    if "stays" in stderr:
        assert checkpoint.read(tmp_path / "last.safetensors", "")[0]["step"] == 0
    assert not list(tmp_path.glob("*.partial"))
    assert run(["train", "text", str(text), "--out", str(tmp_path), *WIDE, "--resume"]) == 0


@linux_only
@pytest.mark.parametrize("command", ["sample {model}", "eval {model} {text}"])
@pytest.mark.parametrize("megabytes", [20, 75])
def test_a_model_that_does_not_fit_is_one_line(command, megabytes, text, tmp_path):
    train(text, tmp_path, hidden=1024, layers=2, steps=1, valid_fraction=0.0)
    code, stderr = limited(megabytes, *command.format(model=tmp_path, text=text).split())
    assert code == 2
    asked = r"takes at least [\d.]+ MB of memory|out of memory \([\d.]+ MB were asked for at once\)"
    assert re.fullmatch(rf"carrousel: [^\n]*({asked})[^\n]*\n", stderr), stderr


def test_a_text_that_does_not_fit_is_one_line(tmp_path, capsys):
    with open(tmp_path / "text", "wb") as file:
        os.truncate(file.fileno(), 2**43)  # 9 TB of zeros, which take no room on disk
    assert run(["train", "text", str(tmp_path / "text"), "--out", str(tmp_path / "out"), *SMALL]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"text takes at least 17\.6 TB of memory, and .* are free: take a part of it", line)


def test_shapes_that_do_not_fit_are_one_line(capsys):
    assert run(["bench", "layers", "--shapes", "I4-H9999999-B1-T1", "--seconds", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"carrousel: out of memory \([\d.,]+ TB were asked for at once\): ask for less", line)
    words = ["memory", "--shapes", "I4-H9999999-B1-T1", "--seconds", "0"]
    assert run(words, every_benchmark.app, every_benchmark.PROGRAM) == 2
    assert "ours on I4-H9999999-B1-T1 ended with exit code 1" in capsys.readouterr().err


# ---- what says that memory is out, and how much there is ------------------------------------------------------------

TOO_MUCH = {
    "torch": lambda: torch.empty(2**50),
    "numpy": lambda: np.empty(2**50),
    "python": lambda: bytearray(2**60),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_errors_of_all_allocators_are_known(name):
    with pytest.raises(UserError, match=r"^out of memory.*: advice$"), memory.explained(lambda: "advice"):
        TOO_MUCH[name]()


@pytest.mark.parametrize(
    ("error", "amount"),
    [
        (MemoryError("std::bad_alloc"), 0),
        (RuntimeError("std::bad_alloc"), 0),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 6400000000 bytes."), 6.4e9),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has"), 2.5 * 2**30),
        (MemoryError("Unable to allocate 8.00 PiB for an array with shape (1,)"), 8 * 2**50),
    ],
    ids=str,
)
def test_how_much_was_asked_for(error, amount):
    assert memory.is_out(error)
    assert memory.asked_for(error) == amount


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), memory.explained(lambda: "advice"):
        raise RuntimeError("shapes do not fit")


@linux_only
def test_a_limit_of_the_process_counts():
    assert 0 < memory.available() < memory.kilobytes("/proc/meminfo")["MemTotal"] * 2
    used = memory.kilobytes("/proc/self/status")["VmSize"]
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 10**8, before[1]))
    try:
        assert memory.available() <= 10**8
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_limit_of_the_container_counts(tmp_path):
    for name, limit in (("memory.max", "max"), ("a/memory.max", "7000"), ("memory/b/memory.limit_in_bytes", "8000")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{limit}\n")
    (tmp_path / "own").write_text("0::/a/of/it\n4:memory:/b\n3:cpu,cpuacct:/c\n")
    assert sorted(memory.cgroup_limits(str(tmp_path / "own"), str(tmp_path))) == [7000, 8000]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("symbols", [65, 300])
def test_weights_are_counted_without_memory(cell, symbols):
    options, facts = TextOptions(files=("a",), cell=cell, hidden=17, layers=4).complete(), {"symbols": "x" * symbols}
    assert sizes.count_weights(TASK, options, facts) == sizes.count(TASK.model(options, facts))
