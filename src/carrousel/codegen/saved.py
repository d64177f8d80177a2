"""What forward saves for backward, and what backward recomputes.

Weights, masks and states, before and after the step, are available to backward. A function of them alone, such as
tanh(c'), is recomputed, and so is a sum or product of values that backward has. Every other value that backward needs
is saved; or, where that makes several of them cheap, the row before its functions.

A cell without layer normalisation saves less: backward recomputes all that follows from what is saved, functions too.
While a sequence does not fill the caches, that takes less time than to write the value and to read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy.core.function import AppliedUndef

from carrousel.cells import Cell
from carrousel.codegen.functions import CHEAP
from carrousel.codegen.steps import Steps
from carrousel.codegen.trace import Trace


def choose_saved(cell: Cell, trace: Trace, backward: Steps) -> tuple[list[Any], dict[Any, Any]]:
    """The symbols to save, in the order of the rows; and the values to recompute, each with its expression."""
    needed = _symbols_in(backward)
    saved, recomputed = _split_needed(trace, needed)
    for row in trace.rows:
        fewer, otherwise = _split_needed(trace, needed | {row})
        if len(fewer) < len(saved):
            needed, saved, recomputed = needed | {row}, fewer, otherwise
    return _in_order_of_rows(cell, saved), recomputed


def save_least(
    cell: Cell, trace: Trace, backward: Steps, saved: list[Any], recomputed: dict[Any, Any]
) -> tuple[list[Any], dict[Any, Any]]:
    """As few symbols as possible, and all values that follow from them.

    Args:
        cell, trace, backward: as `choose_saved` takes them.
        saved, recomputed: what it returned.
    """
    read = _symbols_in(backward).union(*(expr.free_symbols for expr in recomputed.values()))
    states = [state for pair in zip(trace.old, trace.new) if read & set(pair) for state in pair]  # each is one array
    available = {*states, *trace.weights, *trace.masks}

    def reduce(given: list[Any]) -> list[Any]:
        for y in reversed(given):
            others = [other for other in given if other is not y]
            given = others if y in _follow(trace, available.union(others)) else given
        return given

    saved = reduce(saved)
    for value in [*trace.rows, *trace.values]:  # one may stand for several functions of it
        if value not in saved and len(fewer := reduce([value, *saved])) < len(saved):
            saved = fewer
    return _in_order_of_rows(cell, saved), _follow(trace, available.union(saved))


def add_gates(
    cell: Cell, values: list[Any], saved: list[Any], recomputed: dict[Any, Any]
) -> tuple[list[Any], dict[Any, Any]]:
    """What is saved and the gates, and what is still to recompute.

    Args:
        cell: the equations.
        values: what `choose_saved` returned; among them are the gates, which have the names of rows.
        saved, recomputed: what `save_least` returned.
    """
    gates = [value for value in values if value.name in cell.rows and value not in saved]
    rest = {value: expr for value, expr in recomputed.items() if value not in gates}
    return _in_order_of_rows(cell, [*saved, *gates]), rest


def _follow(trace: Trace, known: Iterable[Any]) -> dict[Any, Any]:
    """The values that can be computed from what is known."""
    known, found = set(known), {}
    for y, expr in trace.values.items():
        if y not in known and expr.free_symbols <= known:
            known.add(y)
            found[y] = expr
    return found


def _symbols_in(steps: Steps) -> set[Any]:
    exprs = [*steps.values.values(), *steps.stores.values()]
    return {symbol for expr in exprs for symbol in expr.free_symbols}


def _in_order_of_rows(cell: Cell, symbols: list[Any]) -> list[Any]:
    rank = {name: k for k, row in enumerate(cell.rows) for name in (row, f"a_{row}")}
    return sorted(symbols, key=lambda y: rank.get(str(y), len(rank)))


def _split_needed(trace: Trace, needed: set[Any]) -> tuple[list[Any], dict[Any, Any]]:
    """`choose_saved`, from the symbols that backward needs."""
    available = {*trace.old, *trace.weights, *trace.masks, *trace.new, *trace.normalised}
    needed, saved, recomputed = set(needed), [], {}
    for y in [*reversed(trace.values), *reversed(trace.rows)]:
        if y not in needed or y in available:
            continue
        expr = trace.values.get(y)
        costly = isinstance(expr, AppliedUndef) and expr.func.__name__ not in CHEAP
        if expr is not None and expr.free_symbols <= (available if costly else available | needed):
            recomputed[y] = expr
            needed |= expr.free_symbols
        else:
            saved.append(y)
    return saved, recomputed
