"""A step in reverse: from the gradients of its new states and gates to those of its rows, old states and weights.

Names: d... is the gradient of the loss by ...; u0 u1 ... are values that are used more than once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from sympy import S, Symbol, cse, numbered_symbols, preorder_traversal
from sympy.core.function import AppliedUndef

from carrousel.cells import Cell
from carrousel.codegen.functions import DERIVATIVES
from carrousel.codegen.steps import Steps, places
from carrousel.codegen.trace import Trace, unique


def reverse(cell: Cell, trace: Trace, saved: list[Any]) -> Steps:
    """The backward step, simplified.

    Args:
        cell: the equations.
        trace: its step.
        saved: symbols; those named as a row are gates, which get gradients from outside too.

    Returns:
        A function that stores da, ds, dp, and d_normal of the normalised value; it reads ds_new, dk of the gates,
        normal and d_raw.
    """
    taken = set(trace.taken)
    total: defaultdict[Any, Any] = defaultdict(lambda: S.Zero)
    reads = _incoming(cell, trace, saved, total, taken)
    values: dict[Any, Any] = {}
    for y, expr in reversed(trace.values.items()):
        _chain_rule(y, expr, total, values, taken)
    targets = {"da": trace.rows, "ds": trace.old, "dp": trace.weights, "d_normal": list(trace.normalised)}
    stores = {place: total[u] for array, symbols in targets.items() for place, u in places(array, symbols).items()}
    return _share(Steps(reads, values, stores), taken)


def _incoming(cell: Cell, trace: Trace, saved: list[Any], total: dict[Any, Any], taken: set[str]) -> dict[str, Any]:
    """Add the gradients that come from outside to `total`; return what is read, place -> symbol."""
    incoming = [Symbol(unique(f"d{state}_new", taken)) for state in cell.states]
    for new, d in zip(trace.new, incoming):
        total[new] += d
    reads = places("ds_new", incoming)
    for k, gate in enumerate(saved):
        if gate.name in cell.rows:
            total[gate] += (d := Symbol(unique(f"d{gate}", taken)))
            reads[f"dk[{k}]"] = d
    for n, u in trace.normalised.items():
        d = Symbol(unique("d_normalised", taken))
        reads |= {"normal[0]": n, "d_raw[0]": d}
        for inner in u.free_symbols:
            total[inner] += d * u.diff(inner)
    return reads


def _chain_rule(y: Any, expr: Any, total: dict[Any, Any], values: dict[Any, Any], taken: set[str]) -> None:
    """Add the gradient of y = expr to the gradients of its operands; name it, unless it has a name."""
    arguments: Any = [expr]
    partials: Any = [S.One]
    d, name = total[y], f"d{y}".replace("_new", "_total")
    if isinstance(expr, AppliedUndef):
        arguments, partials = expr.args, DERIVATIVES[expr.func.__name__](y, *expr.args)
    if (
        len(arguments) == 1
    ):  # the derivative of a function of one argument has a name: mostly it is the gradient of a row
        d, partials = d * partials[0], [S.One]
        name = f"da_{y}" if isinstance(expr, AppliedUndef) else name
    if not d.is_Atom:
        symbol = Symbol(unique(name, taken))
        values[symbol], d = d, symbol
    for inner, partial in zip(arguments, partials):
        for u in inner.free_symbols:
            total[u] += d * partial * inner.diff(u)


def _share(steps: Steps, taken: set[str]) -> Steps:
    """Inline values that are used once; compute common subexpressions once."""
    uses = Counter(s for expr in [*steps.values.values(), *steps.stores.values()] for s in expr.free_symbols)
    once: dict[Any, Any] = {}
    values: dict[Any, Any] = {}
    for symbol, expr in steps.values.items():
        (once if uses[symbol] == 1 else values)[symbol] = expr.xreplace(once)
    simple: Any
    exprs = [*values.values(), *(expr.xreplace(once) for expr in steps.stores.values())]
    names = (symbol for symbol in numbered_symbols("u") if symbol.name not in taken)
    inverses, exprs = _divide_once(exprs, names)
    shared, simple = cse(exprs, symbols=names)
    stores = dict(zip(steps.stores, simple[len(values) :]))
    return Steps(steps.reads, inverses | dict(shared) | dict(zip(values, simple)), stores)


def _divide_once(exprs: list[Any], names: Iterator[Any]) -> tuple[dict[Any, Any], list[Any]]:
    """Replace divisors of several terms by factors: a division takes as long as many products."""
    powers: Any = [part for expr in exprs for part in preorder_traversal(expr) if part.is_Pow]
    divisions = [power for power in powers if power.exp.is_negative]
    times = Counter(power.base for power in divisions)
    inverses = {base: next(names) for base in times if times[base] > 1}
    factors = {power: inverses[power.base] ** -power.exp for power in divisions if power.base in inverses}
    return {name: 1 / base for base, name in inverses.items()}, [expr.xreplace(factors) for expr in exprs]
