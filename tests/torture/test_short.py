"""A few of each part of `python -m tests.torture`, and that it finds what is wrong."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
from runs import ENVIRONMENT

from tests.torture.damage import damage
from tests.torture.findings import judge

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_few_of_each(tmp_path):
    """In a process of its own: one that trained before has threads, and children of it cannot train."""
    few = ["--tasks", "text,classify", "--kills", "2", "--files", "60", "--disk", "2", "--rounds", "3"]
    command = [sys.executable, "-m", "tests.torture", *few, "--keep", str(tmp_path / "faults")]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = {what: int(count) for count, what in re.findall(r"^ +(\d+)  (.*)$", done.stdout, re.M)}
    for task in ("text", "classify"):
        assert counts[f"kills {task}: SIGKILLs"] >= counts[f"kills {task}: runs resumed to the same end"] == 2
        assert counts[f"disk {task}: filled up, and the last checkpoint was good"] == 2
        assert counts[f"checkpoints {task}: refused in one line"] > 0
    assert sum(count for what, count in counts.items() if what.startswith(("files", "checkpoints"))) >= 60
    assert not (tmp_path / "faults").exists()


@pytest.mark.parametrize(
    ("code", "errors", "wrong"),
    [
        (0, "", ""),
        (2, "carrousel: x.csv is empty: name another\n", ""),
        (None, "", "it hangs"),
        (-11, "Fatal Python error", "ended by SIGSEGV: Fatal Python error"),
        (0, "UserWarning: ...", "exit code 0, and on stderr: UserWarning: ..."),
        (1, "Traceback ...", "exit code 1: Traceback ..."),
        (2, "carrousel: one\ntwo\n", "exit code 2: carrousel: one\ntwo\n"),
        (2, "carrousel: out of memory: less\n", "asked for more than 2 GB: carrousel: out of memory: less\n"),
    ],
)
def test_what_is_wrong_is_seen(code, errors, wrong):
    assert judge(code, errors) == wrong


def test_damage_depends_on_its_seed_only_and_is_of_many_kinds():
    content = random.Random(1).randbytes(3000) + b"count 17 of 230\n" * 20
    damaged = [damage(content, seed) for seed in range(300)]
    assert damaged == [damage(content, seed) for seed in range(300)]
    assert len(set(damaged)) > 200
    assert b"" in damaged
    assert any(b"99999999999999999999" in each for each in damaged)
    assert any(len(each) == len(content) and sorted(each) == sorted(content) != list(each) for each in damaged)
