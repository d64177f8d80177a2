"""Finds the column of times in a table, by its name and its first rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from carrousel.data.tables.table import Table
from carrousel.data.tables.times import TimeReader
from carrousel.errors import UserError

NAMES = ("date", "time", "datetime", "timestamp", "ds", "date_time", "t", "step", "day", "month", "year")
ROWS = 100  # rows that are looked at


def find_time(table: Table, others: Collection[str | None], time_format: str | None = None) -> str | None:
    """The column of times: the only one with dates, or the one that is called so.

    Args:
        table: to look at.
        others: columns with another part.
        time_format: how dates are written; None: find it.

    Returns:
        Its name; None if there is none.

    Raises:
        UserError: two columns could be it.
    """
    block = first_block(table, [name for name in table.columns if name not in others])
    found = {name: kind for name, cells in block.items() if (kind := kind_of(table, name, cells, time_format))}
    dates = [name for name, kind in found.items() if kind == "date"]
    named = [name for name in found if name.lower() in NAMES]
    for chosen in (dates, [name for name in dates if name in named], [] if dates else named):
        if len(chosen) == 1:
            return chosen[0]
    if dates or named:
        names = " and ".join(map(repr, dates or named))
        raise UserError(f"{table.path}: columns {names} could be the times: name one with --time, and --ignore others")
    return None


def first_block(table: Table, columns: Collection[str]) -> dict[str, Any]:
    """The first rows of some columns, as they are stored; a column of a type that is no time is left out."""
    try:
        block = next(iter(table.blocks(dict.fromkeys(columns, "time"))), {})
    except UserError:  # some column is no time; what is wrong with it is reported when it is read
        if len(columns) < 2:
            return {}
        return {name: cells for column in columns for name, cells in first_block(table, [column]).items()}
    return {name: cells[:ROWS] for name, cells in block.items() if len(cells)}


def kind_of(table: Table, name: str, cells: Any, time_format: str | None) -> str | None:
    """What the cells of a column are: "date", "number" or None."""
    reader = TimeReader(table, name, time_format)
    try:
        reader.add(cells)
    except UserError:
        return None
    return "number" if {"integer", "decimal"} & {*reader.arrays} else "date"
