"""A cell's step as algebra: run once on symbols, differentiated in reverse, and simplified, by SymPy.

The step writes every operation on a tape. `derive` turns the tape into two functions, forward and backward, made of
named values; carrousel.codegen prints them as C++.

Names: a_i is a row before its function and i after it; c a state before the step and c_new after it; p_i a weight for
each unit; d... the gradient of the loss by ...; u0 u1 ... what is used more than once.
"""

from __future__ import annotations

import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

from sympy import Dummy, Function, Pow, Rational, S, Symbol, cse, numbered_symbols
from sympy.core.function import AppliedUndef

from carrousel.cells import Cell

# The derivative of each function a cell may use, written in its own value y. No other derivative is written by hand.
DERIVATIVES: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y**2,
    "relu": lambda y: Function("step_of")(y),  # 1 where y > 0, else 0
    "exp": lambda y: y,
}


class CodegenError(TypeError):
    """A cell's step does something that can not be generated."""


@dataclass(frozen=True)
class Steps:
    """One function of the C++: what it reads, computes and stores, each under its name."""

    reads: dict[str, Any]  # place -> symbol: "s[1]" -> c
    values: dict[Any, Any]  # symbol -> expression: c_new -> c f + g i
    stores: dict[str, Any]  # place -> expression: "s_new[1]" -> c_new


def derive(cell: Cell, reserved: Iterable[str] = ()) -> tuple[Steps, Steps, list[Any]]:
    """The forward step, the backward step, and the values that forward keeps for backward.

    Args:
        cell: the equations.
        reserved: words that no value may be named.

    Raises:
        CodegenError: the step uses an operation that can not be generated, or does not return the cell's states.
    """
    trace = _trace(cell, reserved)
    backward = _share(_differentiate(cell, trace), trace.taken)
    kept, again = _keep(cell, trace, backward)
    at_hand = _array("s", trace.old) | _array("p", trace.weights)
    forward = Steps(
        _array("a", trace.rows) | at_hand,
        trace.values,
        _array("s_new", trace.new) | _array("keep", kept),
    )
    reads = _array("keep", kept) | at_hand | _array("s_new", trace.new) | backward.reads
    return forward, Steps(reads, again | backward.values, backward.stores), kept


