"""Where a cell of one's own gets no kernel: it runs in torch operations, after a warning that says why."""

from __future__ import annotations

import os
import random
import re
import signal
import stat
import sys
import threading
import time

import pytest
import torch
from custom_cells import made_of, minimal_gated_unit, needs_compiler
from hypothesis import given
from hypothesis import strategies as st

import carrousel
from carrousel import NoKernelWarning
from carrousel.custom_cell import compiler
from carrousel.fused import kernels

pytestmark = pytest.mark.slow

X = torch.randn(4, 2, 3)


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """What is compiled here need not be fast."""
    if kernels.instruction_set() is not None:
        flags = re.sub(r"-O\d", "-O0", kernels.compile_flags())
        monkeypatch.setattr(kernels, "compile_flags", lambda: flags)


def assert_falls_back(layer_class, says):
    """A warning that names the cell and says why, for this very line; and a layer as if it had not been asked for."""
    torch.manual_seed(3)
    with pytest.warns(
        NoKernelWarning, match=rf"cell '{layer_class.__name__}' runs in torch operations.*{says}"
    ) as told:
        layer = layer_class(3, 5, compile=True)
    assert [warning.filename for warning in told] == [__file__]
    assert not layer.compiled
    torch.manual_seed(3)
    plain = layer_class(3, 5)
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), plain.parameters(), strict=True))
    random.seed(3)
    y, h = layer(X)
    random.seed(3)
    assert torch.equal(y, plain(X)[0])
    y.sum().backward()
    assert torch.equal(h[0], y[-1])


# ---- what can not be generated --------------------------------------------------------------------------------------


@pytest.mark.skipif(kernels.instruction_set() is None, reason="built without kernels, which is the reason given then")
@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda a, h: (torch.sort(a).values,), "'sort'"),
        (lambda a, h: (a - a.mean(-1, keepdim=True),), "'mean'"),
        (lambda a, h: (torch.softmax(a, -1),), "'softmax'"),
        (lambda a, h: (a @ torch.ones(a.shape[-1], a.shape[-1], dtype=a.dtype),), "'shape'|'@'"),
        (lambda a, h: (a if bool((a.abs() < 9).all()) else h,), "'all'"),
        (lambda a, h: (a * torch.ones(3).to(a).mean(),), r"to\(\) of no value of the step"),
        (lambda a, h: (a * torch.ones(()),), "neither a value of the step nor a finite number"),
        (lambda a, h: (a + torch.rand(a.shape[-1]).to(a) * 0,), "shape"),
        (lambda a, h: (a.detach() + h + a,), "'detach'"),
        (lambda a, h: (a.abs() ** 0.3,), "power 0.3"),
        (lambda a, h: (a.sin(),), "'sin'"),
    ],
)
def test_what_can_not_be_generated_is_named_and_runs(step, says):
    assert_falls_back(made_of(step), says)


UNKNOWN = ["sin", "cos", "atan", "erf", "floor", "round", "cumsum", "cummax", "flip", "sinh", "angle"]


@pytest.mark.skipif(kernels.instruction_set() is None, reason="built without kernels, which is the reason given then")
@given(
    operation=st.sampled_from(UNKNOWN),
    before=st.sampled_from(["tanh", "sigmoid", "relu", "exp"]),
    as_method=st.booleans(),
)
def test_any_other_operation_falls_back(operation, before, as_method):
    """Wherever it stands, and however it is written."""
    arguments = (-1,) if operation.startswith("cum") else ([-1],) if operation == "flip" else ()

    def step(a, h):
        a = getattr(a, before)() + h
        y = getattr(a, operation)(*arguments) if as_method else getattr(torch, operation)(a, *arguments)
        return (torch.tanh(y[0] if operation == "cummax" else y),)

    with pytest.warns(NoKernelWarning, match=f"'{operation}'"):
        layer = made_of(step)(3, 5, compile=True)
    assert layer(X)[0].shape == (4, 2, 5)


@needs_compiler
def test_random_numbers_are_noticed():
    """The trace saw one number, the function uses another at each step."""
    assert_falls_back(made_of(lambda a, h: (torch.tanh(a * random.random()),)), "must not depend on random numbers")


# ---- what can not be compiled ---------------------------------------------------------------------------------------


