"""What README, CONTRIBUTING and the guides tell people to type works."""

from __future__ import annotations

import inspect
import re
import warnings
from pathlib import Path

import custom_cells
import pytest
from custom_cells import CAN_COMPILE

import carrousel
from bench import __main__, custom_cell
from carrousel.cells import Cell
from carrousel.cli import bench, run
from carrousel.codegen.tape import OPERATIONS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs" / "custom-cell.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_blocks(text, name):
    """One after another, in one namespace, and no warning but that nothing can be compiled here."""
    names: dict = {"__name__": name}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if not CAN_COMPILE:
            warnings.simplefilter("ignore", carrousel.NoKernelWarning)
        for block in blocks(text, "python"):
            exec(compile(block, name, "exec"), names)
    return names


def test_the_readmes_python_runs():
    assert all(len([line for line in block.splitlines() if line]) <= 12 for block in blocks(README, "python"))
    assert run_blocks(README, "readme")["layer"].compiled == CAN_COMPILE


def test_the_tutorials_python_runs_and_has_ten_lines():
    first, *_ = blocks(TUTORIAL, "python")
    assert len([line for line in first.splitlines() if line]) == 10
    assert run_blocks(TUTORIAL, "tutorial")["layer"].compiled == CAN_COMPILE


def test_the_tutorials_unit_is_the_one_that_is_measured_and_tested():
    bodies = [
        [line.split("#")[0].rstrip() for line in text.split("n, f, m = rows")[1].splitlines()[1:4]]
        for text in (
            README,
            TUTORIAL,
            inspect.getsource(custom_cell),
            inspect.getsource(custom_cells.minimal_gated_unit),
        )
    ]
    assert bodies[1:] == bodies[:-1]


def test_the_tutorials_operations_are_those_of_a_tape():
    named = TUTORIAL.split("functions: `")[1].split("`")[0].split()
    assert set(named) <= set(OPERATIONS)
    assert set(named) == set(
        re.findall(r"[a-z0-9_]+", carrousel.cell.__doc__.split("functions of torch:")[1].split(".")[0])
    )


def test_contributings_cell_is_a_cell():
    (block,) = blocks(CONTRIBUTING, "python")
    names: dict = {}
    exec(compile(block, "CONTRIBUTING.md", "exec"), names)
    assert isinstance(names["CELL"], Cell)


# ---- the guides -----------------------------------------------------------------------------------------------------

# equation-to-kernel.md shows pieces of files, and a test of its own holds it to them.
PAGES = sorted(
    path
    for path in (ROOT / "docs").rglob("*.md")
    if "```python" in path.read_text(encoding="utf-8") and path.name != "equation-to-kernel.md"
)

# A block behind such a comment is not run: it needs a library that the tests do not have, or another test runs it.
NOT_RUN = re.compile(r"^<!-- not run: [^\n]+ -->\n```python\n.*?^```", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_guides_python_runs(page):
    run_blocks(NOT_RUN.sub("", page.read_text(encoding="utf-8")), page.name)


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 120


def test_make_has_the_targets_that_are_named():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    install = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^make ([a-z-]+)", "".join(blocks(README + CONTRIBUTING + install, "sh")), re.MULTILINE))
    assert named >= {"demo", "test", "check", "bench", "docs"}
    assert named <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


TEXTS = [README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]
LINES = [line for text in TEXTS for block in blocks(text, "sh") for line in block.splitlines()]
COMMANDS = sorted({line.split("#")[0].strip() for line in LINES if line.startswith("carrousel")})


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_their_options_exist(line, capsys):
    _, *words = line.split()
    commands = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
    commands = commands if commands[0] in ("train", "bench") else commands[:1]
    assert run([*commands, "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(option in printed for option in words if option.startswith("--"))


def test_benchmarks_that_are_named_exist():
    ours = {command.name for command in __main__.app.registered_commands}
    users = {command.name for command in bench.app.registered_commands}
    for text in (*TEXTS, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), CONTRIBUTING):
        assert set(re.findall(r"python -m bench ([a-z][a-z0-9-]+)", text)) <= ours
        assert set(re.findall(r"carrousel bench ([a-z][a-z0-9-]+)", text)) <= users


def test_files_that_are_named_exist():
    _, map_of_files = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8").split("## Where things are")
    paths = re.findall(r"(?:^|\s)([\w./]+(?:/|\.py))(?=\s|,)", map_of_files.split("```")[1])
    assert len(paths) > 10
    folders = [ROOT, ROOT / "src" / "carrousel"]
    assert [path for path in paths if not any((folder / path).exists() for folder in folders)] == []


def test_the_readmes_links_lead_somewhere():
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in link]
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []
