"""The gates of a cell: what its rows are after their functions. They are found by watching its step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from carrousel.cells import GATE_FUNCTIONS, Cell


class Gate(NamedTuple):
    """What a row is after its function."""

    row: str
    function: str
    value: Tensor


class Seen(NamedTuple):
    """What a step was seen to do: the tensors that each result was made of, and the values of GATE_FUNCTIONS."""

    given: dict[int, list[Tensor]]
    functions: list[tuple[str, Tensor]]
    alive: list[Tensor]  # or a later tensor might bear the id of one that is gone


class Watch(TorchFunctionMode):
    """Notes every operation on tensors. torch.compile runs such a mode, but knows none of its other methods."""

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note it."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.seen.alive.append(result)
            self.seen.given[id(result)] = [arg for arg in args if isinstance(arg, Tensor)]
            if func.__name__ in GATE_FUNCTIONS:
                self.seen.functions.append((func.__name__, result))
        return result


def watched(cell: Cell, rows: tuple[Tensor, ...], *rest: Any) -> tuple[tuple[Tensor, ...], dict[str, Gate]]:
    """The new states, as `cell.step` returns them, and the gates by name."""
    seen = Seen({}, [], [])
    with Watch(seen):
        states = cell.step(rows, *rest)
    return states, gates_among(seen, cell, rows, states)


def gates_among(seen: Seen, cell: Cell, rows: Sequence[Tensor], states: Sequence[Tensor]) -> dict[str, Gate]:
    """The gates by name: a function's value is called as the first row inside it that none is called as yet.

    What a row went into before through another function, or through a new state, is not inside it; a new state is
    no gate. carrousel.codegen.trace names the kernel's values by the same rule.
    """
    names = {id(row): name for name, row in zip(cell.rows, rows)}
    edges = {id(tensor) for tensor in (*(value for _, value in seen.functions), *states)}
    found: dict[str, Gate] = {}
    for function, value in seen.functions:
        if any(value is state for state in states):
            continue
        inside: set[str] = set()
        ahead = list(seen.given[id(value)])
        while ahead:
            tensor = ahead.pop()
            inside |= {names[id(tensor)]} if id(tensor) in names else set()
            ahead += [] if id(tensor) in edges else seen.given.get(id(tensor), [])
        if row := next((row for row in cell.rows if row in inside and row not in found), None):
            found[row] = Gate(row, function, value)
    in_order = [row for row in dict.fromkeys((*cell.from_x, *cell.from_h)) if row in found]
    return {f"{row}_gate" if row in cell.states else row: found[row] for row in in_order}


def step_with_gates(cell: Cell, rows: tuple[Tensor, ...], *rest: Any) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """The new states, as `cell.step` returns them, and the values of the gates."""
    states, gates = watched(cell, rows, *rest)
    return states, {name: gate.value for name, gate in gates.items()}


@cache
def gates_of(cell: Cell) -> dict[str, Gate]:
    """The gates that a cell has, in the order of the blocks of W, then of R."""
    numbers = [torch.zeros(1) for _ in (*cell.rows, *cell.states, *cell.weights)]
    rows, rest = tuple(numbers[: len(cell.rows)]), numbers[len(cell.rows) :]
    states, weights = tuple(rest[: len(cell.states)]), tuple(rest[len(cell.states) :])
    return watched(cell, rows, states, *cell.further(weights))[1]


def places_of_gates(cell: Cell, kept: tuple[str, ...]) -> dict[str, int] | None:
    """Where each gate stands among what the cell's kernel keeps, as "sigmoid i"; None if one of them does not."""
    spelled = {name: f"{gate.function} {gate.row}" for name, gate in gates_of(cell).items()}
    if not set(spelled.values()) <= set(kept):
        return None
    return {name: kept.index(words) for name, words in spelled.items()}
