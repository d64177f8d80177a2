"""What can go wrong where a cell of one's own is made: errors that name the cell, and say what to write."""

from __future__ import annotations

import pytest
import torch
from custom_cells import made_of
from hypothesis import given
from hypothesis import strategies as st

import carrousel

X = torch.randn(4, 2, 3)


def in_place(a, h):
    h += a
    return (h,)


FIELDS = ("rows", "states", "from_x", "from_h", "weights")


def behind_torchs_back(a, h):
    a.numpy()[:] += 1
    return (h,)


@pytest.mark.parametrize(
    ("step", "error", "says"),
    [
        (in_place, ValueError, r"changes the state h in place: write h = h \+"),
        (lambda a, h: (a.tanh_(),), ValueError, "changes the row a in place"),
        (behind_torchs_back, ValueError, "changes the row a in place"),
        (lambda a, h: a, TypeError, r"returns a Tensor, expected a tuple of the states \(h\): write return \(h,\)"),
        (lambda a, h: [a], TypeError, "returns a list"),
        (lambda a, h: None, TypeError, "returns a NoneType"),
        (lambda a, h: (a, h), ValueError, r"returns 2 values, expected the 1 states \(h\)"),
        (lambda a, h: (), ValueError, "returns 0 values"),
        (lambda a, h: (0.5,), TypeError, r"returns 0.5 for the state h, expected a tensor \[B, H\]"),
        (lambda a, h: (a.sum(),), ValueError, r"makes the state h \[\], expected \[2, 3\] again"),
        (lambda a, h: (a[:1],), ValueError, r"makes the state h \[1, 3\]"),
        (lambda a, h: (a.double(),), TypeError, "from torch.float32 its step makes the state h in torch.float64"),
        (lambda a, h: (a > h,), TypeError, "torch.bool"),
    ],
)
def test_a_function_that_is_no_step_is_refused(step, error, says):
    with pytest.raises(error, match=rf"cell 'Mine': .*{says}"):
        made_of(step)


def test_a_step_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match="step=3 must be a function"):
        carrousel.cell(3, rows="a", states="h")


def test_what_the_function_raises_passes_through():
    with pytest.raises(ZeroDivisionError):
        made_of(lambda a, h: (a / (1 // 0),))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"rows": "ab", "states": "h", "from_x": "a", "from_h": "a"}, "nothing feeds"),
        ({"rows": "ab", "states": "h", "from_x": "b"}, "rows=.* must begin with"),
        ({"rows": "a", "states": ""}, "states"),
        ({"rows": "aa", "states": "h"}, "twice"),
        ({"rows": "a", "states": "h", "name": "not a name"}, "'not a name'"),
    ],
)
def test_names_that_do_not_go_together_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        carrousel.cell(lambda rows, states: (rows[0],), **{"name": "Mine", **options})


@given(data=st.data())
def test_any_names_give_a_layer_that_runs_or_an_error_that_names_them(data):
    """What is drawn goes together once in a while."""
    names = {field: data.draw(st.text("abc1 ", max_size=3), label=field) for field in FIELDS}
    count = len(names["states"])

    def step(rows, states, weights=()):
        return (sum(rows) + sum(weights), *states[1:])

    said = ""
    try:
        own = carrousel.cell(step, **names, name="Mine")
    except ValueError as error:
        said = str(error)
    if said:
        assert any(field in said for field in FIELDS)
        return
    y, hx = own(3, 5)(X)
    assert y.shape == (4, 2, 5)
    assert count == 1 or len(hx) == count


def test_making_a_cell_leaves_the_programs_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    made_of(lambda a, h: (a.tanh(),))
    assert torch.equal(torch.randn(3), expected)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")])
def test_a_cell_is_made_in_any_mode(mode):
    with mode():
        made_of(lambda a, h: (a.tanh(),))
    with mode(), pytest.raises(ValueError, match="in place"):
        made_of(in_place)
