"""What every cell must be, whichever are found, and what a badly written one is told."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import pickle
import re
import sys
from itertools import islice

import pytest
import torch
from oracle import STEPS

import carrousel.cells
from carrousel.cells import ALL, Cell, exp, relu, sigmoid, softplus, tanh

every_cell = pytest.mark.parametrize("cell", ALL.values(), ids=list(ALL))
DOUBLE = torch.float64


def test_the_papers_cells_are_found():
    torchs, ours = {"lstm", "gru", "rnn_tanh", "rnn_relu"}, {"peephole", "lstm1997"}
    masked = {"regularized_lstm", "regularized_gru"}
    assert (
        set(ALL) == torchs | ours | {"coupled", "mingru", "minlstm", "slstm", "layer_norm_lstm"} | masked == set(STEPS)
    )


# ---- every cell -----------------------------------------------------------------------------------------------------


@every_cell
def test_file_ends_with_its_bibtex(cell):
    source = inspect.getdoc(inspect.getmodule(cell.step))
    assert source is not None
    assert re.search(r"\n@(article|inproceedings)\{\w+,\n(  \w+ += .*\n)( +.*\n)*\}$", source)
    for field in ("author", "title", "year"):
        assert re.search(rf"^  {field} += \{{.+", source, re.MULTILINE), f"the BibTeX names no {field}"


@every_cell
def test_file_holds_equations_and_nothing_else(cell):
    module = ast.parse(inspect.getsource(inspect.getmodule(cell.step)))
    docstring, imported, *rest = module.body
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(imported).startswith("from carrousel.cells import Cell")
    assert all(
        isinstance(node, (ast.FunctionDef, ast.ClassDef))
        or (isinstance(node, ast.ImportFrom) and str(node.module).startswith("carrousel.cells"))
        or (isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Cell("))
        for node in rest
    )


@every_cell
def test_copies_are_the_cell(cell):
    assert pickle.loads(pickle.dumps(cell)) == cell
    assert copy.deepcopy(cell) == cell
    assert len({cell, copy.copy(cell)}) == 1


@every_cell
def test_cells_do_not_change(cell):
    with pytest.raises(dataclasses.FrozenInstanceError):
        cell.rows = ("a",)


@pytest.mark.parametrize("cell", [cell for cell in ALL.values() if not cell.normed], ids=lambda cell: cell.name)
def test_step_is_pointwise(cell):
    """Units and rows of the batch never see each other: the Jacobian by one unit is zero elsewhere."""
    values = [torch.randn(5, dtype=DOUBLE) for _ in (*cell.rows, *cell.states, *cell.weights, *cell.masks)]
    for k in range(len(values)):
        jacobians = torch.autograd.functional.jacobian(
            lambda v, k=k: call(cell, [*values[:k], v, *values[k + 1 :]]), values[k]
        )
        for jacobian in jacobians:
            assert torch.equal(jacobian, jacobian.diag().diag())


def call(cell: Cell, values):
    """The step on a flat list of rows, states, weights and, if there are any, masks."""
    rest = iter(values)
    rows, states, weights = (tuple(islice(rest, len(names))) for names in (cell.rows, cell.states, cell.weights))
    return cell.step(rows, states, *cell.more_arguments(weights, tuple(rest) or None))


# ---- what the papers say of them ------------------------------------------------------------------------------------


def test_lstm1997_carrousel_has_weight_one():
    """Constant error flow: dc'/dc is exactly 1, whatever the gates do."""
    i, g, o = torch.randn(3, 50, dtype=DOUBLE) * 4
    c = torch.randn(50, dtype=DOUBLE, requires_grad=True)
    _, c_new = ALL["lstm1997"].step((i, g, o), (torch.zeros(50), c))
    assert torch.equal(torch.autograd.grad(c_new.sum(), c)[0], torch.ones(50, dtype=DOUBLE))


