"""memory="low": the very bits of memory="full", of every output and gradient, from what is kept of the states alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from custom_cells import AWKWARD, needs_compiler
from custom_cells import compiled as own_kernels
from custom_ops import check_ops, compiled, needs_ops
from hypothesis import given
from hypothesis import strategies as st
from sequences import (
    CELLS,
    RAGGED,
    SIZES,
    WAYS,
    Shape,
    assert_same_bits,
    differentiable,
    make_ragged,
    make_sequence,
    reads_h,
    run,
    same_bits,
    with_resets,
)
from torch.autograd import gradcheck, gradgradcheck
from twins import Size

from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.fused.kernels import KERNELS
from carrousel.scan.options import Options

DTYPES = {"float32": torch.float32, "float64": torch.float64}
PROJECTED = [name for name in CELLS if not reads_h(ALL[name])]
SOME = {
    name: SIZES[name]
    for name in ("H17_vector_and_tail", "H130_many_tiles", "B1", "I65_too_wide_for_the_step", "I28_and_T35")
}
SHOWN = {
    "nothing": {},
    "states": {"states": True},
    "gates": {"gates": True},
    "both": {"states": True, "gates": True},
}
ROUNDED = {
    "H33_many_rows": Size(T=40, B=9, I=6, H=33),
    "I65_W_x_of_several_steps": Size(T=9, B=3, I=65, H=34),
    "B1": Size(T=30, B=1, I=5, H=40),
}
# Several chunks of the backward pass, on one thread and dealt to more by rows and by units.
BUSY = {
    "T300_B1_one_row": Size(T=600, B=1, I=5, H=20),
    "T90_several_chunks": Size(T=90, B=13, I=20, H=65),
    "B3_H330_by_units": Size(T=6, B=3, I=70, H=330),
    "I400_H330_packed_by_panels": Size(T=3, B=2, I=400, H=330),
}
SIZE = Size(T=6, B=4, I=3, H=7)


def low(sequence):
    return replace(sequence, options=sequence.options | {"memory": "low"})


def assert_low_is_full(sequence, dtype, function=fused, names=None):
    assert_same_bits(run(function, low(sequence), dtype, names), run(fused, sequence, dtype, names))


# ---- the kernels ----------------------------------------------------------------------------------------------------


@pytest.mark.grid(cell=CELLS, size=SOME, way=list(WAYS), dtype=DTYPES, bias=[True, False])
def test_the_same_bits(cell, size, way, dtype, bias):
    assert_low_is_full(make_sequence(cell, size, way, Shape(bias)), dtype)


@pytest.mark.grid(cell=CELLS, size=SOME, way=list(RAGGED), dtype=DTYPES, resets=[True, False])
def test_ragged(cell, size, way, dtype, resets):
    sequence = make_ragged(cell, size, way)
    assert_low_is_full(with_resets(sequence) if resets else sequence, dtype)


@pytest.mark.grid(cell=CELLS, way=list(WAYS), shown=SHOWN, resets=[True, False], restored=[True, False])
def test_what_is_shown_and_resets(cell, way, shown, resets, restored):
    sequence = make_sequence(cell, Size(T=9, B=5, I=4, H=19), way)
    sequence = with_resets(sequence, restored=restored) if resets else sequence
    assert_low_is_full(replace(sequence, options=sequence.options | shown), torch.float32)


@pytest.mark.grid(cell=PROJECTED, way=["plain", "packed_reverse", "lengths"], shown=SHOWN, dtype=DTYPES)
def test_projected(cell, way, shown, dtype):
    make = make_ragged if way in RAGGED else make_sequence
    sequence = with_resets(make(cell, Size(T=40, B=9, I=4, H=19), way, Shape(projected=True)))
    assert_low_is_full(replace(sequence, options=sequence.options | shown), dtype)


@pytest.mark.grid(
    cell=CELLS, size=BUSY, way=["plain", "packed_reverse", "lengths"], dtype=DTYPES, projected=[True, False]
)
def test_any_number_of_threads(cell, size, way, dtype, projected):
    make = make_ragged if way in RAGGED else make_sequence
    sequence = with_resets(make(cell, size, way, Shape(projected=projected and cell in PROJECTED)), 0.1)
    expected = run(fused, sequence, dtype)
    for threads in (1, 3):
        torch.set_num_threads(threads)
        assert_same_bits(run(fused, low(sequence), dtype), expected)


@pytest.mark.grid(cell=CELLS, size=ROUNDED, way=["plain", "packed_reverse", "lengths"])
def test_rounded_to_bfloat16(cell, size, way):
    """As under autocast."""
    make = make_ragged if way in RAGGED else make_sequence
    sequence = with_resets(make(cell, size, way, Shape(projected=cell in PROJECTED)), 0.1)
    sequence.options["bfloat16"] = True
    assert_low_is_full(sequence, torch.float32)


@given(
    cell=st.sampled_from(CELLS),
    size=st.builds(Size, T=st.integers(1, 60), B=st.integers(1, 15), I=st.integers(1, 70), H=st.integers(1, 70)),
    way=st.sampled_from([*WAYS, *RAGGED]),
    dtype=st.sampled_from(list(DTYPES.values())),
    seed=st.integers(0, 1000),
)
def test_any_shape(cell, size, way, dtype, seed):
    torch.manual_seed(seed)
    assert_low_is_full(with_resets((make_ragged if way in RAGGED else make_sequence)(cell, size, way)), dtype)


@pytest.mark.grid(cell=CELLS, wanted=["x", "h", "weights.W", "weights.b_h"])
def test_only_some_gradients_wanted(cell, wanted):
    assert_low_is_full(make_sequence(cell, Size(T=5, B=4, I=6, H=18)), torch.float32, names=[wanted])


@pytest.mark.parametrize("cell", CELLS)
def test_a_second_backward_pass(cell):
    """What was kept is read, not used up."""
    sequence = low(make_sequence(cell, SIZE)).to(torch.float32).requires_grad_()
    y, _ = sequence.call(fused)
    first, second = (torch.autograd.grad(y.sum(), sequence.tensors["x"], retain_graph=True)[0] for _ in range(2))
    assert same_bits(first, second)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_the_slopes(cell):
    assert gradcheck(*differentiable(low(with_resets(make_sequence(cell, Size(T=4, B=2, I=2, H=3))))))


@pytest.mark.parametrize("cell", CELLS)
def test_second_derivatives_are_the_slopes_of_the_first(cell):
    assert gradgradcheck(*differentiable(low(make_sequence(cell, Size(T=2, B=2, I=1, H=2)))))


@needs_compiler
@pytest.mark.grid(cell=[cell.name for cell in AWKWARD], way=[*WAYS, *RAGGED], dtype=DTYPES)
def test_own_cells(cell, way, dtype):
    size = Size(T=30, B=11, I=5, H=21)
    of_cell = own_kernels(*AWKWARD)[cell]
    assert_low_is_full(with_resets((make_ragged if way in RAGGED else make_sequence)(of_cell, size, way)), dtype)


@needs_ops
@pytest.mark.parametrize("way", ["plain", "packed_reverse"])
def test_opcheck(way):
    torch.compiler.reset()
    check_ops(low(with_resets(make_sequence("peephole", SIZE, way))))


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
def test_compiled(cell):
    torch.compiler.reset()
    assert_low_is_full(with_resets(make_sequence(cell, SIZE)), torch.float64, function=compiled())


def test_other_values_are_refused_by_fused():
    sequence = make_sequence("lstm", SIZE)
    sequence.options["memory"] = "lowest"
    with pytest.raises(ValueError, match="memory='lowest'"):
        sequence.call(fused)


# ---- what is kept ---------------------------------------------------------------------------------------------------


@needs_ops
@pytest.mark.grid(cell=CELLS, projected=[True, False], shown=SHOWN)
def test_what_is_kept(cell, projected, shown):
    """Of each step the states but h, which is the output, and of them none that is returned anyway."""
    kernel, H = KERNELS[cell, torch.float32], 64
    full, less = (kernel.saved_sizes(H, 8, projected, Options(memory=memory, **shown)) for memory in ("full", "low"))
    assert sum(less) <= sum(full)
    if kernel.recomputes(projected, Options(memory="low", **shown)):
        assert sum(less) == (0 if "states" in shown else H * (len(kernel.cell.states) - 1))
    else:  # nothing but states was kept, or what else is needed is returned
        assert less == full


def test_pages_that_were_given_back():
    """Scratch of more than 4 MB is the system's again before the gradients are written, and is used again."""
    sequence = make_sequence("lstm", Size(T=2, B=2, I=4, H=720))
    for _ in range(3):
        assert_low_is_full(sequence, torch.float32)


PEAK = """
import sys, torch, carrousel
from bench.memory import peak, resident
torch.set_num_threads(1)
layer = carrousel.LSTM(8, 128, memory=sys.argv[1])
x = torch.randn(100, 256, 8)
def run(x):
    y, _ = layer(x)
    torch.autograd.grad(y, list(layer.parameters()), torch.ones_like(y))
run(x[:2, :8])
before = resident()
run(x)
print(peak() - before)
"""


@pytest.mark.slow
@needs_ops
def test_peak_memory():
    """13 MB for h, c and dy each; 52 MB for the gates, which are not kept."""
    full, less = (
        float(subprocess.run([sys.executable, "-c", PEAK, m], check=True, stdout=subprocess.PIPE, text=True).stdout)
        for m in ("full", "low")
    )
    assert less < 0.6 * full
    assert full - less > 45
