"""What forward keeps for backward, and what backward computes again.

Weights, masks and states, before and after the step, are at hand, so a function of them alone, such as tanh(c'), is
computed again; so is a sum or product of what backward has. Every other value that backward needs is kept; or a row
before its functions, where that makes several of them cheap.
"""

from __future__ import annotations

from typing import Any

from sympy.core.function import AppliedUndef

from carrousel.cells import Cell
from carrousel.codegen.functions import CHEAP
from carrousel.codegen.steps import Steps
from carrousel.codegen.trace import Trace


def keep(cell: Cell, trace: Trace, backward: Steps) -> tuple[list[Any], dict[Any, Any]]:
    """The symbols that are kept, in the order of the rows; and the values that are computed again, with what of."""
    exprs = [*backward.values.values(), *backward.stores.values()]
    needed = {symbol for expr in exprs for symbol in expr.free_symbols}
    kept, again = _keep_needed(trace, needed)
    for row in trace.rows:
        fewer, otherwise = _keep_needed(trace, needed | {row})
        if len(fewer) < len(kept):
            needed, kept, again = needed | {row}, fewer, otherwise
    rank = {name: k for k, row in enumerate(cell.rows) for name in (row, f"a_{row}")}
    kept.sort(key=lambda y: rank.get(str(y), len(rank)))
    return kept, again


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