def script(folder, text):
    """An executable that answers --version as a compiler does, and then does `text`."""
    file = folder / "c++"
    file.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "c++ 99 {folder}" && exit\n{text}\n')
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


COMPILERS = {
    "not_there": ("", "CXX=.* was not found. Install one"),
    "refuses": ("echo 'x.hpp:1:2: error: no such luck' >&2; exit 1", "could not compile the kernel: .*no such luck"),
    "no_room": ("echo 'ld: no room\ncollect2: error: ld returned 1' >&2; exit 1", "the kernel: ld: no room"),
    "dies": ("kill -9 $$", "could not compile the kernel: exit status -9"),
    "makes_nonsense": ('for last; do :; done; echo nonsense > "$last"', "cannot be saved or loaded"),
    "makes_nothing": ("exit 0", "cannot be saved or loaded"),
}


@pytest.mark.skipif(kernels.instruction_set() is None, reason="built without kernels, which is the reason given then")
@pytest.mark.parametrize("case", COMPILERS)
def test_a_compiler_that_does_not_do_is_named(case, tmp_path, monkeypatch):
    text, says = COMPILERS[case]
    monkeypatch.setenv("CXX", script(tmp_path, text) if text else str(tmp_path / "c++"))
    monkeypatch.setenv("CARROUSEL_CACHE", str(tmp_path / "cache"))
    assert_falls_back(made_of(lambda a, h: (torch.tanh(a + 0.125),)), says)
    kept = [file for file in (tmp_path / "cache").rglob("*") if file.is_file() and file.suffix != ".lock"]
    assert [file for file in kept if file.suffix == ".so"] == [] or case == "makes_nonsense"


def test_a_command_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "g++ 'half a quotation")
    with pytest.raises(compiler.NoKernel, match=r"CXX=g.* 'half a quotation is not a valid command: No closing"):
        compiler.find_compiler()


@pytest.mark.skipif(kernels.instruction_set() is None, reason="built without kernels: nothing is compiled")
def test_an_interrupt_while_compiling(tmp_path, monkeypatch):
    """Ctrl-C ends it at once, and leaves nothing behind that the next one would stumble over."""
    started = tmp_path / "started"
    monkeypatch.setenv("CXX", script(tmp_path, f"touch {started}; exec sleep 60"))
    monkeypatch.setenv("CARROUSEL_CACHE", str(tmp_path / "cache"))
    own = made_of(lambda a, h: (torch.tanh(a + 0.0625),))

    def interrupt():
        while not started.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # tests side by side run in processes that ignore it
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            own(3, 5, compile=True)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert [file.suffix for file in (tmp_path / "cache" / "kernels").iterdir()] == [".lock"]
    monkeypatch.setenv("CXX", script(tmp_path, "exit 1"))
    assert_falls_back(own, "could not compile the kernel: exit status 1")


def test_no_compiler_on_the_path(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(compiler.NoKernel, match=r"neither c\+\+ nor g\+\+ nor clang\+\+ is on PATH"):
        compiler.find_compiler()


@pytest.mark.skipif(kernels.instruction_set() is None, reason="built without kernels, which is the reason given then")
def test_without_sympy(monkeypatch):
    monkeypatch.setitem(sys.modules, "carrousel.codegen", None)  # importing it raises
    assert_falls_back(made_of(lambda a, h: (torch.tanh(a + 0.25),)), "pip install sympy")


@needs_compiler
def test_an_extension_of_another_version(monkeypatch):
    monkeypatch.setattr(kernels, "interface_digest", lambda: "of other headers")
    assert_falls_back(made_of(lambda a, h: (torch.tanh(a + 0.375),)), "install carrousel again")


@needs_compiler
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")])
def test_a_layer_is_compiled_in_any_mode(mode):
    own = made_of(lambda a, h: (torch.tanh(a + 0.5),))
    with mode():
        assert own(3, 5, compile=True).compiled


def test_without_the_extension(monkeypatch):
    monkeypatch.setattr(kernels, "instruction_set", lambda: None)
    own = carrousel.cell(minimal_gated_unit, rows="nfm", from_x="fn", from_h="fm", states="h", name="Unit")
    assert_falls_back(own, "without its extension")
