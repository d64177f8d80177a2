"""A cell's equations -> the C++ of its pointwise step, forward and backward.

`step` is run once on symbols that write every operation on a tape. The tape is differentiated in reverse with SymPy, the
derivative of each function written in the function's own value; common subexpressions are shared, and the result is
printed. The build runs this file as a script, where neither torch nor the installed package is at hand:

    python src/carrousel/codegen.py OUT_DIR

Letters in the C++: a pre-activation, s state, p weight of a unit; i f g o c h as in the cell; a_i the row before its
function, i after it; c before the step, c_new after it; dc, da_i gradients.
"""

from __future__ import annotations

import operator
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

if __name__ == "__main__":
    # `carrousel` becomes a bare namespace, since its __init__ imports torch. The script's own folder leaves the path,
    # where modules of ours would hide others of the same name.
    here = Path(__file__).resolve().parent
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != here]
    sys.modules["carrousel"] = ModuleType("carrousel")
    sys.modules["carrousel"].__path__ = [str(here)]

from sympy import Add, Function, Integer, Mul, Pow, Rational, S, Symbol, cse, numbered_symbols
from sympy.core.function import AppliedUndef

from carrousel.cells import ALL, Cell

# The derivative of each function a cell may use, written in its own value y. No other derivative is written by hand.
DERIVATIVES: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y**2,
    "relu": lambda y: Function("step_of")(y),
    "exp": lambda y: y,
}

# Names that a row, state or weight may not take in the C++: its own words, and ours.
RESERVED = frozenset(
    """alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
    concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default delete
    do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
    true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
    V a s p s_new keep ds_new da ds dp one two half broadcast sigmoid tanh relu exp step_of forward backward
    name rows x_first x_rows h_first h_rows states weights kept x_order h_order reads_old reads_new""".split()
)


class CodegenError(TypeError):
    """A cell's step does something for which there is no C++."""


# ---- the tape -------------------------------------------------------------------------------------------------------


def _binary(operation: Callable[[Any, Any], Any]) -> Any:
    return lambda self, other: self.tape.record(operation(self.symbol, self.tape.operand(other)))


class Traced:
    """What `step` is given in place of a tensor: each operation on it goes to the tape."""

    def __init__(self, tape: Tape, symbol: Any) -> None:
        self.tape, self.symbol = tape, symbol

    __add__ = _binary(operator.add)
    __radd__ = _binary(lambda x, y: y + x)
    __sub__ = _binary(operator.sub)
    __rsub__ = _binary(lambda x, y: y - x)
    __mul__ = _binary(operator.mul)
    __rmul__ = _binary(lambda x, y: y * x)
    __truediv__ = _binary(operator.truediv)
    __rtruediv__ = _binary(lambda x, y: y / x)

    def __neg__(self) -> Traced:
        return self.tape.record(-self.symbol)

    def __pow__(self, power: int) -> Traced:
        if not isinstance(power, int):
            raise CodegenError(f"the power {power!r}: only integers are powers here")
        return self.tape.record(self.symbol**power)

    def __bool__(self) -> bool:
        raise CodegenError("a decision on a value (if, and, or, not): a step has none, use relu or products")

    def __getattr__(self, name: str) -> Callable[[], Traced]:
        if name in DERIVATIVES:
            return lambda: self.tape.record(Function(name)(self.symbol))
        if name.startswith("__"):  # a question of Python's or torch's, not the cell's
            raise AttributeError(name)
        raise CodegenError(f"the operation {name!r}: there are + - * / **, {', '.join(DERIVATIVES)}")

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None) -> Traced:
        """torch.tanh(x) is x.tanh(); torch asks for this itself, we need not know it."""
        value = next(arg for arg in args if isinstance(arg, cls))
        return getattr(value, function.__name__)(*args[1:], **(kwargs or {}))


