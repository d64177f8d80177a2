"""The functions of a cell whose units need nothing of each other: forward, backward, backward through gates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from carrousel.cells import Cell
from carrousel.codegen.derivative import reverse
from carrousel.codegen.kept import keep
from carrousel.codegen.steps import Steps, places
from carrousel.codegen.tape import CodegenError
from carrousel.codegen.trace import trace_step


class Pointwise(NamedTuple):
    """A step, forward and backward.

    Args:
        forward, backward: the step and its reverse.
        kept: the symbols that forward keeps for it. Those called as a row are gates: the row after its function.
        through_gates: backward, where the loss looks at gates too.
    """

    forward: Steps
    backward: Steps
    kept: list[Any]
    through_gates: Steps


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
    kept, again = keep(cell, trace, backward)
    through_gates = reverse(cell, trace, kept)
    at_hand = places("s", trace.old) | places("p", trace.weights) | places("noise", trace.masks)
    stores = places("s_new", trace.new) | places("keep", kept)
    forward = Steps(places("a", trace.rows) | at_hand, trace.values, stores)
    reads = places("keep", kept) | at_hand | places("s_new", trace.new)
    backward, through_gates = (Steps(reads | s.reads, again | s.values, s.stores) for s in (backward, through_gates))
    return Pointwise(forward, backward, kept, through_gates)
