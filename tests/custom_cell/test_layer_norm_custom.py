"""Cells of one's own that are normalised: as many rows as they like, from three on, and not all fed by both."""

from __future__ import annotations

import pytest
from custom_cells import compiled, needs_compiler
from sequences import F64, RAGGED, SIZES, WAYS, make_ragged, make_sequence, run
from twins import assert_equal_to_1e10

from carrousel.cells import Cell, layer_norm, sigmoid, tanh
from carrousel.codegen import CodegenError, header
from carrousel.fused import fused
from carrousel.scan import scan

pytestmark = pytest.mark.slow


def three_rows(rows, states, weights):
    """A GRU without its reset gate; R feeds two rows only, and nothing is normalised in between."""
    n, f, g = rows
    (h,) = states
    return (sigmoid(f) * h + (1 - sigmoid(f)) * tanh(n) * sigmoid(g),)


def six_rows(rows, states, weights):
    """Two ways into the cell."""
    i, f, g, o, j, k = rows
    _, c = states
    c = sigmoid(f) * c + sigmoid(i) * tanh(g) + sigmoid(j) * tanh(k)
    return sigmoid(o) * tanh(layer_norm(c)), c


THREE = Cell("three_rows", "nfg", "nfg", "fg", "h", three_rows, normed=True)
SIX = Cell("six_rows", "ifgojk", "ifgojk", "ifgojk", "hc", six_rows, normed=True)


@needs_compiler
@pytest.mark.grid(name=["three_rows", "six_rows"], size=SIZES, way=[*WAYS, *RAGGED])
def test_the_kernel_equals_scan(name, size, way):
    make = make_ragged if way in RAGGED else make_sequence
    sequence = make(compiled(THREE, SIX)[name], size, way)
    assert_equal_to_1e10(*(run(function, sequence, F64) for function in (fused, scan)))


def test_fewer_rows_are_refused():
    cell = Cell("mine", "fg", "fg", "fg", "h", lambda rows, states, gains: (sigmoid(rows[0]) * rows[1],), normed=True)
    with pytest.raises(CodegenError, match=r"rows=\('f', 'g'\), and the kernels of a normed cell take 3 rows or more"):
        header(cell)
