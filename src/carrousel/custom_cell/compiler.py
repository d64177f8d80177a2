"""The machine's C++ compiler, and one shared library of kernels for cells of one's own.

A library is made of the generated steps and of the kernels' own text, which is installed with the package: it needs
neither Python's headers nor torch's.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

from carrousel.fused import kernels

PATIENCE = 600  # seconds; a library takes about ten


class NoKernel(Exception):
    """Why a cell has no kernel, in words."""


class Compiler(NamedTuple):
    """The command that calls it, and what it says of its version."""

    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler:
    """What the environment variable CXX names, else the first of c++, g++ and clang++ on PATH.

    Raises:
        NoKernel: there is none, or it does not run.
    """
    try:
        named = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise NoKernel(f"CXX={os.environ['CXX']} is no command: {error}. Mend it, or leave it out") from error
    for command in [named] if named else [["c++"], ["g++"], ["clang++"]]:
        if found := shutil.which(command[0]):
            return Compiler((found, *command[1:]), _version((found, *command[1:])))
    missing = f"CXX={' '.join(named)} is not to be found" if named else "neither c++ nor g++ nor clang++ is on PATH"
    raise NoKernel(f"there is no C++ compiler: {missing}. Install one (on Debian: apt install g++)")


@cache
def _version(command: tuple[str, ...]) -> str:
    return _run([*command, "--version"], "does not run").stdout


def sources() -> Path:
    """The folder of the kernels' text: in the installed package, or in the source tree that this file is part of.

    Raises:
        NoKernel: it is not there, or not the one that the extension was made of.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "kernels", package.parents[1] / "kernels"):
        if (folder / "src" / "one_cell_library.cpp").exists():
            break
    else:
        raise NoKernel("the kernels' text was not installed with carrousel: install it again")
    shared = [folder / "include" / "carrousel" / "sequence.hpp", folder / "src" / "target.hpp"]
    if "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in shared) != kernels.interface_digest():
        raise NoKernel(f"carrousel's compiled part was made of other kernels than {folder}: install carrousel again")
    return folder


class Recipe(NamedTuple):
    """All that a library is made of: its `digest` changes when any of it does."""

    compiler: Compiler
    flags: tuple[str, ...]
    sources: Path
    headers: dict[str, str]  # what carrousel/cells/*.hpp say: the cells' generated steps, and all

    @property
    def digest(self) -> str:
        content = hashlib.sha256(repr((self.compiler, self.flags, sorted(self.headers.items()))).encode())
        for file in sorted(self.sources.rglob("*.?pp")):
            if "tests" not in file.parts and "lstm1997" not in file.parts:  # not part of a library
                content.update(file.relative_to(self.sources).as_posix().encode() + file.read_bytes())
        return content.hexdigest()

    def make(self, library: Path) -> None:
        """Compile the library.

        Raises:
            NoKernel: the compiler refuses; with its first complaint.
        """
        with tempfile.TemporaryDirectory(dir=library.parent) as generated:
            cells = Path(generated) / "carrousel" / "cells"
            cells.mkdir(parents=True)
            for name, text in self.headers.items():
                (cells / f"{name}.hpp").write_text(text, encoding="utf-8")
            _run(
                [
                    *self.compiler.command,
                    *self.flags,
                    *("-shared", "-fPIC", f"-DCARROUSEL_TARGET={kernels.instruction_set()}"),
                    *(f"-I{folder}" for folder in (self.sources / "include", self.sources / "src", generated)),
                    str(self.sources / "src" / "one_cell_library.cpp"),
                    *("-o", str(library)),
                ],
                "could not compile the kernel",
            )


def recipe(headers: dict[str, str]) -> Recipe:
    """What a library of these cells is made of, for the instruction set in force.

    Raises:
        NoKernel: something is missing.
    """
    return Recipe(find_compiler(), tuple(shlex.split(kernels.compile_flags())), sources(), headers)


def _run(command: list[str], what: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except subprocess.TimeoutExpired as error:
        raise NoKernel(f"the compiler {command[0]} was not done after {PATIENCE} seconds") from error
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if not line.startswith("collect2")]  # "ld returned 1"
        lines = [line for line in said if "error" in line] or said
        reason = lines[0] if lines else f"exit status {error.returncode}"
        raise NoKernel(f"the compiler {command[0]} {what}: {reason}") from error
    except OSError as error:
        raise NoKernel(f"the compiler {command[0]} does not run: {error}") from error
