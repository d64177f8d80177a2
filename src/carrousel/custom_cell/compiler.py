"""The machine's C++ compiler, which makes a shared library of kernels for custom cells.

A library is compiled from the generated steps and the kernels' sources, which are installed with the package. It needs
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

PATIENCE = 600  # seconds; a library takes about ten seconds


class NoKernel(Exception):
    """The reason why a cell has no kernel."""


class Compiler(NamedTuple):
    """The command of the compiler, and the output of --version."""

    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler:
    """The compiler in the environment variable CXX, else the first of c++, g++ and clang++ on PATH.

    Raises:
        NoKernel: there is no compiler, or it does not run.
    """
    try:
        named = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise NoKernel(f"CXX={os.environ['CXX']} is not a valid command: {error}. Fix CXX or unset it") from error
    for command in [named] if named else [["c++"], ["g++"], ["clang++"]]:
        if found := shutil.which(command[0]):
            return Compiler((found, *command[1:]), _version((found, *command[1:])))
    missing = f"CXX={' '.join(named)} was not found" if named else "neither c++ nor g++ nor clang++ is on PATH"
    raise NoKernel(f"there is no C++ compiler: {missing}. Install one (on Debian: apt install g++)")


@cache
def _version(command: tuple[str, ...]) -> str:
    return _run([*command, "--version"], "does not run").stdout


def find_sources() -> Path:
    """The folder of the kernels' sources: in the installed package, or in the source tree of this file.

    Raises:
        NoKernel: it does not exist, or is not the one from which the extension was compiled.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "kernels", package.parents[1] / "kernels"):
        if (folder / "src" / "one_cell_library.cpp").exists():
            break
    else:
        raise NoKernel("the kernels' sources were not installed with carrousel: install it again")
    shared = [folder / "include" / "carrousel" / "sequence.hpp", folder / "src" / "target.hpp"]
    if "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in shared) != kernels.interface_digest():
        raise NoKernel(f"carrousel's extension was compiled from other sources than {folder}: install carrousel again")
    return folder


class Recipe(NamedTuple):
    """Everything that a library is compiled from; `digest` changes with any of it."""

    compiler: Compiler
    flags: tuple[str, ...]
    sources: Path
    headers: dict[str, str]  # the contents of carrousel/cells/*.hpp: the generated steps of the cells, and all.hpp

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hexadecimal."""
        content = hashlib.sha256(repr((self.compiler, self.flags, sorted(self.headers.items()))).encode())
        for file in sorted(self.sources.rglob("*.?pp")):
            if "tests" not in file.parts and "lstm1997" not in file.parts:  # not part of a library
                content.update(file.relative_to(self.sources).as_posix().encode() + file.read_bytes())
        return content.hexdigest()

    def make(self, library: Path) -> None:
        """Compile the library.

        Raises:
            NoKernel: the compiler fails, with its first error.
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


def make_recipe(headers: dict[str, str]) -> Recipe:
    """The recipe of a library of these cells, for the current instruction set.

    Raises:
        NoKernel: there is no compiler, or there are no sources.
    """
    return Recipe(find_compiler(), tuple(shlex.split(kernels.compile_flags())), find_sources(), headers)


def _run(command: list[str], what: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except subprocess.TimeoutExpired as error:
        raise NoKernel(f"the compiler {command[0]} took more than {PATIENCE} seconds") from error
    except subprocess.CalledProcessError as error:
        said = [line for line in error.stderr.splitlines() if not line.startswith("collect2")]  # "ld returned 1"
        lines = [line for line in said if "error" in line] or said
        reason = lines[0] if lines else f"exit status {error.returncode}"
        raise NoKernel(f"the compiler {command[0]} {what}: {reason}") from error
    except OSError as error:
        raise NoKernel(f"the compiler {command[0]} does not run: {error}") from error