class Tape:
    """The values that a step computes, in order, each an expression of rows, states, weights and earlier values."""

    def __init__(self) -> None:
        self.values: dict[Any, Any] = {}
        self.known: dict[Any, Any] = {}
        self.uses: Counter[Any] = Counter()

    def record(self, expr: Any) -> Traced:
        """Add a value, or find it where the step computes the same twice."""
        if expr.is_Atom:  # such as x * 1
            return Traced(self, expr)
        if expr not in self.known:
            self.known[expr] = Symbol(f"v{len(self.values)}")
            self.values[self.known[expr]] = expr
            for symbol in expr.free_symbols:
                # a power is its base more than once
                self.uses[symbol] += 2 if isinstance(expr, Pow) and expr.exp != -1 else 1
        return Traced(self, self.known[expr])

    def operand(self, value: Any) -> Any:
        if isinstance(value, Traced):
            return value.symbol
        if isinstance(value, Real) and isfinite(value):
            return Rational(value)  # exact, as is all arithmetic on constants that follows
        raise CodegenError(f"{value!r}, which is neither a value of the step nor a finite number")


@dataclass(frozen=True)
class Trace:
    """A step as a list of named values: functions, new states, and what is used more than once."""

    rows: list[Any]
    old: list[Any]
    weights: list[Any]
    values: dict[Any, Any]
    new: list[Any]
    taken: set[str]


def trace(cell: Cell) -> Trace:
    """Run the step on symbols.

    Raises:
        CodegenError: the step uses an operation that has no C++, or does not return one value for each state.
    """
    taken = set(RESERVED)
    rows, old, weights = (
        [Symbol(_unique(prefix + name, taken)) for name in names]
        for prefix, names in (("a_", cell.rows), ("", cell.states), ("p_", cell.weights))
    )
    tape = Tape()
    arguments = [tuple(Traced(tape, symbol) for symbol in symbols) for symbols in (rows, old, weights)]
    try:
        states = cell.step(*arguments[: 3 if cell.weights else 2])
        if not isinstance(states, tuple) or len(states) != len(cell.states):
            raise CodegenError(f"it returned {states!r}, not a tuple of the states {cell.states}")
        new = [tape.operand(state) for state in states]
    except TypeError as error:
        raise CodegenError(f"cell {cell.name!r}: no C++ can be made of its step: {error}") from error
    return _name_values(cell, Trace(rows, old, weights, tape.values, new, taken), tape.uses)


def _name_values(cell: Cell, raw: Trace, uses: Counter[Any]) -> Trace:
    """Give the values that stay their names, and write the others into the expressions that use them."""
    names: dict[Any, Any] = {}
    values: dict[Any, Any] = {}
    for symbol, expr in raw.values.items():
        expr = expr.xreplace(names)
        if symbol in raw.new:
            name = f"{cell.states[raw.new.index(symbol)]}_new"
        elif isinstance(expr, AppliedUndef):
            name = _name_of_function(cell, raw, expr)
        elif uses[symbol] > 1 and not expr.is_Atom:
            name = str(symbol)
        else:
            names[symbol] = expr
            continue
        names[symbol] = Symbol(_unique(name, raw.taken))
        values[names[symbol]] = expr
    new = [S(state).xreplace(names) for state in raw.new]
    return Trace(raw.rows, raw.old, raw.weights, values, new, raw.taken)


def _name_of_function(cell: Cell, raw: Trace, expr: Any) -> str:
    """sigmoid(a_i + ...) is i, as in the papers; tanh(c_new) is tanh_c."""
    inside = expr.free_symbols
    for row, symbol in zip(cell.rows, raw.rows):
        if symbol in inside and row not in raw.taken:
            return row
    return f"{expr.func.__name__}_{min(str(symbol) for symbol in inside).removesuffix('_new')}"


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


# ---- the derivative -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One function of the C++: what is read, what is computed, what is stored; all in the trace's names."""

    reads: dict[str, Any]  # "s[1]" -> c
    values: dict[Any, Any]
    stores: dict[str, Any]  # "s_new[1]" -> c_new


