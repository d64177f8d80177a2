"""The generated C++ against autograd on the same equations, for the cells that ship, users' cells, and random ones."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from own_cells import AWKWARD, MINIMAL, random_cell

from carrousel import codegen, symbolic
from carrousel.cells import ALL, Cell, exp, relu, sigmoid, tanh
from carrousel.symbolic import CodegenError

COMPILER = shutil.which(os.environ.get("CXX", "c++"))
compiled = pytest.mark.skipif(COMPILER is None, reason="no C++ compiler: set CXX to one")
SAMPLES = 64


# ---- cells that no one ships, each awkward in its own way ------------------------------------------------------------


def plain_slstm(rows, states):
    """xLSTM's scalar cell without the stabiliser: three states, exp, and a division."""
    i, f, z, o = rows
    _, c, n = states
    c = sigmoid(f) * c + exp(i) * tanh(z)
    n = sigmoid(f) * n + exp(i)
    return sigmoid(o) * c / n, c, n


def plain_minlstm(rows, states):
    """Gates from x alone, divided by their sum; the old h is used as it is."""
    i, f, g = rows
    (h,) = states
    i, f = sigmoid(i), sigmoid(f)
    return ((f * h + i * g) / (f + i),)


def polynomial(rows, states, weights):
    """Numbers, powers, minus, values used twice, raw rows, a state that stays and one that is overwritten."""
    a, b = rows
    h, c, d = states
    (w,) = weights
    shared = 0.3 * a - b / 4
    square = shared**2 + 1
    return -shared * w + relu(square - 1.25) * h**3, c, 2 - shared / square - d**-2


def constant(rows, states):
    """A new state that is a number, and one that is a row."""
    (a,) = rows
    return a, 0.5, states[0] * 1 + 0


def shadows(rows, states, weights):
    """Names that mean something else in the C++ around them."""
    a, new, v0, u0, half = rows
    s, keep, dc = states
    one, step_of = weights
    both = sigmoid(a) * tanh(new)
    s_new = both * s + both * tanh(v0 * step_of)
    return s_new * sigmoid(u0), tanh(half) + one * keep * s_new, dc * s_new * keep


def comparisons(rows, states, weights):
    """Choices, comparisons and what is made of them, clamped twice, one bound a value."""
    a, b = rows
    h, c = states
    (w,) = weights
    open_ = torch.where((a > 0.2) & ~(b >= h) | (c != c), a * w, b)
    c = torch.clamp(c + open_, -1, 0.8).maximum(b / 2) + (a <= b) * h
    return torch.minimum(open_.clip(max=c), a), torch.lerp(c, a.sign() * b, torch.clamp(b / 6 + 0.5, 0, 1))


def analytic(rows, states):
    """Logarithms, roots and what torch calls activations."""
    f = torch.nn.functional
    a, b = rows
    h, c = states
    c = torch.log(1 + torch.exp(a)) - torch.log1p(b**2) + f.softplus(40 * c, beta=2) + (b.abs() + 1) ** 1.5
    d = (
        f.elu(a, 0.5)
        + f.leaky_relu(b)
        - f.silu(h)
        + torch.logaddexp(a, 2 * b)
        + f.relu6(4 * a)
        + f.hardtanh(b, -0.5)
        + f.softsign(c)
    )
    return torch.sqrt(1 + d.square()) * torch.expm1(b / 3), f.logsigmoid(a) * (1 + c**2) ** -0.5 + d.reciprocal() * 0.01


USERS = [
    Cell("plain_slstm", "ifzo", "ifzo", "ifzo", "hcn", plain_slstm),
    Cell("plain_minlstm", "ifg", "ifg", "", "h", plain_minlstm),
    Cell("polynomial", "ab", "ab", "b", "hcd", polynomial, "w"),
    Cell("constant", "a", "a", "a", "hcd", constant),
    Cell("comparisons", "ab", "ab", "ab", "hc", comparisons, "w"),
    Cell("analytic", "ab", "ab", "ab", "hc", analytic),
    Cell(
        "shadows",
        ("a", "new", "v0", "u0", "half"),
        ("a", "new", "v0", "u0"),
        ("v0", "u0", "half"),
        ("s", "keep", "dc"),
        shadows,
        ("one", "step_of"),
    ),
]


POINTWISE = {name: cell for name, cell in ALL.items() if not cell.normed}  # the others: test_layer_norm.py
CELLS = [*POINTWISE.values(), *USERS, MINIMAL, *AWKWARD, *map(random_cell, range(12))]
by_name = pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)


