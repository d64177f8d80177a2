"""The rules of the layout, held by tests: imports run one way, a cell is one file, and no name that says nothing."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "carrousel"

# A module imports only from lines above its own, and from its own line as long as nothing runs in a circle. "*" is all
# that stands on no other line; "__init__" is the package itself, with what it lists.
ORDER = [
    ["cells", "errors", "ctrl_c", "memory", "results", "tensor_file", "checkpoint"],
    ["scan", "codegen", "_kernels"],
    ["fused"],
    ["layers", "output_layer"],
    ["data"],
    ["training"],
    ["tasks"],
    ["bench"],
    ["*"],
    ["__init__"],
    ["cli", "__main__"],
]

# Who may import what from outside: the equations know no library, the generator runs in a build without torch.
ALLOWED = {
    "cells": set(),
    "codegen": {"sympy"},
    "scan": {"torch"},
    "errors": set(),
}


def imports_of(file: Path, package: Path) -> list[str]:
    """The full name of every module that a file of `package` imports, inside functions and for type checkers too."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, file, package)
            found += [submodule(base, alias.name, package) for alias in node.names]
    return found


def absolute(node: ast.ImportFrom, file: Path, package: Path) -> str:
    """The module that `from ... import` names, with leading dots resolved."""
    folder = file.parent.relative_to(package.parent).parts
    above = folder[: len(folder) - node.level + 1] if node.level else ()
    return ".".join([*above, *([node.module] if node.module else [])])


def submodule(base: str, name: str, package: Path) -> str:
    """`from base import name`: base.name where that is a module, else base."""
    path = package.parent.joinpath(*base.split("."), name)
    return f"{base}.{name}" if path.is_dir() or path.with_suffix(".py").exists() or name == "_kernels" else base


def modules(package: Path) -> dict[str, Path]:
    """Every module of the package by its full name."""
    files = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def part_of(module: str) -> str:
    """carrousel.layers.stack -> layers, carrousel -> __init__."""
    return [*module.split("."), "__init__"][1]


def rank(module: str) -> int:
    part = part_of(module)
    return next(k for k, line in enumerate(ORDER) if part in line or (line == ["*"] and not is_listed(part)))


def is_listed(part: str) -> bool:
    return any(part in line for line in ORDER)


def wrong_ways(package: Path) -> list[str]:
    """Imports that run upwards or in a circle, each in words."""
    wrong, graph = [], {}
    for name, file in modules(package).items():
        graph[name] = [m for m in imports_of(file, package) if m.split(".")[0] == "carrousel"]
        wrong += [f"{name} imports {m}" for m in graph[name] if rank(m) > rank(name)]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        wrong.append(" imports ".join(reversed(error.args[1])))
    return wrong


# ---- imports --------------------------------------------------------------------------------------------------------


