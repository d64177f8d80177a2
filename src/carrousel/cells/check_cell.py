"""What makes a cell valid: its names are identifiers, every row is fed, and the rows stand in the kernels' order."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any


def parse_names(cell: Any, field: str, given: Any) -> tuple[str, ...]:
    """Names as a tuple, from any iterable of them: "ifgo" or ("forget", "new").

    Raises:
        TypeError: a name is not a string.
    """
    try:
        names = tuple(given)
    except TypeError:
        names = (given,)
    if not all(isinstance(name, str) for name in names):
        raise TypeError(f"cell {cell!r}: {field}={given!r} must be names, such as 'ifgo' or ('forget', 'new')")
    return names


def check_cell(cell: Any) -> None:
    """Check the fields of a `Cell`.

    Raises:
        ValueError: a name is not an identifier or stands twice, a row is fed by nothing, the rows are in the wrong
            order, a gate is not a row, or what R multiplies is not a state.
    """
    if cell.starts and len(cell.starts) != len(cell.weights):
        raise ValueError(f"cell {cell.name!r}: starts={cell.starts} must have one number for each of {cell.weights}")
    _check_names(cell)
    _check_references(cell)
    _check_order(cell)


def _check_names(cell: Any) -> None:
    if not isinstance(cell.name, str) or not cell.name.isidentifier():
        raise ValueError(
            f"a cell's name becomes a name in C++, and {cell.name!r} cannot be one: use letters, digits and _"
        )
    for field in ("rows", "from_x", "from_h", "states", "weights", "fed", "masks"):
        names = getattr(cell, field) if field != "masks" else tuple(name for name, _ in cell.masks)
        if not all(name.isidentifier() for name in names):
            raise ValueError(f"cell {cell.name!r}: {field}={names} must be letters, digits and _")
        if bad := [name for name in names if iskeyword(name) or name.startswith("_")]:
            raise ValueError(
                f"cell {cell.name!r}: {field}={names} are the names of fields, and {bad[0]!r} cannot be one: choose "
                "a name that is not a keyword of Python and does not begin with _"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"cell {cell.name!r}: {field}={names} has a name twice")


def _check_references(cell: Any) -> None:
    for gate in ("forget_gate", "input_gate"):
        if getattr(cell, gate) not in ("", *cell.rows):
            raise ValueError(f"cell {cell.name!r}: {gate}={getattr(cell, gate)!r} is not among rows={cell.rows}")
    if cell.fed[:1] != cell.states[:1] or not set(cell.fed) <= set(cell.states):
        raise ValueError(
            f"cell {cell.name!r}: fed={cell.fed} must be some of states={cell.states}, the first of them first"
        )
    if not cell.from_x or not cell.states:
        raise ValueError(f"cell {cell.name!r}: from_x={cell.from_x} and states={cell.states} need one name or more")


def _check_order(cell: Any) -> None:
    for field in ("from_x", "from_h"):
        if unknown := [row for row in getattr(cell, field) if row not in cell.rows]:
            raise ValueError(f"cell {cell.name!r}: {field} feeds {unknown}, which are not among rows={cell.rows}")
    if idle := [row for row in cell.rows if row not in cell.from_x + cell.from_h]:
        raise ValueError(f"cell {cell.name!r}: nothing feeds {idle}: name them in from_x or from_h")
    # False < True: fed by x only (0), by both (1), by h only (2)
    ordered = tuple(sorted(cell.rows, key=lambda row: (row in cell.from_h) + (row not in cell.from_x)))
    if cell.rows != ordered:
        raise ValueError(
            f"cell {cell.name!r}: rows={cell.rows} must begin with those fed by x only and end with those fed by "
            f"h only: write rows={ordered}, and unpack them in that order in step"
        )
