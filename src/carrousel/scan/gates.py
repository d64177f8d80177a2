"""The gates of a cell: what its rows are after their functions, found by watching its step on tensors."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from carrousel.cells import GATE_FUNCTIONS, Cell
from carrousel.cells.gates import name_gates


class Gate(NamedTuple):
    """What a row is after its function."""

    row: str
    function: str
    value: Tensor


class Watch(TorchFunctionMode):
    """Records what a step does: the operands of each result, and the values of GATE_FUNCTIONS.

    torch.compile traces such a mode, but none of its other methods.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operands: dict[int, list[int]] = {}  # by id
        self.functions: list[tuple[str, Tensor]] = []
        self.alive: list[Tensor] = []  # or a later tensor might get the id of one that is freed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and record it."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.alive.append(result)
            self.operands[id(result)] = [id(arg) for arg in args if isinstance(arg, Tensor)]
            if func.__name__ in GATE_FUNCTIONS:
                self.functions.append((func.__name__, result))
        return result


def step_with_gates(cell: Cell, rows: tuple[Tensor, ...], *rest: Any) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """The new states, as `cell.step` returns them, and the values of the gates by name."""
    states, gates = _find_gates(cell, rows, *rest)
    return states, {name: gate.value for name, gate in gates.items()}


def _find_gates(cell: Cell, rows: tuple[Tensor, ...], *rest: Any) -> tuple[tuple[Tensor, ...], dict[str, Gate]]:
    """The new states, and the gates by name in the order of the blocks of W, then of R."""
    watch = Watch()
    with watch:
        states = cell.step(rows, *rest)
    functions = {id(value): (function, value) for function, value in watch.functions}
    names = {id(row): name for row, name in zip(rows, cell.rows)}
    found = name_gates(names, list(functions), [id(state) for state in states], lambda key: watch.operands.get(key, []))
    gates = {row: Gate(row, *functions[key]) for row, key in found.items()}
    in_order = [row for row in dict.fromkeys((*cell.from_x, *cell.from_h)) if row in gates]
    return states, {f"{row}_gate" if row in cell.states else row: gates[row] for row in in_order}


@cache
def gates_of(cell: Cell) -> dict[str, Gate]:
    """The gates of a cell by name, in the order of the blocks of W, then of R."""
    rows, states, weights = (tuple(torch.zeros(1) for _ in names) for names in (cell.rows, cell.states, cell.weights))
    return _find_gates(cell, rows, states, *cell.more_arguments(weights))[1]


def find_gates(cell: Cell, saved: tuple[str, ...]) -> dict[str, int] | None:
    """The position of each gate among what the cell's kernel returns, as "sigmoid i"; None if one is missing."""
    spelled = {name: f"{gate.function} {gate.row}" for name, gate in gates_of(cell).items()}
    if not set(spelled.values()) <= set(saved):
        return None
    return {name: saved.index(words) for name, words in spelled.items()}
