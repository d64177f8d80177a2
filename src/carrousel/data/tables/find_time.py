"""Finds the column of times in a table, by its name and its first rows."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from carrousel.data.libraries import load_library
from carrousel.data.tables.date_formats import NUMBERS, choose_formats
from carrousel.data.tables.table import Table
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
        UserError: two columns could be it, or the file is damaged.
    """
    columns = [name for name in table.columns if name not in others and table.may_be_times(name)]
    block = next(iter(table.blocks(dict.fromkeys(columns, "time"))), {}) if columns else {}
    kinds = {name: kind_of(cells[:ROWS], time_format) for name, cells in block.items() if len(cells)}
    found = {name: kind for name, kind in kinds.items() if kind}
    dates = [name for name, kind in found.items() if kind == "date"]
    named = [name for name in found if name.lower() in NAMES]
    for chosen in (dates, [name for name in dates if name in named], [] if dates else named):
        if len(chosen) == 1:
            return chosen[0]
    if dates or named:
        names = " and ".join(map(repr, dates or named))
        raise UserError(f"{table.path}: columns {names} could be the times: name one with --time, and --ignore others")
    return None


def kind_of(cells: Any, time_format: str | None) -> str | None:
    """What most cells of a column are: "date", "number" or None; a wrong one is reported when the column is read."""
    types = load_library("pyarrow", "reading dates").types
    if not (types.is_string(cells.type) or types.is_large_string(cells.type)):
        is_number = types.is_integer(cells.type) or types.is_floating(cells.type)
        return (
            "number" if is_number else "date" if types.is_timestamp(cells.type) or types.is_date(cells.type) else None
        )
    formats = choose_formats(time_format)
    fits = {name for name, read in formats.items() if read(cells.fill_null(""))[1].mean() > 0.5}
    return "number" if fits & {*NUMBERS} else "date" if fits else None
