"""What can not be generated says so, and names what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from carrousel.cells import Cell, sigmoid, tanh
from carrousel.codegen import CodegenError, header, headers


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda x, h: (x.sin(),), "'sin'"),
        (lambda x, h: (torch.cos(x),), "'cos'"),
        (lambda x, h: (torch.sort(x),), "'sort'"),
        (lambda x, h: (x.sum(),), "'sum'"),
        (lambda x, h: (torch.cat([x, h]),), "cat"),
        (lambda x, h: (torch.nn.functional.relu(x, inplace=True),), "inplace=True"),
        (lambda x, h: (x + torch.ones(1),), r"tensor\(\[1"),
        (lambda x, h: (torch.maximum(torch.ones(1), x),), r"maximum\(\) of a tensor from outside the step"),
        (lambda x, h: ((x > 0) + (h > 0),), "arithmetic on a comparison"),
        (lambda x, h: (x > 0,), "arithmetic on a comparison"),
        (lambda x, h: (torch.where((x > 0) & h, x, h),), "no comparison"),
        (lambda x, h: (x.where(h, x),), "no comparison"),
        (lambda x, h: (x**0.3,), "power 0.3"),
        (lambda x, h: (2**x,), r"\*\*"),
        (lambda x, h: (x if x > h else h,), "decision"),
        (lambda x, h: (max(x, h),), "decision"),
        (lambda x, h: (x and h,), "decision"),
        (lambda x, h: (x * "2",), "'2'"),
        (lambda x, h: (x + float("inf"),), "inf"),
        (lambda x, h: (x[0],), "subscriptable"),
        (lambda x, h: x, "not a tuple of the states"),
        (lambda x, h: (x, h), "not a tuple of the states"),
        (lambda x, h: (None,), "None"),
    ],
)
def test_what_can_not_be_generated_is_named(step, says):
    cell = Cell("mine", "a", "a", "a", "h", lambda rows, states: step(rows[0], states[0]))
    with pytest.raises(CodegenError, match=rf"cell 'mine'.*{says}"):
        header(cell)


def test_torch_functions_are_the_methods():
    """A step written with torch.tanh generates what one written with tanh does."""
    ours = Cell("mine", "a", "a", "a", "h", lambda rows, states: (tanh(sigmoid(rows[0])),))
    theirs = Cell("mine", "a", "a", "a", "h", lambda rows, states: (torch.tanh(torch.sigmoid(rows[0])),))
    assert header(theirs) == header(ours)


def test_name_with_a_meaning_in_cpp_is_refused():
    with pytest.raises(CodegenError, match="'double'"):
        header(Cell("double", "a", "a", "a", "h", lambda rows, states: (rows[0],)))


def test_more_states_than_a_kernel_carries_are_refused():
    """As sequence.hpp has it; six are fine."""
    cells = [Cell("mine", "a", "a", "a", "hcdefgk"[:n], lambda rows, states: (rows[0], *states[1:])) for n in (6, 7)]
    assert "states = 6" in header(cells[0])
    with pytest.raises(CodegenError, match="7 states, and the kernels carry at most 6"):
        header(cells[1])
    sequence = Path(__file__).resolve().parents[2] / "kernels" / "include" / "carrousel" / "sequence.hpp"
    assert f"max_states = {headers.MAX_STATES}, max_masks = {headers.MAX_MASKS};" in sequence.read_text()


def test_a_normed_cell_that_feeds_back_more_than_h_is_refused():
    cell = Cell("mine", "a", "a", "a", "hc", lambda rows, states, gains: (rows[0], states[1]), fed="hc", normed=True)
    with pytest.raises(CodegenError, match=r"fed=\('h', 'c'\), and the kernels of a normed cell feed back h alone"):
        header(cell)


def test_more_masks_than_a_kernel_draws_are_refused():
    masks = dict.fromkeys("uvwxy", 1.0)
    cell = Cell("mine", "a", "a", "a", "h", lambda rows, states, masks: (rows[0] * masks[4],), masks=masks)
    with pytest.raises(CodegenError, match="5 masks, and the kernels draw at most 4"):
        header(cell)
