"""The functions of a cell whose units need nothing of each other: forward, backward, backward through gates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from carrousel.cells import Cell
from carrousel.codegen.derivative import reverse
from carrousel.codegen.kept import keep, keep_least, with_gates
from carrousel.codegen.steps import Steps, places
from carrousel.codegen.tape import CodegenError
from carrousel.codegen.trace import trace_step


class Pointwise(NamedTuple):
    """A step, forward and backward.

    Args:
        forward, backward: the step and its reverse.
        kept: the symbols that forward keeps for it, as few as will do.
        through_gates: backward, where the loss looks at gates too.
        shown: the symbols that are kept where the gates are shown: those, which are called as a row, and the others.
    """

    forward: Steps
    backward: Steps
    kept: list[Any]
    through_gates: Steps
    shown: list[Any]


def derive(cell: Cell, reserved: Iterable[str] = ()) -> Pointwise:
    """Differentiate and simplify a step.

    Args:
        cell: the equations.
        reserved: words that no value may be named.

    Raises:
        CodegenError: the step uses an operation that can not be generated, or does not return the cell's states.
    """
    trace = trace_step(cell, reserved)
    if trace.normalised:
        raise CodegenError(f"cell {cell.name!r}: layer_norm, which only cells with normed=True may call")
    backward = reverse(cell, trace, [])
    values, made_again = keep(cell, trace, backward)
    kept, again = keep_least(cell, trace, backward, values, made_again)
    shown, again_of_shown = with_gates(cell, values, kept, again)
    through_gates = reverse(cell, trace, shown)
    at_hand = places("s", trace.old) | places("p", trace.weights) | places("mask", trace.masks)
    new, keeps, shows = places("s_new", trace.new), places("save", kept), places("show", shown)
    return Pointwise(
        Steps(places("a", trace.rows) | at_hand, trace.values, new | keeps | shows),
        Steps(keeps | at_hand | new | backward.reads, again | backward.values, backward.stores),
        kept,
        Steps(shows | at_hand | new | through_gates.reads, again_of_shown | through_gates.values, through_gates.stores),
        shown,
    )
