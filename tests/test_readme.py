"""What the README and CONTRIBUTING tell people to type is there."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from carrousel.cells import base
from carrousel.cli import run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_readmes_python_runs():
    (block,) = blocks(README, "python")
    assert len([line for line in block.splitlines() if line]) <= 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(block, "README.md", "exec"), {})


def test_contributings_cell_is_one():
    (block,) = blocks(CONTRIBUTING, "python")
    names: dict = {}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    assert isinstance(names["CELL"], base.Cell)


def test_make_has_the_targets_that_are_named():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)", "".join(blocks(README + CONTRIBUTING, "sh"))))
    assert named >= {"demo", "test", "check", "bench"}
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


COMMANDS = [line for block in blocks(README, "sh") for line in block.splitlines() if line.startswith("carrousel")]


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_their_options_exist(line, capsys):
    _, *words = line.split()
    commands = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
    commands = commands if commands[0] in ("train", "bench") else commands[:1]
    assert run([*commands, "--help"]) == 0
    told = capsys.readouterr().out
    assert all(option in told for option in words if option.startswith("--"))


def test_files_that_are_named_exist():
    _, map_of_files = README.split("## Where things are")
    paths = re.findall(r"(?:^|\s)([\w./]+(?:/|\.py))(?=\s|,)", map_of_files.split("```")[1])
    assert len(paths) > 10
    folders = [ROOT, ROOT / "src" / "carrousel"]
    assert [path for path in paths if not any((folder / path).exists() for folder in folders)] == []