def differentiate(cell: Cell, t: Trace) -> Step:
    """The reverse of the step: gradients of the new states -> gradients of rows, old states and weights."""
    incoming = [Symbol(_unique(f"d{state}_new", t.taken)) for state in cell.states]
    total: dict[Any, Any] = defaultdict(lambda: S.Zero)
    for new, d in zip(t.new, incoming):
        total[new] += d
    values: dict[Any, Any] = {}
    for y, expr in reversed(t.values.items()):
        d, name = total[y], f"d{y}".replace("_new", "_total")
        if isinstance(expr, AppliedUndef):
            d, expr, name = d * DERIVATIVES[expr.func.__name__](y), expr.args[0], f"da_{y}"
        if not d.is_Atom:
            values[symbol := Symbol(_unique(name, t.taken))] = d
            d = symbol
        for u in expr.free_symbols:
            total[u] += d * expr.diff(u)
    targets = {"da": t.rows, "ds": t.old, "dp": t.weights}
    stores = {f"{name}[{k}]": total[u] for name, symbols in targets.items() for k, u in enumerate(symbols)}
    return _simplify(Step(_array("ds_new", incoming), values, stores), t.taken)


def _simplify(step: Step, taken: set[str]) -> Step:
    """Write values that are used once where they are used; share what is computed twice."""
    uses = Counter(s for expr in [*step.values.values(), *step.stores.values()] for s in expr.free_symbols)
    once: dict[Any, Any] = {}
    values: dict[Any, Any] = {}
    for symbol, expr in step.values.items():
        (once if uses[symbol] == 1 else values)[symbol] = expr.xreplace(once)
    exprs = [*values.values(), *(expr.xreplace(once) for expr in step.stores.values())]
    names = (symbol for symbol in numbered_symbols("u") if symbol.name not in taken)
    shared, exprs = cse(exprs, symbols=names)
    values = dict(shared) | dict(zip(values, exprs))
    return Step(step.reads, values, dict(zip(step.stores, exprs[len(values) - len(shared) :])))


def _array(name: str, symbols: Iterable[Any]) -> dict[str, Any]:
    return {f"{name}[{k}]": symbol for k, symbol in enumerate(symbols)}


def keep(cell: Cell, t: Trace, backward: Step) -> tuple[list[Any], Step]:
    """What the forward step must keep for the backward step, and the backward step that reads it.

    States are at hand before and after the step, so a function of states alone, such as tanh(c'), is computed again;
    so is a sum or product of what is at hand. Every other value that backward needs is kept.
    """
    at_hand = {*t.old, *t.weights, *t.new}
    made = {*backward.values, *backward.reads.values()}
    needed = set().union(*(expr.free_symbols for expr in [*backward.values.values(), *backward.stores.values()])) - made
    kept, again = [], {}
    for y in [*reversed(t.values), *t.rows]:
        if y not in needed or y in at_hand:
            continue
        expr = t.values.get(y)
        if expr is not None and expr.free_symbols <= at_hand | (set() if isinstance(expr, AppliedUndef) else needed):
            again[y] = expr
            needed |= expr.free_symbols
        else:
            kept.append(y)
    rank = {name: k for k, row in enumerate(cell.rows) for name in (row, f"a_{row}")}
    kept = sorted(reversed(kept), key=lambda y: rank.get(str(y), len(rank)))
    reads = _array("keep", kept) | _array("s", t.old) | _array("s_new", t.new) | _array("p", t.weights)
    return kept, Step(reads | backward.reads, again | backward.values, backward.stores)


# ---- the C++ --------------------------------------------------------------------------------------------------------

CONSTANTS = {"one": Integer(1), "two": Integer(2), "half": Rational(1, 2)}


def _cpp(expr: Any) -> str:
    """An expression with + - * / and functions only: a power is printed as its product."""
    if expr.is_Symbol:
        return expr.name
    if expr.is_Number:
        return next((name for name, value in CONSTANTS.items() if value == expr), f"broadcast<V>({float(expr)!r})")
    if isinstance(expr, AppliedUndef):
        return f"{expr.func.__name__}({_cpp(expr.args[0])})"
    if isinstance(expr, Add):
        return _cpp_sum(expr)
    return _cpp_product(expr)


