"""What is said of a person's cell that fails: which cell, at which step, in which line; and of a layer of no cell."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import carrousel
from carrousel import NoKernelWarning
from carrousel.cells import Cell
from carrousel.fused import instruction_set

needs_kernels = pytest.mark.skipif(
    instruction_set() is None, reason="built without kernels, which is the reason given then"
)


def notes_of(error) -> list[str]:
    """What Python prints below an exception; before 3.11 it has no place for it, and there is nothing."""
    assert sys.version_info >= (3, 11) or not hasattr(error, "__notes__")
    return getattr(error, "__notes__", None) or ["raised by the cell 'Mine' at step 2 of the sequence"] * (
        sys.version_info < (3, 11)
    )


def cell_of(step, name="Mine", states="h", **options):
    return Cell(name, rows="a", from_x="a", from_h="a", states=states, step=step, **options)


class Late:
    """A step that does as it is told to at one of its calls."""

    def __init__(self, do):
        self.left, self.do = None, do

    def __call__(self, rows, states):
        if self.left is not None:
            self.left -= 1
        return self.do(rows, states) if self.left == 0 else (rows[0].tanh(),)


def raising(rows, states):
    raise ZeroDivisionError("no such luck")


# ---- in a sequence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"return_gates": True}])
def test_an_exception_names_the_cell_and_the_step(options):
    step = Late(raising)
    layer = carrousel.Recurrent(cell_of(step), 3, 5)
    before, x = {name: p.clone() for name, p in layer.state_dict().items()}, torch.randn(6, 2, 3)
    step.left = 3
    with pytest.raises(ZeroDivisionError, match=r"^no such luck") as told:
        layer(x, **options)
    assert notes_of(told.value) == ["raised by the cell 'Mine' at step 2 of the sequence"]
    assert all(torch.equal(p, before[name]) for name, p in layer.state_dict().items())
    step.left = None
    assert layer(x)[0].shape == (6, 2, 5)


def test_in_reverse_the_step_is_that_of_the_input():
    step = Late(raising)
    layer = carrousel.Recurrent(cell_of(step), 3, 5, bidirectional=True)
    step.left = 6 + 4  # the first direction has six steps
    with pytest.raises(ZeroDivisionError) as told:
        layer(torch.randn(6, 2, 3))
    assert notes_of(told.value) == ["raised by the cell 'Mine' at step 2 of the sequence"]


def test_a_stream_that_fails_stays_where_it_was():
    step = Late(raising)
    layer = carrousel.Recurrent(cell_of(step), 3, 5).requires_grad_(False)
    state = layer.start(2)
    layer.step(torch.randn(2, 3), state)
    before = state.hx()
    step.left = 3
    with pytest.raises(ZeroDivisionError):
        layer.block(torch.randn(6, 2, 3), state)
    assert torch.equal(state.hx(), before)


@pytest.mark.parametrize("new", [(), (1, 2), (1, 2, 3)])
def test_another_number_of_states_in_the_middle(new):
    step = Late(lambda rows, states: tuple(rows[0] for _ in new))
    layer = carrousel.Recurrent(cell_of(step), 3, 5)
    step.left = 4
    with pytest.raises(ValueError, match=rf"cell 'Mine': at step 3 of .* returns {len(new)} values, expected the 1"):
        layer(torch.randn(6, 2, 3))


@pytest.mark.parametrize(
    ("new", "error", "says"),
    [
        (lambda rows: rows[0], TypeError, r"returns a Tensor, expected a tuple of the states \(h\)"),
        (lambda rows: None, TypeError, "returns a NoneType"),
        (lambda rows: (rows[0][:1],), ValueError, r"returns the state h \[1, 5\], expected \[2, 5\]"),
    ],
)
def test_what_is_no_state_in_the_middle(new, error, says):
    step = Late(lambda rows, states: new(rows))
    layer = carrousel.Recurrent(cell_of(step), 3, 5)
    step.left = 2
    with pytest.raises(error, match=rf"cell 'Mine': at step 1 of the sequence it {says}"):
        layer(torch.randn(6, 2, 3))


# ---- where a layer is made of a cell --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "error", "says"),
    [
        (lambda rows, states: rows[0], TypeError, "returns a Tensor, expected a tuple"),
        (lambda rows, states: (rows[0], rows[0]), ValueError, "returns 2 values"),
        (lambda rows, states: (rows[0].tanh_(),), ValueError, "changes the row a in place"),
        (lambda rows, states: (rows[0].sum(),), ValueError, r"makes the state h \[\]"),
    ],
)
def test_recurrent_refuses_a_step_that_is_none(step, error, says):
    with pytest.raises(error, match=f"cell 'Mine': .*{says}"):
        carrousel.Recurrent(cell_of(step), 3, 5)


def test_an_exception_where_the_cell_is_made_names_it():
    with pytest.raises(ZeroDivisionError) as told:
        carrousel.cell(raising, rows="a", states="h", name="Mine")
    expected = "raised by the cell 'Mine', tried on rows and states [2, 3]"
    assert (getattr(told.value, "__notes__", None) or [expected]) == [expected]


@pytest.mark.parametrize("cell", ["lstm", None, torch.nn.LSTM, carrousel.LSTM])
def test_what_is_no_cell(cell):
    with pytest.raises(TypeError, match=r"^cell=.* must be a Cell, such as carrousel.cells.ALL\['lstm'\]"):
        carrousel.Recurrent(cell, 3, 5)


def test_an_object_that_can_be_called_is_a_step():
    own = carrousel.cell(Late(raising), rows="a", states="h")
    assert own.__name__ == "Late"
    assert own(3, 5)(torch.randn(4, 2, 3))[0].shape == (4, 2, 5)


@pytest.mark.parametrize("field", ["rows", "states", "from_x", "from_h", "weights", "fed"])
@pytest.mark.parametrize("given", [3, [1, 2], [None]])
def test_what_are_no_names(field, given):
    with pytest.raises(TypeError, match=f"cell 'Mine': {field}=.* must be names, such as 'ifgo'"):
        carrousel.cell(raising, **{"rows": "a", "states": "h", "name": "Mine", field: given})


@pytest.mark.parametrize("name", ["class", "_a"])
@pytest.mark.parametrize("field", ["rows", "states"])
def test_names_that_no_field_can_bear(field, name):
    with pytest.raises(ValueError, match=f"{field}=.* are the names of fields, and '{name}' cannot be one"):
        carrousel.cell(raising, **{"rows": "a", "states": "h", "name": "Mine", field: [name]})


def test_compile_is_true_or_false():
    own = carrousel.cell(lambda rows, states: (rows[0],), rows="a", states="h", name="Mine")
    with pytest.raises(TypeError, match="compile='yes' must be True or False"):
        own(3, 5, compile="yes")
    with pytest.raises(TypeError, match="compile=1 must be True or False"):
        carrousel.cell(raising, rows="a", states="h", compile=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a cell's name becomes a name in C.., and 3 cannot"):
        carrousel.cell(raising, rows="a", states="h", name=3)  # type: ignore[arg-type]


def test_cells_with_masks_and_weights_are_tried_too():
    def step(rows, states, weights, masks):
        return (masks[0] * rows[0].tanh() + weights[0] * states[0],)

    cell = cell_of(step, weights="p", masks={"m": 1.0})
    assert carrousel.Recurrent(cell, 3, 5)(torch.randn(4, 2, 3))[0].shape == (4, 2, 5)


# ---- why there is no kernel -----------------------------------------------------------------------------------------


def no_symbols(a, h):
    if not isinstance(a, torch.Tensor):
        raise OSError("tensors only")
    return (a,)


REASONS = {
    "indexing": (lambda a, h: (torch.cat([a[..., :1], a[..., 1:]], -1),), r"indexing a tensor, x\[...\]: a kernel"),
    "unpacking": (lambda a, h: (torch.stack([*a]),), "looking at a tensor's parts"),
    "len": (lambda a, h: (a * (len(a) > 0),), "looking at a tensor's parts"),
    "product": (
        lambda a, h: (a @ torch.eye(a.shape[1], dtype=a.dtype) if isinstance(a, torch.Tensor) else a @ a,),
        "'@': a kernel computes each unit by itself",
    ),
    "float": (lambda a, h: (a * max(0.5, float(a.flatten()[0])),), "'flatten'"),
    "number": (lambda a, h: (a * (float(h) if h.numel() == 1 else 1.0),), "'numel'"),
    "several": (lambda a, h: (torch.stack([a, h]).sum(0),), "'stack', here of several values"),
    "floor": (lambda a, h: (a // 2,), "unsupported operand type.*//: a value of the step and 'int'"),
    "own_words": (no_symbols, "on symbols in place of tensors it raises OSError: tensors only"),
    "nested": (lambda a, h: (torch.nn.functional.softmax(a, -1),), "'softmax'"),
}


@needs_kernels
@pytest.mark.parametrize("case", REASONS)
def test_the_reason_is_in_words_and_names_the_line(case):
    step, says = REASONS[case]
    own = carrousel.cell(lambda rows, states: step(rows[0], states[0]), rows="a", states="h", name="Mine")
    with pytest.warns(NoKernelWarning, match=rf"{says}.* \(test_custom_cell_messages.py, line \d+: .+\)$") as told:
        layer = own(3, 5, compile=True)
    assert "Traced" not in str(told[0].message)
    assert layer(torch.randn(4, 1, 3))[0].shape == (4, 1, 5)


@needs_kernels
@given(data=st.data())
def test_any_method_of_a_tensor_that_is_no_operation_is_named(data):
    """Whatever a value is asked for, the layer is made, and says why it has no kernel, or has one."""
    name = data.draw(st.sampled_from([n for n in dir(torch.Tensor) if not n.startswith("_") and n not in SKIPPED]))

    def step(rows, states):
        getattr(rows[0], name)
        raise KeyError(name)

    from carrousel.codegen import CodegenError, header

    with pytest.raises(CodegenError, match=f"'{name}'"):
        header(cell_of(step))


SKIPPED = ("symbol", "tape")  # a value's own
