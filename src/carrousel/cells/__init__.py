"""The cells: one paper, one file. Every `Cell` at the top level of a module here is found; no list names it.

cell.py        what a cell is
functions.py   sigmoid, tanh and the other functions of a step
gates.py       what the gates of a cell are called
check_cell.py  the checks of a cell's fields
"""

import importlib
import pkgutil

from carrousel.cells.cell import Cell, Value, Values
from carrousel.cells.functions import exp, layer_norm, relu, sigmoid, softplus, tanh
from carrousel.cells.gates import GATE_FUNCTIONS

__all__ = [
    "ALL",
    "GATE_FUNCTIONS",
    "Cell",
    "Value",
    "Values",
    "exp",
    "layer_norm",
    "relu",
    "sigmoid",
    "softplus",
    "tanh",
]


def discover() -> dict[str, Cell]:
    """Every cell of this package, by name, in the order of the modules' names."""
    found: dict[str, Cell] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for cell in vars(importlib.import_module(f"{__name__}.{module}")).values():
            if not isinstance(cell, Cell):
                continue
            if found.setdefault(cell.name, cell) is not cell:
                raise ValueError(f"two cells are named {cell.name!r}, one of them in {module}.py: rename one")
    return found


ALL = discover()