def _cpp_sum(expr: Any) -> str:
    terms = sorted(expr.as_ordered_terms(), key=_is_negative)
    first, *rest = terms
    return _cpp(first) + "".join(f" - {_cpp(-term)}" if _is_negative(term) else f" + {_cpp(term)}" for term in rest)


def _is_negative(term: Any) -> bool:
    return bool(term.as_coeff_Mul()[0] < 0)


def _cpp_product(expr: Any) -> str:
    sign, expr = ("-", -expr) if _is_negative(expr) else ("", expr)
    above, below = [], []
    for factor in expr.as_ordered_factors() if isinstance(expr, Mul) else [expr]:
        base, power = factor.as_base_exp() if isinstance(factor, Pow) else (factor, Integer(1))
        text = f"({_cpp(base)})" if isinstance(base, Add) else _cpp(base)
        (above if power > 0 else below).extend([text] * abs(int(power)))
    denominator = " * ".join(below)
    if len(below) > 1:
        denominator = f"({denominator})"
    return sign + " * ".join(above or ["one"]) + (f" / {denominator}" if below else "")


def _in_order(step: Step) -> dict[Any, Any]:
    """The values that the stores need, each after those it is made of, else in the order they have."""
    needed: dict[Any, Any] = {}

    def visit(expr: Any, found: dict[Any, Any]) -> None:
        for symbol in (symbol for symbol in step.values if symbol in expr.free_symbols and symbol not in found):
            visit(step.values[symbol], found)
            found[symbol] = step.values[symbol]

    for expr in step.stores.values():
        visit(expr, needed)
    ordered: dict[Any, Any] = {}
    for symbol in step.values:
        if symbol in needed:
            visit(symbol, ordered)
    return ordered


def _loads(step: Step) -> dict[Any, str]:
    """The symbols that are read, each with the place it is read from."""
    needed = set().union(*(expr.free_symbols for expr in [*_in_order(step).values(), *step.stores.values()]))
    places = {symbol: place for place, symbol in reversed(step.reads.items())}  # one place for each
    return {symbol: place for place, symbol in step.reads.items() if symbol in needed and places[symbol] == place}


def _body(step: Step) -> list[str]:
    """Loads, values, stores: nothing is stored before all is loaded."""
    by_array = defaultdict(list)
    for symbol, place in _loads(step).items():
        by_array[place.split("[")[0]].append(f"{symbol} = {place}")
    lines = [f"const V {', '.join(loads)};" for loads in by_array.values()]
    lines += [f"const V {symbol} = {_cpp(expr)};" for symbol, expr in _in_order(step).items()]
    lines += [f"{place} = {_cpp(expr)};" for place, expr in step.stores.items()]
    used = [name for name in CONSTANTS if re.search(rf"\b{name}\b", "\n".join(lines))]
    values = (f"{name} = broadcast<V>({float(CONSTANTS[name])})" for name in used)
    return ([f"const V {', '.join(values)};"] if used else []) + lines


def operations(lines: Iterable[str]) -> int:
    """How many + - * / the printed lines hold."""
    return sum(len(re.findall(r" [-+*/] |[ (]-\w", line)) for line in lines)


def _function(name: str, inputs: str, outputs: str, step: Step) -> list[str]:
    body = _body(step)
    parameters = [f"const V* {array}" for array in inputs.split()] + [f"V* {array}" for array in outputs.split()]
    touched = {place.split("[")[0] for place in [*_loads(step).values(), *step.stores]}
    parameters = [p if p.split()[-1] in touched else f"[[maybe_unused]] {p}" for p in parameters]
    return [
        "",
        f"  // {operations(body)} operations",
        "  template <class V>",
        f"  static inline void {name}({', '.join(parameters)}) {{",
        *(f"    {line}" for line in body),
        "  }",
    ]


