"""The functions of a `normed` cell, split where the step normalises one value over all units.

Forward consists of `before` and `after` the normalisation, which computes `normal` from `raw`. Backward consists of
`backward_after`, which returns d_normal, and `backward_before`, which takes d_raw. A step that normalises nothing has
only `before` and `backward_before`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sympy.core.function import AppliedUndef

from carrousel.cells import Cell
from carrousel.codegen.derivative import reverse
from carrousel.codegen.saved import choose_saved
from carrousel.codegen.steps import Steps, places
from carrousel.codegen.tape import CodegenError
from carrousel.codegen.trace import Trace, trace_step

# with fewer rows, groups are of several blocks (kernels/src/gemm/row_blocks.hpp), and rows are taken block by block
FEWEST_ROWS = 3


@dataclass(frozen=True)
class Stages:
    """The stages of a step.

    Args:
        functions: by name.
        saved: the symbols that forward saves for backward.
        late: which new states are known only after the normalisation.
    """

    functions: dict[str, Steps]
    saved: list[Any]
    late: list[bool]


def derive_stages(cell: Cell, reserved: Iterable[str] = ()) -> Stages:
    """Differentiate, simplify and split a step; arguments as `pointwise.derive` takes them.

    Raises:
        CodegenError: as `derive`; or there are masks, or too few rows, or a gate depends on what is normalised.
    """
    if cell.masks:
        raise CodegenError(f"cell {cell.name!r}: a normed cell has no masks")
    if len(cell.rows) < FEWEST_ROWS:
        raise CodegenError(
            f"cell {cell.name!r}: rows={cell.rows}, and the kernels of a normed cell take {FEWEST_ROWS} rows or more"
        )
    trace = trace_step(cell, reserved)
    saved, again = choose_saved(cell, trace, reverse(cell, trace, []))
    following = _following(trace)
    if any(value in following for value in saved):
        raise CodegenError(f"cell {cell.name!r}: a row's function depends on layer_norm, which the kernels do not save")
    late = [bool(expr.free_symbols & following) for expr in trace.new]
    # functions of what is normalised, which both stages of backward need
    twice = [value for value, expr in again.items() if value in following and isinstance(expr, AppliedUndef)]
    return Stages(_forward(trace, saved, late) | _backward(cell, trace, saved, again, twice), saved, late)


def _following(trace: Trace) -> set[Any]:
    """What is normalised, and the values that depend on it."""
    found = set(trace.normalised)
    for value, expr in trace.values.items():
        if expr.free_symbols & found:
            found.add(value)
    return found


def _at_hand(trace: Trace) -> dict[str, Any]:
    return places("s", trace.old) | places("p", trace.weights)


def _forward(trace: Trace, saved: list[Any], late: list[bool]) -> dict[str, Steps]:
    new, saved_places = places("s_new", trace.new), places("save", saved)
    early = {place: expr for (place, expr), is_late in zip(new.items(), late) if not is_late}
    before = Steps(places("a", trace.rows) | _at_hand(trace), trace.values, early | saved_places)
    if not trace.normalised:
        return {"before": before}
    [(normal, raw)] = trace.normalised.items()
    before.stores["raw[0]"] = raw
    known = {*saved, *early.values()}
    after = Steps(
        saved_places | _at_hand(trace) | early | {"normal[0]": normal} | before.reads,
        {value: expr for value, expr in trace.values.items() if value not in known},
        {place.replace("_new", "_late"): expr for place, expr in new.items() if place not in early},
    )
    return {"before": before, "after": after}


def _backward(cell: Cell, trace: Trace, saved: list[Any], again: dict[Any, Any], twice: list[Any]) -> dict[str, Steps]:
    back = reverse(cell, trace, saved)
    gains = {f"dp[{k}]" for k in range(len(cell.from_x) + len(cell.from_h))}  # the kernels sum those
    reads = places("save", saved) | _at_hand(trace) | places("s_new", trace.new) | back.reads
    stores = {place: expr for place, expr in back.stores.items() if place not in gains}
    values = again | back.values
    if not trace.normalised:
        return {"backward_before": Steps(reads, values, stores)}
    held = places("held", twice)
    d_normal = {"d_normal[0]": stores.pop("d_normal[0]")}
    rest = {value: expr for value, expr in values.items() if value not in twice}
    return {
        "backward_after": Steps(reads, values, d_normal | held),
        "backward_before": Steps(reads | held, rest, stores),
    }
