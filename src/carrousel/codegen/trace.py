"""A step as a list of named values: its tape, with the names of the papers.

Names: a_i is a row before its function, i after it; c is a state before the step, c_new after it; p_i is a weight
vector; m_c is a mask.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import Any

from sympy import Symbol
from sympy.core.function import AppliedUndef

from carrousel.cells import GATE_FUNCTIONS, Cell
from carrousel.cells.gates import name_gates
from carrousel.codegen.tape import CodegenError, Tape, Traced


@dataclass(frozen=True)
class Trace:
    """A step as named values: functions, new states, and what is used more than once.

    Args:
        rows, old, weights, masks: symbols of the arguments of the step; `old` are the states before it.
        values: symbol -> expression, each after those it is computed from.
        new: the states after the step, expressions; mostly symbols of values.
        taken: names in use.
        normalised: value of layer_norm -> its argument; at most one.
    """

    rows: list[Any]
    old: list[Any]
    weights: list[Any]
    masks: list[Any]
    values: dict[Any, Any]
    new: list[Any]
    taken: set[str]
    normalised: dict[Any, Any]


def trace_step(cell: Cell, reserved: Iterable[str]) -> Trace:
    """Run the step once on symbols.

    Args:
        cell: the equations.
        reserved: words that no value may have as its name.

    Raises:
        CodegenError: the step uses an operation that cannot be generated, or does not return the cell's states.
    """
    taken, tape = set(reserved), Tape()
    masks = [name for name, _ in cell.masks]
    symbols = [
        [Symbol(unique(prefix + name, taken)) for name in names]
        for prefix, names in (("a_", cell.rows), ("", cell.states), ("p_", cell.weights), ("m_", masks))
    ]
    rows, old, weights, drawn = symbols
    arguments = [tuple(Traced(tape, symbol) for symbol in of_kind) for of_kind in symbols]
    try:
        states = cell.step(*arguments[:2], *cell.more_arguments(*arguments[2:]))
        if not isinstance(states, tuple) or len(states) != len(cell.states):
            raise CodegenError(f"it returned {states!r}, not a tuple of the states {cell.states}")
        new = [tape.operand(state) for state in states]
    except Exception as error:  # a function for tensors may raise anything when it gets symbols
        reason = f"{_describe(error)}{_place_of(error, cell)}"
        raise CodegenError(f"cell {cell.name!r}: its step cannot be generated: {reason}") from error
    return _name_values(cell, Trace(rows, old, weights, drawn, tape.values, new, taken, tape.normalised), tape.uses)


def _describe(error: Exception) -> str:
    """What happened. Python's own errors name the operation: "bad operand type for abs()"."""
    if isinstance(error, CodegenError):
        return str(error)
    said = re.sub(r"'(Traced|Mask)'( object)?|\b(Traced|Mask)\b", "a value of the step", str(error))
    return (
        said
        if isinstance(error, TypeError)
        else f"on symbols in place of tensors it raises {type(error).__name__}: {said}"
    )


def _place_of(error: Exception, cell: Cell) -> str:
    """The line of the step's file that raised it; "" if there is no file, as for functions written at a prompt."""
    code = getattr(cell.step, "__code__", None)
    lines = [at for at in extract_tb(error.__traceback__) if code and at.filename == code.co_filename and at.line]
    return f" ({Path(lines[-1].filename).name}, line {lines[-1].lineno}: {lines[-1].line})" if lines else ""


def _name_values(cell: Cell, raw: Trace, uses: Counter[Any]) -> Trace:
    """Name the values that stay, and write the others into the expressions that use them."""
    gates = {value: row for row, value in _find_gates(cell, raw).items()}
    names: dict[Any, Any] = {symbol: Symbol(unique("normalised", raw.taken)) for symbol in raw.normalised}
    values: dict[Any, Any] = {}
    for symbol, expr in raw.values.items():
        expr = expr.xreplace(names)
        if symbol in raw.new:
            name = f"{cell.states[raw.new.index(symbol)]}_new"
        elif isinstance(expr, AppliedUndef):
            name = gates.get(symbol) or _name_of_function(expr)
        elif uses[symbol] > 1 and not expr.is_Atom:
            name = f"v{len(values)}"
        else:
            names[symbol] = expr
            continue
        names[symbol] = Symbol(unique(name, raw.taken))
        values[names[symbol]] = expr
    new = [state.xreplace(names) for state in raw.new]
    normalised = {names[n]: u.xreplace(names) for n, u in raw.normalised.items()}
    return replace(raw, values=values, new=new, normalised=normalised)


def _find_gates(cell: Cell, raw: Trace) -> dict[str, Any]:
    """The symbols of the gates by row: sigmoid(a_i + ...) is i, as in the papers."""
    rows = {symbol: row for symbol, row in zip(raw.rows, cell.rows) if row not in raw.taken}
    functions = [symbol for symbol, expr in raw.values.items() if _function_of(expr) in GATE_FUNCTIONS]
    return name_gates(
        rows, functions, raw.new, lambda symbol: raw.values[symbol].free_symbols if symbol in raw.values else ()
    )


def _function_of(expr: Any) -> str:
    return expr.func.__name__ if isinstance(expr, AppliedUndef) else ""


def _name_of_function(expr: Any) -> str:
    """tanh(c_new) is tanh_c."""
    return f"{_function_of(expr)}_{min(map(str, expr.free_symbols), default='number').removesuffix('_new')}"


def unique(name: str, taken: set[str]) -> str:
    """The name, with underscores until it is not taken, which it then is."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