def test_imports_run_one_way():
    assert wrong_ways(PACKAGE) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"scan.py": "import carrousel.layers"}, ["carrousel.scan imports carrousel.layers"]),
        ({"scan.py": "def f():\n    from carrousel import layers"}, ["carrousel.scan imports carrousel.layers"]),
        ({"scan.py": "from . import layers"}, ["carrousel.scan imports carrousel.layers"]),
        ({"cells/lstm.py": "from ..scan import scan"}, ["carrousel.cells.lstm imports carrousel.scan"]),
        ({"layers.py": "from carrousel import LSTM"}, ["carrousel.layers imports carrousel"]),
        ({"scan.py": "from carrousel.codegen import a", "codegen.py": "import carrousel.scan"}, ["circle"]),
        (
            {
                "scan.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from carrousel.codegen import a",
                "codegen.py": "import carrousel.scan",
            },
            ["circle"],
        ),
        ({"train.py": "import carrousel.cli"}, ["carrousel.train imports carrousel.cli"]),
        (
            {
                "cli.py": "import carrousel, carrousel.train",
                "train.py": "from carrousel.layers import LSTM",
            },
            [],
        ),
    ],
    ids=str,
)
def test_wrong_ways_are_found(tmp_path, files, found):
    package = tmp_path / "carrousel"
    for name in ("__init__.py", "cells/__init__.py", "layers.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("")
    for name, text in files.items():
        (package / name).write_text(text)
    wrong = wrong_ways(package)
    if found == ["circle"]:
        assert len(wrong) == 1
        assert wrong[0].count(" imports ") == 2
    else:
        assert wrong == found


@pytest.mark.parametrize("part", list(ALLOWED))
def test_outside_imports_are_few(part):
    for name, file in modules(PACKAGE).items():
        if part_of(name) == part:
            outside = {imported.split(".")[0] for imported in imports_of(file, PACKAGE)}
            assert outside - sys.stdlib_module_names - {"carrousel"} <= ALLOWED[part], name


def test_only_fused_kernels_imports_the_extension():
    importers = {
        name
        for name, file in modules(PACKAGE).items()
        if any("_kernels" in imported for imported in imports_of(file, PACKAGE))
    }
    assert importers == {"carrousel.fused.kernels"}


# ---- a folder names its files ---------------------------------------------------------------------------------------


def unnamed(package: Path) -> list[str]:
    """The files and folders that the __init__ of their folder does not name, but for cells, tasks and methods."""
    found, discovered = [], {package / "cells", package / "tasks", package / "papers" / "lstm1997" / "methods"}
    for init in sorted(init for init in package.rglob("__init__.py") if init.parent not in discovered):
        text = init.read_text(encoding="utf-8")
        inside = [
            path for path in sorted(init.parent.iterdir()) if path.suffix == ".py" or (path / "__init__.py").exists()
        ]
        names = [path.stem for path in inside if not path.name.startswith("_")]
        found += [
            str((init.parent / name).relative_to(package)) for name in names if not re.search(rf"\b{name}\b", text)
        ]
    return found


def test_folders_name_their_files():
    assert unnamed(PACKAGE) == []


def missing(package: Path) -> list[str]:
    """What an __init__ names at the start of a line of its docstring, `file.py` or `folder/`, and its folder lacks."""
    return [
        str((init.parent / name).relative_to(package))
        for init in sorted(package.rglob("__init__.py"))
        for name in re.findall(r"^(\w+(?:\.py|/))\s", init.read_text(encoding="utf-8").split('"""')[1], re.MULTILINE)
        if not (init.parent / name).exists()
    ]


def test_what_folders_name_is_there():
    assert missing(PACKAGE) == []


def test_a_name_without_a_file_is_found(tmp_path):
    (tmp_path / "scan").mkdir()
    (tmp_path / "__init__.py").write_text('"""Cells.\n\nscan/    any cell\ncells/   equations\nerrors.py  of ours\n"""')
    assert missing(tmp_path) == ["cells", "errors.py"]


def test_files_without_a_name_are_found(tmp_path):
    for name in ("scan/recurrence.py", "scan/rows.py", "layers/xlstm/__init__.py", "layers/stack.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "scan" / "__init__.py").write_text('"""recurrence.py  the steps"""')
    (tmp_path / "layers" / "__init__.py").write_text('"""stack.py  layers"""')
    assert unnamed(tmp_path) == [str(Path("layers", "xlstm")), str(Path("scan", "rows"))]


# ---- a cell is one file ---------------------------------------------------------------------------------------------

LEAKY = '''
"""h' = h / 2 + tanh(a)"""

from carrousel.cells import Cell, tanh


def step(rows, states):
    return (states[0] / 2 + tanh(rows[0]),)


CELL = Cell("leaky", rows="a", from_x="a", from_h="a", states="h", step=step)
'''

# Runs in a copy of the package and takes nothing from where it is installed; no kernel there, so all falls to `scan`.
USE = """
import importlib.machinery as machinery, sys
sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder]
sys.path.insert(0, sys.argv[1])
import torch
import carrousel
from carrousel.cells import ALL
from carrousel.scan import Weights, scan
assert carrousel.__file__.startswith(sys.argv[1]), carrousel.__file__
weights = Weights(W=torch.ones(2, 3), R=torch.zeros(2, 2))
y, _, _ = scan(ALL["leaky"], torch.zeros(4, 1, 3), (torch.ones(1, 2),), weights)
assert y[:, 0, 0].tolist() == [1 / 2, 1 / 4, 1 / 8, 1 / 16], y
layer = carrousel.Recurrent(ALL["leaky"], 3, 2)
assert layer(torch.zeros(4, 1, 3))[0].shape == (4, 1, 2)
"""


def test_adding_a_cell_touches_one_file(tmp_path):
    """Dropped into the package, a cell runs, has a layer, and has its C++; no other file knows of it."""
    shutil.copytree(PACKAGE, tmp_path / "carrousel", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (tmp_path / "carrousel" / "cells" / "leaky.py").write_text(LEAKY)
    subprocess.run([sys.executable, "-c", USE, str(tmp_path)], check=True, cwd=tmp_path)

    # the script as the build runs it, with no site-packages but those it is given, and beside a module that must not
    # hide the one that SymPy imports
    (tmp_path / "carrousel" / "codegen" / "mpmath.py").write_text(
        "raise ImportError('this is not the mpmath you look for')"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    script = [sys.executable, "-S", str(tmp_path / "carrousel" / "codegen"), str(tmp_path / "generated")]
    subprocess.run(script, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths})
    assert "struct leaky {" in (tmp_path / "generated" / "leaky.hpp").read_text()
    assert "X(leaky)" in (tmp_path / "generated" / "all.hpp").read_text()


# ---- names ----------------------------------------------------------------------------------------------------------

SAYS_NOTHING = {"util", "utils", "utility", "utilities", "helper", "helpers", "manager", "managers", "misc", "common"}
FOLDERS = ["src", "kernels", "bindings", "tests", "bench", "docs"]


def words(name: str) -> set[str]:
    """snake_case and CamelCase -> the words it is made of, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def names_of(root: Path) -> dict[str, set[str]]:
    """Each file below, with the names of its path, and of its classes and functions where it is Python."""
    names = {}
    for file in (file for folder in FOLDERS for file in sorted((root / folder).rglob("*")) if file.is_file()):
        path = file.relative_to(root)
        names[str(path)] = {*path.with_suffix("").parts}
        if file.suffix == ".py":
            tree = ast.parse(file.read_text(encoding="utf-8"))
            kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            names[str(path)] |= {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    return names


def empty_names(root: Path) -> list[str]:
    found = names_of(root)
    return [f"{path}: {name}" for path, names in found.items() for name in sorted(names) if words(name) & SAYS_NOTHING]


def test_names_say_something():
    assert empty_names(ROOT) == []


def test_names_that_say_nothing_are_found(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "text_utils.py").write_text("class RunManager: ...\ndef help_me(): ...\n")
    assert empty_names(tmp_path) == [
        f"{Path('src', 'text_utils.py')}: RunManager",
        f"{Path('src', 'text_utils.py')}: text_utils",
    ]
