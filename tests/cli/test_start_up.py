"""What the command line imports before it needs it: nothing heavy. Times: `python -m bench start-up`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "sympy", "matplotlib", "carrousel.layers", "carrousel._kernels"}
LIGHT = [
    "--help",
    "--version",
    "sample --help",
    "eval --help",
    "predict --help",
    "reproduce --help",
    "bench --help",
    "bench layers --help",
]
WORKING = {  # commands that fail as soon as their work begins, and what they did not need
    "train --list": {"sympy", "matplotlib", "torch._dynamo", "carrousel.papers"},
    "sample nothing": {"sympy", "matplotlib", "torch._dynamo", "carrousel.papers"},
    "predict nothing nothing": {"sympy", "matplotlib", "torch._dynamo", "carrousel.papers"},
    "reproduce --list": {"sympy", "matplotlib", "torch._dynamo", "carrousel.tasks"},
}


def imported(arguments: str) -> set[str]:
    """The modules that a command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "carrousel", *arguments.split()]
    printed = subprocess.run(command, capture_output=True, text=True, timeout=60).stderr
    return set(re.findall(r"^import time:.*\| +(\S+)$", printed, re.MULTILINE))


@pytest.mark.parametrize("arguments", LIGHT)
def test_help_needs_nothing_heavy(arguments):
    found = imported(arguments)
    assert "carrousel.cli.program" in found
    assert not found & HEAVY


@pytest.mark.parametrize("arguments", WORKING)
def test_a_command_imports_what_it_needs(arguments):
    found = imported(arguments)
    assert "torch" in found
    assert not found & WORKING[arguments]
