"""What a gate is called. A gate is the value of one of GATE_FUNCTIONS in a cell's step, named after a row.

carrousel.scan finds the values among tensors, carrousel.codegen among symbols; both name them here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

GATE_FUNCTIONS = ("sigmoid", "tanh", "relu", "exp")  # `return_gates` returns the values of these

Value = TypeVar("Value", bound=Hashable)


def name_gates(
    rows: Mapping[Value, str],
    values: Sequence[Value],
    new_states: Iterable[Value],
    operands_of: Callable[[Value], Iterable[Value]],
) -> dict[str, Value]:
    """The gates of a step by the names of their rows: each is named after the first row it depends on whose name is
    still free.

    A gate depends on a row only if no other function's value and no new state lies between them. A new state is not a
    gate.

    Args:
        rows: the names of the rows, in the cell's order.
        values: what GATE_FUNCTIONS returned, in the order of the calls.
        new_states: what the step returned.
        operands_of: the values that a value was computed from.
    """
    new_states = set(new_states)
    ends = {*values, *new_states}
    gates: dict[str, Value] = {}
    for value in values:
        if value in new_states:
            continue
        found = _reach(operands_of(value), ends, operands_of)
        if name := next((name for row, name in rows.items() if row in found and name not in gates), None):
            gates[name] = value
    return gates


def _reach(values: Iterable[Value], ends: set[Value], operands_of: Callable[[Value], Iterable[Value]]) -> set[Value]:
    """The values and all that they were computed from, not looking behind `ends`."""
    found: set[Value] = set()
    ahead = list(values)
    while ahead:
        value = ahead.pop()
        if value not in found:
            found.add(value)
            ahead += [] if value in ends else operands_of(value)
    return found
