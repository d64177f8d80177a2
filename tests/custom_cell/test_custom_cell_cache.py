"""Compiled libraries on disk: found again, made once by processes that start together, never half there."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from custom_cells import needs_compiler

import carrousel
from carrousel.custom_cell import cache
from carrousel.custom_cell.cache import find_folder, is_whole, load_or_make
from carrousel.custom_cell.compiler import Compiler, Recipe, find_compiler, find_sources

pytestmark = pytest.mark.slow

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setenv("CARROUSEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def counted(text=b"kernel"):
    """A `make` that writes a text, and the list of its calls."""
    calls = []

    def make(file):
        calls.append(file)
        file.write_bytes(text)

    return make, calls


def names_in(folder):
    return {file.name for file in folder.iterdir()}


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("CARROUSEL_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert find_folder() == tmp_path / ".cache" / "carrousel" / "kernels"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert find_folder() == tmp_path / "xdg" / "carrousel" / "kernels"
    monkeypatch.setenv("CARROUSEL_CACHE", str(tmp_path / "own"))
    assert find_folder() == tmp_path / "own" / "kernels"


def test_a_home_that_is_none(monkeypatch):
    monkeypatch.setenv("CARROUSEL_CACHE", "~of_nobody_at_all/kernels")
    with pytest.raises(OSError, match=r"the cache folder ~of_nobody_at_all/kernels was not found .* to another folder"):
        find_folder()


def test_what_is_there_is_not_made_again(folder):
    make, calls = counted()
    first, second = load_or_make("a.so", make), load_or_make("a.so", make)
    assert (first, len(calls)) == (second, 1)
    assert first.read_bytes() == b"kernel"
    assert names_in(folder) == {"a.so", "a.so.sha256", "a.so.lock"}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700  # what is loaded from here is code


@pytest.mark.parametrize("damage", ["cut", "changed", "no checksum", "no checksum's text", "gone"])
def test_what_is_damaged_is_made_again(folder, damage):
    make, calls = counted()
    file = load_or_make("a.so", make)
    checksum = file.with_name("a.so.sha256")
    {
        "cut": lambda: file.write_bytes(b"ker"),
        "changed": lambda: file.write_bytes(b"kernel?"),
        "no checksum": checksum.unlink,
        "no checksum's text": lambda: checksum.write_bytes(b"\xff"),
        "gone": file.unlink,
    }[damage]()
    assert not is_whole(file)
    assert load_or_make("a.so", make).read_bytes() == b"kernel"
    assert len(calls) == 2


def test_nothing_is_stored_of_what_fails(folder):
    def make(file):
        file.write_bytes(b"half")
        raise RuntimeError("it broke")

    with pytest.raises(RuntimeError, match="it broke"):
        load_or_make("a.so", make)
    assert names_in(folder) == {"a.so.lock"}


def test_a_cache_that_can_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("CARROUSEL_CACHE", str(tmp_path / "file"))
    make, calls = counted()
    with pytest.warns(RuntimeWarning, match="is not writable .* compiled in each process; set CARROUSEL_CACHE to"):
        file = load_or_make("unwritable.so", make)
    assert file.read_bytes() == b"kernel"
    with pytest.warns(RuntimeWarning, match="is not writable"):
        assert load_or_make("unwritable.so", make) == file
    assert len(calls) == 1


def slowly(file):
    file.write_bytes(b"half")
    time.sleep(0.3)
    file.write_bytes(b"kernel")


@pytest.mark.parametrize("locks", ["known", "unknown"])
def test_many_at_once(folder, monkeypatch, locks):
    """Threads stand for processes: a lock is an open file's. Without locks each makes it; it is whole at all times."""
    if locks == "unknown":
        monkeypatch.setattr(cache, "fcntl", None)
    calls, seen = [], []

    def ask():
        load_or_make("a.so", lambda file: (calls.append(file), slowly(file)))
        seen.append((folder / "a.so").read_bytes())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [b"kernel"] * 4
    assert len(calls) == 1 or locks == "unknown"
    assert {name for name in names_in(folder) if "making" in name} == set()


def endlessly(file):
    file.write_bytes(b"half")
    time.sleep(600)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that is killed in the middle is forked")
def test_a_process_that_is_killed_leaves_no_harm(folder):
    process = multiprocessing.get_context("fork").Process(target=load_or_make, args=("a.so", endlessly))
    process.start()
    while not list(folder.glob("a.so.making-*/a.so")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    make, _ = counted()
    assert load_or_make("a.so", make).read_bytes() == b"kernel"
    assert names_in(folder) == {"a.so", "a.so.sha256", "a.so.lock"}


# ---- with the compiler ----------------------------------------------------------------------------------------------

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from custom_cells import MGU
import torch
torch.manual_seed(0)
layer = MGU(4, 6, compile=True)
assert layer.compiled
print(layer(torch.ones(3, 2, 4))[0].sum().item())
"""


@needs_compiler
def test_processes_that_start_together_compile_once(tmp_path):
    """Real ones, with the real compiler, whose calls are counted."""
    log, wrapper = tmp_path / "calls", tmp_path / "c++"
    called = shlex.join(find_compiler().command)
    wrapper.write_text(f'#!/bin/sh\n[ "$1" = --version ] || echo called >> {log}\nexec {called} "$@" -O0\n')
    wrapper.chmod(0o755)
    environment = {**os.environ, "CXX": str(wrapper), "CARROUSEL_CACHE": str(tmp_path / "cache")}
    start = [sys.executable, "-c", PROGRAM, str(TESTS / "shared")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    together = [subprocess.Popen(start, **pipes) for _ in range(3)]
    told = [process.communicate(timeout=600) for process in together]
    told.append(subprocess.Popen(start, **pipes).communicate(timeout=600))  # and one that comes later
    outputs, errors = zip(*told)
    assert len(set(outputs)) == 1, errors
    assert outputs[0].strip(), errors
    assert "".join(errors).count("carrousel: compiling MGU") == 1
    assert log.read_text() == "called\n"


@needs_compiler
def test_a_library_is_known_by_all_that_it_is_made_of(tmp_path):
    copy = tmp_path / "kernels"
    (copy / "src").mkdir(parents=True)
    (copy / "src" / "tile.hpp").write_text("one")
    compiler = Compiler(("c++",), "c++ 12")
    one = Recipe(compiler, ("-O3",), copy, {"mine": "text"})
    others = [
        one._replace(compiler=Compiler(("c++",), "c++ 13")),
        one._replace(compiler=Compiler(("g++",), "c++ 12")),
        one._replace(flags=("-O2",)),
        one._replace(headers={"mine": "another"}),
        one._replace(sources=find_sources()),
    ]
    digests = {recipe.digest for recipe in (one, *others)}
    assert len(digests) == 6
    (copy / "src" / "tile.hpp").write_text("two")
    assert one.digest not in digests


@needs_compiler
def test_the_kernels_text_comes_with_the_package():
    """In the source tree it lies beside the package, installed inside it."""
    package, root = Path(carrousel.__file__).parent, TESTS.parent
    assert find_sources() == (root / "kernels" if package == root / "src" / "carrousel" else package / "kernels")