HEADER = """\
// Generated from the equations in {module} by carrousel/codegen.py: edit those, not this.
//
// V is a number or a vector of numbers with + - * / and unary minus, and in namespace carrousel, declared before this is
// included: broadcast<V>(double), sigmoid(V), tanh(V), relu(V), step_of(V) (1 where V > 0, else 0) and, for cells that
// use it, exp(V). A pointer is to one V for each name. Both functions load all they need before they store anything, so
// outputs may lie on inputs.
//   a     [rows]     pre-activations: {rows}
//   s     [states]   states before the step: {states};  s_new after it
//   p     [weights]  one weight a unit: {weights}
//   keep  [kept]     what backward needs of the rows: {kept}
//   d...             gradients of the loss; ds is through the pointwise step only, not through R; dp is this step's share
#pragma once

namespace carrousel::cells {{

struct {name} {{
  static constexpr const char* name = "{name}";
  // rows [x_first, x_first + x_rows) are fed by x, rows [h_first, h_first + h_rows) by h
{constants}
"""


def header(cell: Cell) -> str:
    """The C++ header of one cell.

    Raises:
        CodegenError: the step can not be generated, or the cell's name is a word of C++.
    """
    if cell.name in RESERVED:
        raise CodegenError(f"cell {cell.name!r}: its name is taken in C++: choose another")
    t = trace(cell)
    kept, backward = keep(cell, t, differentiate(cell, t))
    forward = Step(
        _array("a", t.rows) | _array("s", t.old) | _array("p", t.weights),
        t.values,
        _array("s_new", t.new) | _array("keep", kept),
    )
    lines = _function("forward", "a s p", "s_new keep", forward)
    lines += _function("backward", "keep s s_new p ds_new", "da ds dp", backward)
    spoken = {"rows": cell.rows, "states": cell.states, "weights": cell.weights, "kept": kept}
    return (
        HEADER.format(
            module=cell.step.__module__,
            name=cell.name,
            constants=_constants(cell, len(kept), set(_loads(backward).values())),
            **{key: " ".join(map(str, names)) or "none" for key, names in spoken.items()},
        )
        + "\n".join(lines[1:])
        + "\n};\n\n}  // namespace carrousel::cells\n"
    )


def _constants(cell: Cell, kept: int, loads: set[str]) -> str:
    x_rows = [row for row in cell.rows if row in cell.from_x]
    h_rows = [row for row in cell.rows if row in cell.from_h]
    counts = {
        "rows": len(cell.rows),
        "x_first": 0,
        "x_rows": len(x_rows),
        "h_first": len(cell.rows) - len(h_rows),
        "h_rows": len(h_rows),
        "states": len(cell.states),
        "weights": len(cell.weights),
        "kept": kept,
    }

    def array(kind: str, name: str, values: Iterable[Any], comment: str) -> str:
        listed = ", ".join(str(value).lower() for value in values) or "-1"  # an array can not be empty
        return f"  static constexpr {kind} {name}[] = {{{listed}}};  // {comment}"

    states = range(len(cell.states))
    return "\n".join(
        [
            f"  static constexpr int {', '.join(f'{name} = {count}' for name, count in counts.items())};",
            array("int", "x_order", map(cell.from_x.index, x_rows), "row x_first + k is fed by block x_order[k] of W"),
            array("int", "h_order", map(cell.from_h.index, h_rows), "row h_first + k is fed by block h_order[k] of R"),
            array(
                "bool", "reads_old", (f"s[{k}]" in loads for k in states), "does backward read state k before the step?"
            ),
            array("bool", "reads_new", (f"s_new[{k}]" in loads for k in states), "and after it?"),
        ]
    )


def write(folder: Path, cells: Iterable[Cell]) -> None:
    """Write one header for each cell, and all.hpp, which includes them and lists them as CARROUSEL_CELLS(X)."""
    headers = {cell.name: header(cell) for cell in cells}
    includes = "".join(f'#include "{name}.hpp"\n' for name in headers)
    listed = " ".join(f"X({name})" for name in headers)
    headers["all"] = (
        f"// Generated by carrousel/codegen.py.\n#pragma once\n\n{includes}\n#define CARROUSEL_CELLS(X) {listed}\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in headers.items():
        file = folder / f"{name}.hpp"
        if not file.exists() or file.read_text(encoding="utf-8") != text:  # else nothing is compiled anew
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python codegen.py OUT_DIR")
    write(Path(sys.argv[1]), ALL.values())
