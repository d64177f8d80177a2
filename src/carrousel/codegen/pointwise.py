"""The functions of a cell without layer normalisation: forward, backward, backward through gates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from carrousel.cells import Cell
from carrousel.codegen.derivative import reverse
from carrousel.codegen.saved import add_gates, choose_saved, save_least
from carrousel.codegen.steps import Steps, places
from carrousel.codegen.tape import CodegenError
from carrousel.codegen.trace import trace_step


class Pointwise(NamedTuple):
    """A step, forward and backward.

    Args:
        forward, backward: the step and its reverse.
        saved: the symbols that forward saves for backward, as few as possible.
        through_gates: backward for a loss that uses gates too.
        shown: the symbols that forward returns with the gates: the gates, named as rows, and what else backward reads.
    """

    forward: Steps
    backward: Steps
    saved: list[Any]
    through_gates: Steps
    shown: list[Any]


def derive(cell: Cell, reserved: Iterable[str] = ()) -> Pointwise:
    """Differentiate and simplify a step.

    Args:
        cell: the equations.
        reserved: words that no value may have as its name.

    Raises:
        CodegenError: the step uses an operation that cannot be generated, or does not return the cell's states.
    """
    trace = trace_step(cell, reserved)
    if trace.normalised:
        raise CodegenError(f"cell {cell.name!r}: layer_norm, which only cells with normed=True may call")
    backward = reverse(cell, trace, [])
    values, recomputed = choose_saved(cell, trace, backward)
    saved, again = save_least(cell, trace, backward, values, recomputed)
    shown, again_of_shown = add_gates(cell, values, saved, again)
    through_gates = reverse(cell, trace, shown)
    at_hand = places("s", trace.old) | places("p", trace.weights) | places("mask", trace.masks)
    new, saves, shows = places("s_new", trace.new), places("save", saved), places("show", shown)
    return Pointwise(
        Steps(places("a", trace.rows) | at_hand, trace.values, new | saves | shows),
        Steps(saves | at_hand | new | backward.reads, again | backward.values, backward.stores),
        saved,
        Steps(shows | at_hand | new | through_gates.reads, again_of_shown | through_gates.values, through_gates.stores),
        shown,
    )
