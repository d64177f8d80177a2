"""Every instruction set this machine can run: the same promises as the best one, which the other tests use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from sequences import CELLS, SIZES, WAYS, Shape, assert_same_bits, draws_of, make_sequence, run, same_bits
from twins import Size, assert_as_exact, assert_equal_to_1e10

from carrousel.fused import fused
from carrousel.fused.kernels import instruction_set, instruction_sets, use_instruction_set
from carrousel.scan import scan

TARGETS = instruction_sets()
needs_targets = pytest.mark.skipif(not TARGETS, reason="built without kernels: there are no instruction sets")


@pytest.fixture(autouse=True)
def best_afterwards():
    """Whatever a test chooses, the next one gets what was in use before."""
    before = instruction_set() if TARGETS else None
    yield
    if before:
        use_instruction_set(before)


@needs_targets
def test_the_best_is_in_use():
    forced = os.environ.get("CARROUSEL_ISA")
    assert instruction_set() == (forced or TARGETS[0])
    assert "baseline" in TARGETS


@needs_targets
@pytest.mark.grid(target=TARGETS or ["none"], cell=CELLS, size=SIZES, way=list(WAYS))
def test_every_target_equals_scan(target, cell, size, way):
    use_instruction_set(target)
    assert instruction_set() == target
    sequence = make_sequence(cell, size, way)
    assert_equal_to_1e10(run(fused, sequence, torch.float64), run(scan, sequence, torch.float64))
    assert_as_exact(draws_of(lambda: make_sequence(cell, size, way)))


@needs_targets
@pytest.mark.grid(target=TARGETS or ["none"], cell=CELLS, dtype=[torch.float32, torch.float64])
def test_every_target_keeps_bits(target, cell, dtype):
    """For any number of threads, and for time split in the middle."""
    use_instruction_set(target)
    sequence = make_sequence(cell, Size(T=8, B=13, I=5, H=41), shape=Shape(bias=True)).to(dtype)
    alone = run(fused, sequence, dtype)
    torch.set_num_threads(3)
    assert_same_bits(run(fused, sequence, dtype), alone)
    x = sequence.tensors["x"]
    first, states = sequence.call(fused, x=x[:3])
    second, _ = sequence.call(fused, x=x[3:], **dict(zip(sequence.cell.states, states)))
    assert same_bits(torch.cat([first, second]), alone["y"])


@needs_targets
def test_an_unknown_one_is_refused():
    with pytest.raises(ValueError, match="abacus"):
        use_instruction_set("abacus")


def import_with(target):
    """A fresh Python that imports carrousel with CARROUSEL_ISA set, and prints what is in use."""
    code = "import carrousel.fused.kernels; print(carrousel.fused.kernels.instruction_set())"
    environment = {**os.environ, "CARROUSEL_ISA": target}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@needs_targets
def test_the_environment_forces_one():
    for target in TARGETS:
        assert import_with(target).stdout.strip() == target


@needs_targets
def test_the_environment_is_told_of_its_mistake():
    """One that this machine cannot run is never chosen in silence."""
    assert "abacus" in import_with("abacus").stderr