def test_lstm1997_ranges():
    """g reaches from -2 to 2 and h from -1 to 1: with the gates open, the state takes in g and gives out h of it."""
    far = torch.tensor([-60.0, 0.0, 60.0], dtype=DOUBLE)
    h, c = ALL["lstm1997"].step((far.new_full((3,), 60.0), far, far.new_full((3,), 60.0)), (far * 0, far * 0))
    assert torch.allclose(c, torch.tensor([-2.0, 0.0, 2.0], dtype=DOUBLE))
    assert torch.allclose(h, torch.tanh(c / 2))
    h, _ = ALL["lstm1997"].step((far * 0, far * 0, far.new_full((3,), 60.0)), (far * 0, far))
    assert torch.allclose(h, torch.tensor([-1.0, 0.0, 1.0], dtype=DOUBLE))


def test_peephole_without_peepholes_is_lstm():
    rows, states = torch.randn(4, 9, dtype=DOUBLE), torch.randn(2, 9, dtype=DOUBLE)
    none = torch.zeros(3, 9, dtype=DOUBLE)
    for ours, theirs in zip(
        ALL["peephole"].step(rows, states, none), ALL["lstm"].step(tuple(rows), tuple(states)), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(("z", "kept"), [(60.0, 1.0), (-60.0, 0.0)])
def test_gru_update_gate_keeps_the_old_state(z, kept):
    """Cho 2014 and torch: z = 1 keeps h; Chung 2014 has it the other way about."""
    n, r, m, h = torch.randn(4, 9, dtype=DOUBLE)
    (h_new,) = ALL["gru"].step((n, r, torch.full_like(n, z), m), (h,))
    assert torch.allclose(h_new, h if kept else torch.tanh(n + torch.sigmoid(r) * m))


def test_slstm_from_the_empty_memory_gives_out_what_comes_in():
    """n' is 1 and c' is tanh(z), whatever the gates are: the paper's m = -infinity."""
    rows, zero = torch.randn(4, 9, dtype=DOUBLE) * 30, torch.zeros(9, dtype=DOUBLE)
    h, c, n, m = ALL["slstm"].step(rows, (zero,) * 4)
    z, i, _, o = rows
    assert torch.equal(n, torch.ones(9, dtype=DOUBLE))
    assert torch.equal(m, i)
    assert torch.equal(c, torch.tanh(z))
    assert torch.equal(h, torch.sigmoid(o) * torch.tanh(z))


def test_functions_are_the_tensors_own():
    x = torch.linspace(-3, 3, 7, dtype=DOUBLE)
    assert torch.equal(sigmoid(x), torch.sigmoid(x))
    assert torch.equal(tanh(x), torch.tanh(x))
    assert torch.equal(relu(x), torch.relu(x))
    assert torch.equal(exp(x), torch.exp(x))


def test_softplus_is_right_everywhere():
    """Where e^x overflows, where it is lost beside 1, and at 0, each with its slope."""
    x = torch.tensor([-800.0, -40, -1, 0, 1, 40, 800], dtype=DOUBLE, requires_grad=True)
    y = softplus(x)
    assert torch.allclose(y, torch.nn.functional.softplus(x, threshold=700), rtol=1e-15, atol=0)
    assert torch.allclose(torch.autograd.grad(y.sum(), x)[0], torch.sigmoid(x), rtol=1e-15, atol=0)


# ---- the gates that initialisations speak of ------------------------------------------------------------------------


@every_cell
def test_an_open_forget_gate_keeps_the_state(cell):
    """With it open, and the input gate shut, the memory stays as it is; the other way about, nothing of it stays."""
    if not (cell.forget_gate or cell.input_gate):
        assert cell.name in ("lstm1997", "rnn_tanh", "rnn_relu")
        return
    memory = 1 if len(cell.states) > 1 else 0
    for far, kept in ((60.0, 1.0), (-60.0, 0.0)):
        values = {name: torch.randn(9, dtype=DOUBLE) for name in (*cell.rows, *cell.states, *cell.weights)}
        values |= {name: torch.full((9,), far * sign, dtype=DOUBLE) for name, sign in gates_of(cell)}
        values |= {"n": torch.ones(9, dtype=DOUBLE), "m": torch.zeros(9, dtype=DOUBLE)} if cell.name == "slstm" else {}
        old = values[cell.states[memory]]
        new = call(cell, [values[name] for name in (*cell.rows, *cell.states, *cell.weights)])[memory]
        assert torch.allclose(new, old, atol=1e-6) == bool(kept)


def gates_of(cell):
    """The gates, and which way of each keeps the state."""
    return [(name, sign) for name, sign in ((cell.forget_gate, 1), (cell.input_gate, -1)) if name]


# ---- a cell of one's own --------------------------------------------------------------------------------------------


def make(**changed) -> Cell:
    """A good cell, unless something is changed."""
    return Cell(**{"name": "mine", "rows": "abc", "from_x": "ba", "from_h": "bc", "states": "h", "step": len} | changed)


def test_names_are_letters_or_words():
    assert make(rows=["a", "b", "c"]) == make()
    assert make().rows == ("a", "b", "c")
    assert make(states=("hidden", "cell")).states == ("hidden", "cell")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"name": "my cell"}, "'my cell'"),
        ({"rows": ("a", "b", "c+")}, r"rows=.*'c\+'"),
        ({"rows": "abcb"}, "rows=.* twice"),
        ({"from_x": "baa"}, "from_x=.* twice"),
        ({"from_h": "bcb"}, "from_h=.* twice"),
        ({"states": "hh"}, "states=.* twice"),
        ({"weights": "pp"}, "weights=.* twice"),
        ({"masks": {"my mask": 1.0}}, "masks=.*'my mask'"),
        ({"states": ""}, r"states=\(\)"),
        ({"from_x": "", "rows": "bc"}, r"from_x=\(\)"),
        ({"from_x": "bax"}, r"from_x feeds \['x'\]"),
        ({"from_h": "bcx"}, r"from_h feeds \['x'\]"),
        ({"rows": "abcd"}, r"nothing feeds \['d'\]"),
        ({"rows": "bac"}, r"write rows=\('a', 'b', 'c'\)"),
        ({"rows": "acb"}, r"write rows=\('a', 'b', 'c'\)"),
        ({"forget_gate": "f"}, r"forget_gate='f' is not among rows"),
        ({"input_gate": "i"}, r"input_gate='i' is not among rows"),
        ({"rows": "cba"}, r"write rows=\('a', 'b', 'c'\)"),
    ],
    ids=str,
)
def test_bad_cell_is_told_why(changed, says):
    with pytest.raises(ValueError, match=says):
        make(**changed)


