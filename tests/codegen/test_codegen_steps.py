"""The generated C++, compiled, against autograd on the same equations."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from codegen_cells import CELLS, by_name

from carrousel import codegen
from carrousel.cells import ALL, Cell
from carrousel.codegen.pointwise import derive

MAIN = Path(__file__).with_name("codegen_steps.cpp")
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
compiled = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler: set CXX to one")
SAMPLES = 64


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All cells' steps in one shared library, compiled with every warning an error."""
    folder = tmp_path_factory.mktemp("codegen")
    codegen.write(folder, CELLS)
    flags = ["-std=c++20", "-O0", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wshadow", "-pedantic", "-Werror"]
    command = [COMPILER, *flags, "-I.", str(MAIN), "-o", "steps.so"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return ctypes.CDLL(str(folder / "steps.so"))


def make_arguments(cell: Cell) -> list[torch.Tensor]:
    """a [SAMPLES, rows], s, p, masks and ds_new, in float64."""
    widths = [len(cell.rows), len(cell.states), len(cell.weights), len(cell.masks), len(cell.states)]
    return [torch.randn(SAMPLES, width, dtype=torch.float64) for width in widths]


def by_autograd(cell: Cell, a, s, p, m, ds_new):
    """s_new, da, ds, dp of the cell's own step, run on tensors."""
    leaves = [t.clone().requires_grad_() for t in (a, s, p)]
    arguments = [tuple(leaf.unbind(1)) for leaf in leaves]
    states = cell.step(*arguments[:2], *cell.more_arguments(arguments[2], m.unbind(1)))
    s_new = torch.stack([torch.as_tensor(state).double().expand(SAMPLES) for state in states], 1)
    gradients = torch.autograd.grad(s_new, leaves, ds_new, allow_unused=True, materialize_grads=True)
    return s_new.detach(), *gradients


def by_library(library, cell: Cell, a, s, p, m, ds_new):
    outputs = [torch.full_like(t, torch.nan) for t in (s, a, s, p)]
    library[f"{cell.name}_run"](SAMPLES, *(ctypes.c_void_p(t.data_ptr()) for t in (a, s, p, m, ds_new, *outputs)))
    return outputs


@compiled
@by_name
def test_step_and_gradients_equal_autograd(library, cell):
    arguments = make_arguments(cell)
    names = ("s_new", "da", "ds", "dp")
    for name, ours, theirs in zip(
        names, by_library(library, cell, *arguments), by_autograd(cell, *arguments), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


@compiled
@by_name
def test_outputs_may_lie_on_inputs(library, cell):
    a, s, p, m, ds_new = make_arguments(cell)
    s_new, da, ds, dp = by_library(library, cell, a, s, p, m, ds_new)
    dp_in_place = torch.empty_like(dp)
    arguments = (a, s, p, m, ds_new, dp_in_place)
    library[f"{cell.name}_in_place"](SAMPLES, *(ctypes.c_void_p(t.data_ptr()) for t in arguments))
    for in_place, apart in ((s, s_new), (a, da), (ds_new, ds), (dp_in_place, dp)):
        assert torch.equal(in_place, apart)


@compiled
@by_name
def test_constants_say_what_the_cell_says(library, cell):
    facts = np.zeros(64, np.int32)
    library[f"{cell.name}_facts"](ctypes.c_void_p(facts.ctypes.data))
    rows, x_first, x_rows, h_first, h_rows, states, weights, saved = map(int, facts[:8])
    orders = facts[8 : 8 + x_rows + h_rows].tolist()
    assert (rows, states, weights) == (len(cell.rows), len(cell.states), len(cell.weights))
    assert [cell.from_x[k] for k in orders[:x_rows]] == list(cell.rows[x_first : x_first + x_rows])
    assert [cell.from_h[k] for k in orders[x_rows:]] == list(cell.rows[h_first : h_first + h_rows])
    assert (x_rows, h_rows) == (len(cell.from_x), len(cell.from_h))
    assert saved == len(derive(cell).saved)


# Written by hand, the first two take 23 and 15.
@compiled
@pytest.mark.parametrize(
    ("name", "at_most"),
    [
        ("lstm", 19),
        ("gru", 13),
        ("lstm1997", 18),
        ("peephole", 28),
        ("coupled", 17),
        ("rnn_tanh", 3),
        ("rnn_relu", 1),
        ("regularized_lstm", 31),  # c~ and its tanh again, and an array less is saved
        ("regularized_gru", 19),
    ],
)
def test_backward_takes_few_operations(library, name, at_most):
    cell = ALL[name]
    library.take_operations()
    by_library(library, cell, *make_arguments(cell))
    forward, backward, _ = map(int, re.findall(r"// (\d+) operations", codegen.header(cell)))
    assert library.take_operations() == SAMPLES * (forward + backward), "the header's comments count otherwise"
    assert backward <= at_most