def _array(name: str, symbols: Iterable[Any]) -> dict[str, Any]:
    return {f"{name}[{k}]": symbol for k, symbol in enumerate(symbols)}


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
            raise CodegenError(f"the power {power!r}: only whole numbers are powers here")
        return self.tape.record(self.symbol**power)

    def __bool__(self) -> bool:
        raise CodegenError("a decision on a value (if, and, or, not): a step makes none, use relu or products")

    def __getattr__(self, name: str) -> Callable[[], Traced]:
        if name in DERIVATIVES:
            return lambda: self.tape.record(Function(name)(self.symbol))
        if name.startswith("__"):  # a question of Python's or torch's, not the cell's
            raise AttributeError(name)
        raise CodegenError(f"the operation {name!r}: there are + - * / **, {', '.join(DERIVATIVES)}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Traced:
        """torch.tanh(x) is x.tanh(): torch itself asks for this, and it is not imported here."""
        value = next(arg for arg in args if isinstance(arg, cls))
        return getattr(value, function.__name__)()


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
            symbol = self.known[expr] = Dummy()
            self.values[symbol] = expr
            # a power is its base more than once
            self.uses.update(dict.fromkeys(expr.free_symbols, 2 if isinstance(expr, Pow) and expr.exp != -1 else 1))
        return Traced(self, self.known[expr])

    def operand(self, value: Any) -> Any:
        """The symbol of a traced value, or a number, exact as is all arithmetic on numbers that follows."""
        if isinstance(value, Traced):
            return value.symbol
        if isinstance(value, Real) and isfinite(value):
            return Rational(value)
        raise CodegenError(f"{value!r}, which is neither a value of the step nor a finite number")


@dataclass(frozen=True)
class Trace:
    """A step as a list of named values: functions, new states, and what is used more than once."""

    rows: list[Any]
    old: list[Any]
    weights: list[Any]
    values: dict[Any, Any]
    new: list[Any]  # expressions; mostly symbols of values
    taken: set[str]  # names in use


def _trace(cell: Cell, reserved: Iterable[str]) -> Trace:
    taken, tape = set(reserved), Tape()
    rows, old, weights = (
        [Symbol(_unique(prefix + name, taken)) for name in names]
        for prefix, names in (("a_", cell.rows), ("", cell.states), ("p_", cell.weights))
    )
    arguments = [tuple(Traced(tape, symbol) for symbol in symbols) for symbols in (rows, old, weights)]
    try:
        states = cell.step(*arguments[: 3 if cell.weights else 2])
        if not isinstance(states, tuple) or len(states) != len(cell.states):
            raise CodegenError(f"it returned {states!r}, not a tuple of the states {cell.states}")
        new = [tape.operand(state) for state in states]
    except TypeError as error:  # Python's own name the operation: "bad operand type for abs()"
        raise CodegenError(f"cell {cell.name!r}: its step can not be generated: {error}") from error
    return _name_values(cell, Trace(rows, old, weights, tape.values, new, taken), tape.uses)


def _name_values(cell: Cell, raw: Trace, uses: Counter[Any]) -> Trace:
    """Name the values that stay, and write the others into the expressions that use them."""
    names: dict[Any, Any] = {}
    values: dict[Any, Any] = {}
    for symbol, expr in raw.values.items():
        expr = expr.xreplace(names)
        if symbol in raw.new:
            name = f"{cell.states[raw.new.index(symbol)]}_new"
        elif isinstance(expr, AppliedUndef):
            name = _name_of_function(cell, raw, expr)
        elif uses[symbol] > 1 and not expr.is_Atom:
            name = f"v{len(values)}"
        else:
            names[symbol] = expr
            continue
        names[symbol] = Symbol(_unique(name, raw.taken))
        values[names[symbol]] = expr
    return Trace(raw.rows, raw.old, raw.weights, values, [state.xreplace(names) for state in raw.new], raw.taken)


def _name_of_function(cell: Cell, raw: Trace, expr: Any) -> str:
    """sigmoid(a_i + ...) is i, as in the papers; tanh(c_new) is tanh_c."""
    inside = expr.free_symbols
    for row, symbol in zip(cell.rows, raw.rows):
        if symbol in inside and row not in raw.taken:
            return row
    return f"{expr.func.__name__}_{min(map(str, inside), default='number').removesuffix('_new')}"


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


# ---- the derivative -------------------------------------------------------------------------------------------------


def _differentiate(cell: Cell, trace: Trace) -> Steps:
    """The trace in reverse: gradients of the new states -> gradients of rows, old states and weights."""
    incoming = [Symbol(_unique(f"d{state}_new", trace.taken)) for state in cell.states]
    total: defaultdict[Any, Any] = defaultdict(lambda: S.Zero)
    for new, d in zip(trace.new, incoming):
        total[new] += d
    values: dict[Any, Any] = {}
    for y, expr in reversed(trace.values.items()):
        inner: Any = expr
        d, name = total[y], f"d{y}".replace("_new", "_total")
        if isinstance(expr, AppliedUndef):
            d, inner, name = d * DERIVATIVES[expr.func.__name__](y), expr.args[0], f"da_{y}"
        if not d.is_Atom:
            symbol = Symbol(_unique(name, trace.taken))
            values[symbol], d = d, symbol
        for u in inner.free_symbols:
            total[u] += d * inner.diff(u)
    targets = {"da": trace.rows, "ds": trace.old, "dp": trace.weights}
    stores = {f"{array}[{k}]": total[u] for array, symbols in targets.items() for k, u in enumerate(symbols)}
    return Steps(_array("ds_new", incoming), values, stores)


def _share(steps: Steps, taken: set[str]) -> Steps:
    """Write values that are used once where they are used; compute once what is computed twice."""
    uses = Counter(s for expr in [*steps.values.values(), *steps.stores.values()] for s in expr.free_symbols)
    once: dict[Any, Any] = {}
    values: dict[Any, Any] = {}
    for symbol, expr in steps.values.items():
        (once if uses[symbol] == 1 else values)[symbol] = expr.xreplace(once)
    simple: Any
    exprs = [*values.values(), *(expr.xreplace(once) for expr in steps.stores.values())]
    names = (symbol for symbol in numbered_symbols("u") if symbol.name not in taken)
    shared, simple = cse(exprs, symbols=names)
    stores = dict(zip(steps.stores, simple[len(values) :]))
    return Steps(steps.reads, dict(shared) | dict(zip(values, simple)), stores)


def _keep(cell: Cell, trace: Trace, backward: Steps) -> tuple[list[Any], dict[Any, Any]]:
    """What forward keeps for backward, and what backward computes again.

    Weights and states, before and after the step, are at hand, so a function of them alone, such as tanh(c'), is
    computed again; so is a sum or product of what backward has. Every other value that backward needs is kept.
    """
    at_hand = {*trace.old, *trace.weights, *trace.new}
    needed = {symbol for expr in [*backward.values.values(), *backward.stores.values()] for symbol in expr.free_symbols}
    kept, again = [], {}
    for y in [*reversed(trace.values), *reversed(trace.rows)]:
        if y not in needed or y in at_hand:
            continue
        expr = trace.values.get(y)
        if expr is not None and expr.free_symbols <= (at_hand if isinstance(expr, AppliedUndef) else at_hand | needed):
            again[y] = expr
            needed |= expr.free_symbols
        else:
            kept.append(y)
    rank = {name: k for k, row in enumerate(cell.rows) for name in (row, f"a_{row}")}
    kept.sort(key=lambda y: rank.get(str(y), len(rank)))
    return kept, again