SOURCE = """
from carrousel.cells import Cell, tanh

def step(rows, states):
    return (tanh(rows[0]),)

CELL = Cell({name!r}, rows="a", from_x="a", from_h="a", states="h", step=step)
"""


@pytest.fixture
def drop_in(tmp_path, monkeypatch):
    """Write a module that `carrousel.cells` holds for the time of a test."""
    monkeypatch.setattr(carrousel.cells, "__path__", [*carrousel.cells.__path__, str(tmp_path)])
    written = []

    def write(module: str, cell: str) -> None:
        (tmp_path / f"{module}.py").write_text(SOURCE.format(name=cell))
        written.append(module)

    yield write
    for module in written:
        del sys.modules[f"carrousel.cells.{module}"]
        delattr(carrousel.cells, module)


def test_a_cell_is_found_by_its_file(drop_in):
    drop_in("mine_1999", "mine")
    found = carrousel.cells.discover()
    assert set(found) == {*ALL, "mine"}
    assert found["mine"].step.__module__ == "carrousel.cells.mine_1999"


def test_two_cells_of_one_name_are_refused(drop_in):
    drop_in("mine_2000", "lstm")
    with pytest.raises(ValueError, match=r"'lstm', one of them in mine_2000\.py"):
        carrousel.cells.discover()