# ---- the compiled steps ---------------------------------------------------------------------------------------------

MAIN = r"""
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>
namespace carrousel {
struct Counted { double v; };  // a number that counts the operations on it
inline int operations = 0;
inline Counted operator+(Counted x, Counted y) { ++operations; return {x.v + y.v}; }
inline Counted operator-(Counted x, Counted y) { ++operations; return {x.v - y.v}; }
inline Counted operator*(Counted x, Counted y) { ++operations; return {x.v * y.v}; }
inline Counted operator/(Counted x, Counted y) { ++operations; return {x.v / y.v}; }
inline Counted operator-(Counted x) { ++operations; return {-x.v}; }
template <class V> V broadcast(double x) { return V{x}; }
inline Counted sigmoid(Counted x) { return {1 / (1 + std::exp(-x.v))}; }
inline Counted tanh(Counted x) { return {std::tanh(x.v)}; }
inline Counted exp(Counted x) { return {std::exp(x.v)}; }
inline Counted expm1(Counted x) { return {std::expm1(x.v)}; }
inline Counted log(Counted x) { return {std::log(x.v)}; }
inline Counted log1p(Counted x) { return {std::log1p(x.v)}; }
inline Counted softplus(Counted x) { return {std::fmax(x.v, 0) + std::log1p(std::exp(-std::abs(x.v)))}; }
inline Counted sqrt(Counted x) { return {std::sqrt(x.v)}; }
inline Counted abs(Counted x) { return {std::abs(x.v)}; }
inline Counted sign(Counted x) { return {double(x.v > 0) - double(x.v < 0)}; }
inline Counted clamp(Counted x, Counted l, Counted h) { return {x.v < l.v ? l.v : x.v > h.v ? h.v : x.v}; }
inline Counted maximum(Counted x, Counted y) { return {std::fmax(x.v, y.v)}; }
inline Counted minimum(Counted x, Counted y) { return {std::fmin(x.v, y.v)}; }
inline Counted less(Counted x, Counted y) { return {double(x.v < y.v)}; }
inline Counted less_equal(Counted x, Counted y) { return {double(x.v <= y.v)}; }
inline Counted equal(Counted x, Counted y) { return {double(x.v == y.v)}; }
inline Counted select(Counted mask, Counted x, Counted y) { return mask.v != 0 ? x : y; }
inline Counted relu(Counted x) { return {x.v > 0 ? x.v : 0}; }
inline Counted step_of(Counted x) { return {x.v > 0 ? 1.0 : 0.0}; }
}  // namespace carrousel
#define CARROUSEL_TARGET generic
#define CARROUSEL_INLINE inline
#include "all.hpp"
using carrousel::Counted;

// One step and its reverse for each of n samples. A state that backward says it does not read is NaN to it.
template <class C>
void run(int n, const Counted* a, const Counted* s, const Counted* p, const Counted* m, const Counted* ds_new,
         Counted* s_new, Counted* da, Counted* ds, Counted* dp) {
  const Counted nan{std::numeric_limits<double>::quiet_NaN()};
  std::vector<Counted> keep(C::kept + 1), old(C::states), now(C::states);
  for (int k = 0; k < n; ++k) {
    C::forward(a, s, p, m, s_new, keep.data());
    for (int j = 0; j < C::states; ++j) {
      old[j] = C::reads_old[j] ? s[j] : nan;
      now[j] = C::reads_new[j] ? s_new[j] : nan;
    }
    C::backward(keep.data(), old.data(), now.data(), p, m, ds_new, da, ds, dp);
    a += C::rows, s += C::states, p += C::weights, m += C::masks, ds_new += C::states;
    s_new += C::states, da += C::rows, ds += C::states, dp += C::weights;
  }
}

// The same with outputs laid on inputs: s_new on s, keep and da on a, ds on ds_new.
template <class C>
void run_in_place(int n, Counted* a, Counted* s, const Counted* p, const Counted* m, Counted* ds_new, Counted* dp) {
  std::vector<Counted> old(C::states), room(std::max(C::kept, C::rows) + 1);
  for (int k = 0; k < n; ++k) {
    std::copy(s, s + C::states, old.data());
    std::copy(a, a + C::rows, room.data());
    C::forward(room.data(), s, p, m, s, room.data());
    C::backward(room.data(), old.data(), s, p, m, ds_new, room.data(), ds_new, dp);
    std::copy(room.data(), room.data() + C::rows, a);
    a += C::rows, s += C::states, p += C::weights, m += C::masks, ds_new += C::states, dp += C::weights;
  }
}

#define STEP(c) \
  extern "C" void c##_run(int n, Counted* a, Counted* s, Counted* p, Counted* m, Counted* ds_new, Counted* s_new, \
                          Counted* da, Counted* ds, Counted* dp) { \
    run<carrousel::generic::cells::c>(n, a, s, p, m, ds_new, s_new, da, ds, dp); \
  } \
  extern "C" void c##_in_place(int n, Counted* a, Counted* s, Counted* p, Counted* m, Counted* ds_new, Counted* dp) { \
    run_in_place<carrousel::generic::cells::c>(n, a, s, p, m, ds_new, dp); \
  } \
  extern "C" void c##_facts(int* facts) { \
    using C = carrousel::generic::cells::c; \
    const int counts[] = {C::rows, C::x_first, C::x_rows, C::h_first, C::h_rows, C::states, C::weights, C::kept}; \
    std::copy(counts, counts + 8, facts); \
    std::copy(C::x_order, C::x_order + C::x_rows, facts + 8); \
    std::copy(C::h_order, C::h_order + C::h_rows, facts + 8 + C::x_rows); \
  }
CARROUSEL_CELLS(STEP)
extern "C" int take_operations() { return std::exchange(carrousel::operations, 0); }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """All cells' steps in one shared library, compiled with every warning an error."""
    folder = tmp_path_factory.mktemp("codegen")
    codegen.write(folder, CELLS)
    (folder / "main.cpp").write_text(MAIN)
    flags = ["-std=c++20", "-O0", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wshadow", "-pedantic", "-Werror"]
    command = [COMPILER, *flags, "main.cpp", "-o", "steps.so"]
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
    states = cell.step(*arguments[:2], *cell.further(arguments[2], m.unbind(1)))
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
    rows, x_first, x_rows, h_first, h_rows, states, weights, kept = map(int, facts[:8])
    orders = facts[8 : 8 + x_rows + h_rows].tolist()
    assert (rows, states, weights) == (len(cell.rows), len(cell.states), len(cell.weights))
    assert [cell.from_x[k] for k in orders[:x_rows]] == list(cell.rows[x_first : x_first + x_rows])
    assert [cell.from_h[k] for k in orders[x_rows:]] == list(cell.rows[h_first : h_first + h_rows])
    assert (x_rows, h_rows) == (len(cell.from_x), len(cell.from_h))
    assert kept == len(symbolic.derive(cell)[2])


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
        ("regularized_lstm", 27),
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


@pytest.mark.parametrize("name", POINTWISE)
def test_gradients_of_gates_add_to_backward(name):
    """Without any, backward through gates is backward; each reaches its own row, by its function's slope there."""
    forward, backward, kept, through_gates = symbolic.derive(ALL[name])
    random = np.random.default_rng(1)
    at = {symbol: random.normal() for symbol in {*backward.reads.values(), *through_gates.reads.values()}}
    gates = {place: symbol for place, symbol in through_gates.reads.items() if place.startswith("dk")}
    assert len(gates) == sum(str(value) in ALL[name].rows for value in kept)
    none = evaluate(through_gates, at | dict.fromkeys(gates.values(), 0.0))
    assert none == pytest.approx(evaluate(backward, at), abs=1e-12)
    for place, symbol in gates.items():
        gate = kept[int(place[3:-1])]
        one = evaluate(through_gates, at | dict.fromkeys(gates.values(), 0.0) | {symbol: 1.0})
        if not forward.values[gate].free_symbols <= set(forward.reads.values()):  # of values too: tests of layers
            continue
        row = f"da[{ALL[name].rows.index(str(gate))}]"
        slopes = [
            at[gate] * (1 - at[gate]),
            1 - at[gate] ** 2,
            (1 - at[gate] ** 2) / 2,
        ]  # sigmoid(a), tanh(a), tanh(a/2)
        assert any(one[row] - none[row] == pytest.approx(slope, abs=1e-12) for slope in slopes)


def evaluate(steps, at):
    """What a function of the C++ stores, in numbers."""
    functions = {
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "step_of": lambda x: float(x > 0),
        "less": lambda x, z: float(x < z),
        "less_equal": lambda x, z: float(x <= z),
        "select": lambda mask, x, z: x if mask else z,
    }
    known = {symbol.name: at[symbol] for symbol in steps.reads.values()}
    waiting = dict(steps.values)
    while waiting:
        ready = [s for s, expr in waiting.items() if {u.name for u in expr.free_symbols} <= set(known)]
        for symbol in ready:
            known[symbol.name] = number(waiting.pop(symbol), known, functions)
    return {place: number(expr, known, functions) for place, expr in steps.stores.items()}


def number(expr, known, functions):
    symbols = sorted(expr.free_symbols, key=str)
    return float(sympy.lambdify(symbols, expr, [functions, "numpy"])(*[known[s.name] for s in symbols]))


def test_kept_is_what_backward_can_not_compute():
    kept = {name: " ".join(map(str, symbolic.derive(cell)[2])) for name, cell in POINTWISE.items()}
    assert kept == {
        "lstm": "i f g o",  # tanh(c') comes from the state
        "gru": "n r z a_m",
        "lstm1997": "i g o",
        "coupled": "i g o",
        "mingru": "z g a_g",  # of a_g the choice and what it chooses are made again
        "minlstm": "f a_f a_i g a_g",
        "slstm": "z i f a_f o less_a_i",
        "peephole": "i f g o",
        "regularized_lstm": "i f g o tanh_v3",  # c~ is no state: c' is another one where c is kept
        "regularized_gru": "n r z a_m",
        "rnn_tanh": "",  # the new state is all it takes
        "rnn_relu": "",
    }


# ---- the script, as the build runs it -------------------------------------------------------------------------------


def test_script_runs_without_torch_and_without_the_package(tmp_path):
    script = Path(codegen.__file__)
    code = (
        "import runpy, sys\n"
        "sys.modules['torch'] = None\n"  # importing it raises
        f"sys.argv = ['codegen.py', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "assert not hasattr(sys.modules['carrousel'], '__version__')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert {file.stem for file in tmp_path.iterdir()} == {*ALL, "all"}
    assert all(f"X({name})" in (tmp_path / "all.hpp").read_text() for name in ALL)


def test_generation_is_deterministic(tmp_path):
    """Python's sets come in another order in each process; the text must not."""
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, codegen.__file__, tmp_path / seed], env=environment, check=True)
    for file in (tmp_path / "1").iterdir():
        assert file.read_text() == (tmp_path / "2" / file.name).read_text() == (tmp_path / "3" / file.name).read_text()


