"""A cell's step as algebra: run once on symbols, differentiated in reverse, and simplified, by SymPy.

The step writes every operation on a tape (carrousel.tape). `derive` turns the tape into two functions, forward and
backward, made of named values; carrousel.codegen prints them as C++.

Names: a_i is a row before its function and i after it; c a state before the step and c_new after it; p_i a weight for
each unit; m_c a mask; d... the gradient of the loss by ...; u0 u1 ... what is used more than once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sympy import S, Symbol, cse, numbered_symbols
from sympy.core.function import AppliedUndef

from carrousel.cells import GATE_FUNCTIONS, Cell
from carrousel.tape import CHEAP, DERIVATIVES, CodegenError, Tape, Traced

__all__ = ["CodegenError", "Stages", "Steps", "derive", "derive_stages"]


@dataclass(frozen=True)
class Steps:
    """One function of the C++: what it reads, computes and stores, each under its name."""

    reads: dict[str, Any]  # place -> symbol: "s[1]" -> c
    values: dict[Any, Any]  # symbol -> expression: c_new -> c f + g i
    stores: dict[str, Any]  # place -> expression: "s_new[1]" -> c_new


def derive(cell: Cell, reserved: Iterable[str] = ()) -> tuple[Steps, Steps, list[Any], Steps]:
    """The forward step, the backward step, what forward keeps for it, and backward where the loss looks at gates too.

    A gate is a kept value that is called as a row: what the row is after its function.

    Args:
        cell: the equations.
        reserved: words that no value may be named.

    Raises:
        CodegenError: the step uses an operation that can not be generated, or does not return the cell's states.
    """
    trace = _trace(cell, reserved)
    if trace.normalised:
        raise CodegenError(f"cell {cell.name!r}: layer_norm, which only cells with normed=True may call")
    backward = _share(*_differentiate(cell, trace, []))
    kept, again = _keep(cell, trace, backward)
    through_gates = _share(*_differentiate(cell, trace, kept))
    at_hand = _array("s", trace.old) | _array("p", trace.weights) | _array("noise", trace.masks)
    forward = Steps(
        _array("a", trace.rows) | at_hand,
        trace.values,
        _array("s_new", trace.new) | _array("keep", kept),
    )
    reads = _array("keep", kept) | at_hand | _array("s_new", trace.new)
    backward, through_gates = (Steps(reads | s.reads, again | s.values, s.stores) for s in (backward, through_gates))
    return forward, backward, kept, through_gates


@dataclass(frozen=True)
class Stages:
    """The steps of a `normed` cell, parted where a value `raw` becomes `normal`, over all units; without one, whole."""

    functions: dict[str, Steps]
    kept: list[Any]
    late: list[bool]  # which new states are known only after that


def derive_stages(cell: Cell, reserved: Iterable[str] = ()) -> Stages:
    """Forward as `before` and `after` the normalisation, backward from `backward_after` it to `backward_before`.

    `backward_after` gives d_normal; `backward_before` is given d_raw, and gives all else. Arguments as `derive`.

    Raises:
        CodegenError: as `derive`; or a gate depends on what is normalised.
    """
    if cell.masks:
        raise CodegenError(f"cell {cell.name!r}: masks, which no kernel of a normed cell draws")
    trace = _trace(cell, reserved)
    n, u = next(iter(trace.normalised.items()), (None, None))
    kept, again = _keep(cell, trace, _share(*_differentiate(cell, trace, [])))
    late = _following(n, trace.values)
    if any(value in late for value in kept):
        raise CodegenError(f"cell {cell.name!r}: a row's function depends on layer_norm, which the kernels do not keep")
    at_hand = _array("s", trace.old) | _array("p", trace.weights)
    new, keep = _array("s_new", trace.new), _array("keep", kept)
    is_late = [bool(expr.free_symbols & late) for expr in trace.new]
    early = {place: expr for k, (place, expr) in enumerate(new.items()) if not is_late[k]}
    stages = {"before": Steps(_array("a", trace.rows) | at_hand, trace.values, early | keep)}
    back = _share(*_differentiate(cell, trace, kept))
    gains = len(cell.from_x) + len(cell.from_h)
    stores = {place: expr for place, expr in back.stores.items() if place not in {f"dp[{k}]" for k in range(gains)}}
    back = Steps(keep | at_hand | new | back.reads, again | back.values, stores)
    if n is None:
        return Stages(stages | {"backward_before": back}, kept, is_late)
    stages["before"].stores["raw[0]"] = u
    known = {*kept, *(expr for place, expr in new.items() if place in early)}
    then = Steps(
        {**keep, **at_hand, **early, "normal[0]": n, **stages["before"].reads},
        {value: expr for value, expr in trace.values.items() if value not in known},
        {place.replace("_new", "_late"): expr for place, expr in new.items() if place not in early},
    )
    # functions of what is normalised, which both stages of backward need
    twice = [value for value, expr in again.items() if value in late and isinstance(expr, AppliedUndef)]
    held = _array("held", twice)
    d_normal = {"d_normal[0]": back.stores.pop("d_normal[0]")}
    last = Steps(back.reads | held, {v: expr for v, expr in back.values.items() if v not in twice}, back.stores)
    stages |= {
        "after": then,
        "backward_after": Steps(back.reads, back.values, d_normal | held),
        "backward_before": last,
    }
    return Stages(stages, kept, is_late)


def _following(symbol: Any, values: dict[Any, Any]) -> set[Any]:
    """A symbol, and the values that depend on it."""
    found = {symbol}
    for value, expr in values.items():
        if expr.free_symbols & found:
            found.add(value)
    return found


def _array(name: str, symbols: Iterable[Any]) -> dict[str, Any]:
    return {f"{name}[{k}]": symbol for k, symbol in enumerate(symbols)}


@dataclass(frozen=True)
class Trace:
    """A step as a list of named values: functions, new states, and what is used more than once."""

    rows: list[Any]
    old: list[Any]
    weights: list[Any]
    masks: list[Any]
    values: dict[Any, Any]
    new: list[Any]  # expressions; mostly symbols of values
    taken: set[str]  # names in use
    normalised: dict[Any, Any]  # what layer_norm gives -> what it is given; one at most


def _trace(cell: Cell, reserved: Iterable[str]) -> Trace:
    taken, tape = set(reserved), Tape()
    masks = [name for name, _ in cell.masks]
    symbols = [
        [Symbol(_unique(prefix + name, taken)) for name in names]
        for prefix, names in (("a_", cell.rows), ("", cell.states), ("p_", cell.weights), ("m_", masks))
    ]
    rows, old, weights, drawn = symbols
    arguments = [tuple(Traced(tape, symbol) for symbol in of_kind) for of_kind in symbols]
    try:
        states = cell.step(*arguments[:2], *cell.further(*arguments[2:]))
        if not isinstance(states, tuple) or len(states) != len(cell.states):
            raise CodegenError(f"it returned {states!r}, not a tuple of the states {cell.states}")
        new = [tape.operand(state) for state in states]
    except TypeError as error:  # Python's own name the operation: "bad operand type for abs()"
        raise CodegenError(f"cell {cell.name!r}: its step can not be generated: {error}") from error
    return _name_values(cell, Trace(rows, old, weights, drawn, tape.values, new, taken, tape.normalised), tape.uses)


def _name_values(cell: Cell, raw: Trace, uses: Counter[Any]) -> Trace:
    """Name the values that stay, and write the others into the expressions that use them."""
    names: dict[Any, Any] = {symbol: Symbol(_unique("normalised", raw.taken)) for symbol in raw.normalised}
    values: dict[Any, Any] = {}
    for symbol, expr in raw.values.items():
        expr = expr.xreplace(names)
        if symbol in raw.new:
            name = f"{cell.states[raw.new.index(symbol)]}_new"
        elif isinstance(expr, AppliedUndef):
            name = _name_of_function(cell, raw, expr, values)
        elif uses[symbol] > 1 and not expr.is_Atom:
            name = f"v{len(values)}"
        else:
            names[symbol] = expr
            continue
        names[symbol] = Symbol(_unique(name, raw.taken))
        values[names[symbol]] = expr
    new = [state.xreplace(names) for state in raw.new]
    normalised = {names[n]: u.xreplace(names) for n, u in raw.normalised.items()}
    return replace(raw, values=values, new=new, normalised=normalised)


def _name_of_function(cell: Cell, raw: Trace, expr: Any, values: dict[Any, Any]) -> str:
    """sigmoid(a_i + ...) is i, as in the papers; tanh(c_new) is tanh_c. The rule is that of carrousel.gates."""
    function, inside = expr.func.__name__, _inside(cell, expr, values)
    for row, symbol in zip(cell.rows, raw.rows):
        if function in GATE_FUNCTIONS and symbol in inside and row not in raw.taken:
            return row
    return f"{function}_{min(map(str, expr.free_symbols), default='number').removesuffix('_new')}"


def _inside(cell: Cell, expr: Any, values: dict[Any, Any]) -> set[Any]:
    """The symbols that an expression is made of, through named values that are neither gates nor new states."""
    found = set(expr.free_symbols)
    for symbol in expr.free_symbols & values.keys():
        inner = values[symbol]
        is_gate = isinstance(inner, AppliedUndef) and inner.func.__name__ in GATE_FUNCTIONS
        if not is_gate and symbol.name.rstrip("_") not in {f"{state}_new" for state in cell.states}:
            found |= _inside(cell, inner, values)
    return found


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


# ---- the derivative -------------------------------------------------------------------------------------------------


def _differentiate(cell: Cell, trace: Trace, kept: list[Any]) -> tuple[Steps, set[str]]:
    """The trace in reverse: gradients of the new states and of the gates kept -> of rows, old states and weights.

    And the names that are then in use.
    """
    taken = set(trace.taken)
    incoming = [Symbol(_unique(f"d{state}_new", taken)) for state in cell.states]
    total: defaultdict[Any, Any] = defaultdict(lambda: S.Zero)
    for new, d in zip(trace.new, incoming):
        total[new] += d
    reads = _array("ds_new", incoming)
    for k, gate in enumerate(kept):
        if gate.name in cell.rows:
            total[gate] += (d := Symbol(_unique(f"d{gate}", taken)))
            reads[f"dk[{k}]"] = d
    for n, u in trace.normalised.items():
        d = Symbol(_unique("d_normalised", taken))
        reads |= {"normal[0]": n, "d_raw[0]": d}
        for inner in u.free_symbols:
            total[inner] += d * u.diff(inner)
    values: dict[Any, Any] = {}
    for y, expr in reversed(trace.values.items()):
        arguments: Any
        partials: Any
        d, name = total[y], f"d{y}".replace("_new", "_total")
        arguments, partials = [expr], [S.One]
        if isinstance(expr, AppliedUndef):
            arguments, partials = expr.args, DERIVATIVES[expr.func.__name__](y, *expr.args)
        if len(arguments) == 1:  # the derivative of a function of one argument has a name: it is the row's, mostly
            d, partials = d * partials[0], [S.One]
            name = f"da_{y}" if isinstance(expr, AppliedUndef) else name
        if not d.is_Atom:
            symbol = Symbol(_unique(name, taken))
            values[symbol], d = d, symbol
        for inner, partial in zip(arguments, partials):
            for u in inner.free_symbols:
                total[u] += d * partial * inner.diff(u)
    targets = {"da": trace.rows, "ds": trace.old, "dp": trace.weights, "d_normal": list(trace.normalised)}
    stores = {f"{array}[{k}]": total[u] for array, symbols in targets.items() for k, u in enumerate(symbols)}
    return Steps(reads, values, stores), taken


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

    Weights, masks and states, before and after the step, are at hand, so a function of them alone, such as tanh(c'),
    is computed again; so is a sum or product of what backward has. Every other value that backward needs is kept; or a
    row before its functions, where that makes several of them cheap.
    """
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
    """`_keep` of what backward needs."""
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
