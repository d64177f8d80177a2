"""What forward keeps for backward, and what backward computes again.

Weights, masks and states, before and after the step, are at hand, so a function of them alone, such as tanh(c'), is
computed again; so is a sum or product of what backward has. Every other value that backward needs is kept; or a row
before its functions, where that makes several of them cheap.

Of a cell whose units need nothing of each other less will do: all that follows from what is kept is computed again,
functions too. Where a sequence fills no cache, a function takes less time than to write its value and to read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sympy.core.function import AppliedUndef

from carrousel.cells import Cell
from carrousel.codegen.functions import CHEAP
from carrousel.codegen.steps import Steps
from carrousel.codegen.trace import Trace


def keep(cell: Cell, trace: Trace, backward: Steps) -> tuple[list[Any], dict[Any, Any]]:
    """The symbols that are kept, in the order of the rows; and the values that are computed again, with what of."""
    needed = _needed(backward)
    kept, again = _keep_needed(trace, needed)
    for row in trace.rows:
        fewer, otherwise = _keep_needed(trace, needed | {row})
        if len(fewer) < len(kept):
            needed, kept, again = needed | {row}, fewer, otherwise
    return _in_order_of_rows(cell, kept), again


def keep_least(
    cell: Cell, trace: Trace, backward: Steps, kept: list[Any], again: dict[Any, Any]
) -> tuple[list[Any], dict[Any, Any]]:
    """As few symbols as will do, and all that follows from them.

    Args:
        cell, trace, backward: as `keep` takes them.
        kept, again: what it returned.
    """
    read = _needed(backward).union(*(expr.free_symbols for expr in again.values()))
    states = [state for pair in zip(trace.old, trace.new) if read & set(pair) for state in pair]  # each is one array
    at_hand = {*states, *trace.weights, *trace.masks}

    def least(given: list[Any]) -> list[Any]:
        for y in reversed(given):
            others = [other for other in given if other is not y]
            given = others if y in _following(trace, at_hand.union(others)) else given
        return given

    kept = least(kept)
    for value in [*trace.rows, *trace.values]:  # one may stand for several functions of it
        if value not in kept and len(fewer := least([value, *kept])) < len(kept):
            kept = fewer
    return _in_order_of_rows(cell, kept), _following(trace, at_hand.union(kept))


def with_gates(
    cell: Cell, values: list[Any], kept: list[Any], again: dict[Any, Any]
) -> tuple[list[Any], dict[Any, Any]]:
    """What is kept and the gates, and what is then computed again.

    Args:
        cell: the equations.
        values: what `keep` returned; among them are the gates, which are called as a row.
        kept, again: what `keep_least` returned.
    """
    gates = [value for value in values if value.name in cell.rows and value not in kept]
    rest = {value: expr for value, expr in again.items() if value not in gates}
    return _in_order_of_rows(cell, [*kept, *gates]), rest


def _following(trace: Trace, known: Iterable[Any]) -> dict[Any, Any]:
    """The values that can be computed of what is known."""
    known, found = set(known), {}
    for y, expr in trace.values.items():
        if y not in known and expr.free_symbols <= known:
            known.add(y)
            found[y] = expr
    return found


def _needed(steps: Steps) -> set[Any]:
    exprs = [*steps.values.values(), *steps.stores.values()]
    return {symbol for expr in exprs for symbol in expr.free_symbols}


def _in_order_of_rows(cell: Cell, kept: list[Any]) -> list[Any]:
    rank = {name: k for k, row in enumerate(cell.rows) for name in (row, f"a_{row}")}
    return sorted(kept, key=lambda y: rank.get(str(y), len(rank)))


def _keep_needed(trace: Trace, needed: set[Any]) -> tuple[list[Any], dict[Any, Any]]:
    """`keep` of what backward needs."""
    at_hand = {*trace.old, *trace.weights, *trace.masks, *trace.new, *trace.normalised}
    needed, kept, again = set(needed), [], {}
    for y in [*reversed(trace.values), *reversed(trace.rows)]:
        if y not in needed or y in at_hand:
            continue
        expr = trace.values.get(y)
        costly = isinstance(expr, AppliedUndef) and expr.func.__name__ not in CHEAP
        if expr is not None and expr.free_symbols <= (at_hand if costly else at_hand | needed):
            again[y] = expr
            needed |= expr.free_symbols
        else:
            kept.append(y)
    return kept, again
