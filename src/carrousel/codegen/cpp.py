"""A function of named values, printed as C++: loads, values, stores."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from sympy import Add, Integer, Mul, Pow, Rational
from sympy.core.function import AppliedUndef

from carrousel.codegen.steps import Steps, array_of

CONSTANTS: dict[str, Any] = {"one": Integer(1), "two": Integer(2), "half": Rational(1, 2)}


def function(name: str, inputs: str, outputs: str, steps: Steps) -> str:
    """The C++ of a function.

    Args:
        name: what it is called.
        inputs, outputs: its parameters, arrays of V, with spaces between.
        steps: what it computes.
    """
    body = _body(steps)
    used = {array_of(place) for place in [*steps.loads().values(), *steps.stores]}
    parameters = [f"const V* {array}" for array in inputs.split()] + [f"V* {array}" for array in outputs.split()]
    parameters = [text if text.split()[-1] in used else f"[[maybe_unused]] {text}" for text in parameters]
    lines = [
        f"// {_operations(body)} operations",
        "template <class V>",
        f"static CARROUSEL_INLINE void {name}({', '.join(parameters)}) {{",
        *(f"  {line}" for line in body),
        "}",
    ]
    return "\n".join(f"  {line}" for line in lines)


def _body(steps: Steps) -> list[str]:
    by_array = defaultdict(list)
    for symbol, place in steps.loads().items():
        by_array[array_of(place)].append(f"{symbol} = {place}")
    lines = [f"const V {', '.join(loads)};" for loads in by_array.values()]
    lines += [f"const V {symbol} = {_expression(expr)};" for symbol, expr in steps.needed().items()]
    lines += [f"{place} = {_expression(expr)};" for place, expr in steps.stores.items()]
    used = [name for name in CONSTANTS if re.search(rf"\b{name}\b", "\n".join(lines))]
    constants = ", ".join(f"{name} = set1<V>({float(CONSTANTS[name])})" for name in used)
    return [f"const V {constants};", *lines] if used else lines


def _operations(lines: Iterable[str]) -> int:
    """The number of + - * / in the lines."""
    return sum(len(re.findall(r" [-+*/] |[ (]-\w", line)) for line in lines)


# ---- expressions ----------------------------------------------------------------------------------------------------


def _expression(expr: Any) -> str:
    """The expression with + - * / and functions only: a power is printed as a product."""
    if expr.is_Symbol:
        return expr.name
    if expr.is_Number:
        return next((name for name, value in CONSTANTS.items() if value == expr), f"set1<V>({float(expr)!r})")
    if isinstance(expr, AppliedUndef):
        return f"{expr.func.__name__}({', '.join(map(_expression, expr.args))})"
    return _sum(expr) if isinstance(expr, Add) else _product(expr)


def _sum(expr: Any) -> str:
    first, *rest = sorted(expr.as_ordered_terms(), key=_is_negative)
    return _expression(first) + "".join(
        f" - {_expression(-term)}" if _is_negative(term) else f" + {_expression(term)}" for term in rest
    )


def _is_negative(term: Any) -> bool:
    return bool(term.as_coeff_Mul()[0] < 0)


def _product(expr: Any) -> str:
    if _is_negative(expr):
        return f"-{_parenthesized(-expr)}"
    above, below = [], []
    for factor in expr.as_ordered_factors() if isinstance(expr, Mul) else [expr]:
        base, power = factor.as_base_exp() if isinstance(factor, Pow) else (factor, 1)
        (above if power > 0 else below).extend([_parenthesized(base)] * abs(int(power)))
    over = f"({' * '.join(below)})" if len(below) > 1 else "".join(below)
    return " * ".join(above or ["one"]) + (f" / {over}" if below else "")


def _parenthesized(expr: Any) -> str:
    return f"({_expression(expr)})" if isinstance(expr, Add) else _expression(expr)