def test_unchanged_headers_are_not_written_again(tmp_path):
    codegen.write(tmp_path, [ALL["lstm"]])
    for file in tmp_path.iterdir():
        os.utime(file, (0, 0))
    (tmp_path / "all.hpp").write_text("changed")
    codegen.write(tmp_path, [ALL["lstm"]])
    assert (tmp_path / "lstm.hpp").stat().st_mtime == 0
    assert (tmp_path / "all.hpp").read_text() != "changed"


def test_script_without_a_folder_says_how_it_is_used():
    result = subprocess.run([sys.executable, codegen.__file__], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert result.stderr == "usage: python codegen.py OUT_DIR\n"


# ---- what can not be generated says so ------------------------------------------------------------------------------


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
        codegen.header(cell)


def test_torch_functions_are_the_methods():
    """A step written with torch.tanh generates what one written with tanh does."""
    ours = Cell("mine", "a", "a", "a", "h", lambda rows, states: (tanh(sigmoid(rows[0])),))
    theirs = Cell("mine", "a", "a", "a", "h", lambda rows, states: (torch.tanh(torch.sigmoid(rows[0])),))
    assert codegen.header(theirs) == codegen.header(ours)


def test_name_with_a_meaning_in_cpp_is_refused():
    with pytest.raises(CodegenError, match="'double'"):
        codegen.header(Cell("double", "a", "a", "a", "h", lambda rows, states: (rows[0],)))


def test_more_states_than_a_kernel_carries_are_refused():
    """As sequence.hpp has it; four are fine."""
    cells = [Cell("mine", "a", "a", "a", "hcdef"[:n], lambda rows, states: (rows[0], *states[1:])) for n in (4, 5)]
    assert "states = 4" in codegen.header(cells[0])
    with pytest.raises(CodegenError, match="5 states, and the kernels carry at most 4"):
        codegen.header(cells[1])
    sequence = Path(__file__).resolve().parents[1] / "kernels" / "include" / "carrousel" / "sequence.hpp"
    assert f"max_states = {codegen.MAX_STATES}, max_masks = {codegen.MAX_MASKS};" in sequence.read_text()


def test_more_masks_than_a_kernel_draws_are_refused():
    masks = dict.fromkeys("uvwxy", 1.0)
    cell = Cell("mine", "a", "a", "a", "h", lambda rows, states, masks: (rows[0] * masks[4],), masks=masks)
    with pytest.raises(CodegenError, match="5 masks, and the kernels draw at most 4"):
        codegen.header(cell)
