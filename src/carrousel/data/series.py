"""Series for forecasting: columns of a table over even steps of time, one series or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.resampling import resample
from carrousel.data.steps import Step, find_step, parse_step
from carrousel.data.tables.columns import Columns, Texts, choose_columns, read_columns
from carrousel.data.tables.find_time import find_time
from carrousel.data.tables.grouped_rows import MOVED, check_ids, reorder, sort_rows, texts_by_id
from carrousel.data.tables.table import Table
from carrousel.data.tables.times import Times
from carrousel.errors import UserError

NO_TIME = "columns of times that were looked for and not found (rows are taken as steps)"


@dataclass(frozen=True)
class Series:
    """Series at even steps, end to end.

    values: steps of all series, one series after another [N, F], float32; NaN where a value is missing. The columns are
        the targets, then those known for the future, then the others.
    lengths: steps of each series [B], int64; the sum is N.
    names: what the user would call each series [B]: its id, or the name of the file.
    targets: the names of the columns to predict.
    known: the names of the columns that are known for the future: holidays, prices, weather forecasts.
    others: the names of the columns that are known only up to now.
    static: a text for each series [B], by column: "lake".
    starts: the time of each series' first step [B]: microseconds since 1970 for dates, otherwise a number.
    step: what lies between two steps.
    is_date: whether times are dates.
    skipped: what was left out or changed and how often, for people; never silent.
    """

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]
    names: tuple[str, ...]
    targets: tuple[str, ...]
    known: tuple[str, ...]
    others: tuple[str, ...]
    static: dict[str, tuple[str, ...]]
    starts: NDArray[Any]
    step: Step
    is_date: bool
    skipped: dict[str, int]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all values of a step [F]."""
        return (*self.targets, *self.known, *self.others)


def read_series(
    table: Table,
    *,
    targets: Sequence[str] = (),
    id: str | None = None,
    time: str | None = None,
    known: Sequence[str] = (),
    static: Sequence[str] = (),
    ignore: Sequence[str] = (),
    step: str | None = None,
    time_format: str | None = None,
) -> Series:
    """The series of a table, in the order in which their ids first appear.

    Args:
        table: from `open_table`.
        targets: the columns to predict; empty: all that have no other part.
        id: the column that says to which series a row belongs; None: there is one series.
        time: the column of times, by which rows are sorted; None: find it; without one rows are steps.
        known: the columns that are known for the future.
        static: the columns that describe a series, the same in all its rows, or empty in some.
        ignore: columns that are left out.
        step: resample to means over this step ("15min", "1mo"); "row": rows are steps, whatever their times (trading
            days); None: the step that all rows have.
        time_format: how dates are written, as for `datetime.strptime`; None: find it.

    Raises:
        UserError: a column is missing or is not a number, a series has a time twice, steps are not even; says which
            rows.
    """
    parts: dict[str, str | None] = {"--id": id, **{f"--static {name}": name for name in static}}
    time = time or find_time(table, {id, *targets, *known, *static, *ignore}, time_format)
    targets, known, others = choose_parts(table, {**parts, "--time": time}, targets, known, ignore)
    texts = [*([id] if id else []), *static]
    columns = read_columns(table, (*targets, *known, *others), texts, [time] if time else [], time_format)
    ids = columns.texts[id] if id else Texts(np.zeros(len(columns.numbers), np.int32), (table.path.name,))
    check_ids(table, id or "", ids)
    static_texts = {name: tuple(texts_by_id(table, name, ids, columns.texts[name], "static value")) for name in static}
    values, lengths, starts, found, skipped = order_steps(table, id, time, ids, columns, step)
    is_date = time is not None and columns.times[time].is_date and found.unit != "row"
    return Series(values, lengths, ids.words, targets, known, others, static_texts, starts, found, is_date, skipped)


def choose_parts(
    table: Table, parts: dict[str, str | None], targets: Sequence[str], known: Sequence[str], ignore: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The columns to predict, those known for the future, and the others."""
    parts = {**parts, **{f"--known {name}": name for name in known}}
    targets = choose_columns(table, parts, targets, ignore, "--target")
    taken = {*targets, *parts.values(), *ignore}
    return targets, tuple(known), tuple(name for name in table.columns if name not in taken)


def order_steps(
    table: Table, id: str | None, time: str | None, ids: Texts, columns: Columns, step: str | None
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[Any], Step, dict[str, int]]:
    """Sort rows, and make their steps even if a step is given.

    Returns:
        The values [N, F], the steps of each series [B], the time of each series' first step [B], the step, and what was
        changed.

    Raises:
        UserError: a series has a time twice, or steps are not even; says which rows.
    """
    times = columns.times.get(time or "")
    order, moved = sort_rows(table, id, ids, times)
    values = reorder(columns.numbers, order)
    lengths = np.bincount(ids.codes, minlength=len(ids.words)).astype(np.int64)
    skipped = {MOVED: moved} if moved else {}
    if times is None:
        if step not in (None, "row"):
            raise UserError(f"--step {step!r} needs times, and {table.path} has no column of them: name it with --time")
        return values, lengths, np.zeros(len(lengths), np.int64), Step("row", 1), {**skipped, NO_TIME: 1}
    sorted_times = times.values[order]
    starts = sorted_times[np.cumsum(lengths) - lengths]
    wanted = None if step is None else parse_step(step, times.is_date)
    if wanted is None:
        return values, lengths, starts, even_step(table, times, order, ids), skipped
    if wanted.unit == "row":
        return values, lengths, np.zeros(len(lengths), np.int64), wanted, skipped
    values, lengths, starts, done = resample(values, sorted_times, lengths, wanted)
    return values, lengths, starts, wanted, {**skipped, **done}


def even_step(table: Table, times: Times, order: NDArray[np.int64], ids: Texts) -> Step:
    """The step that all neighbours have.

    Raises:
        UserError: two neighbours have another one than most; says which rows.
    """
    values, codes = times.values[order], ids.codes[order]
    step, uneven = find_step(values, codes[1:] == codes[:-1], times.is_date)
    if not uneven.size:
        return step
    first = int(uneven[0])
    one, other = (f"{times.spell(values[row].item())} ({table.place(int(order[row]))})" for row in (first, first + 1))
    share = f"{uneven.size:,} of {len(values) - len(ids.words):,} steps are"
    raise UserError(
        f"{table.path}: the steps are not even: {one} is followed by {other}, and most steps are {step.describe()} "
        f"({share} not): complete the rows with empty cells, or resample with --step {step.spell()}, or give --step "
        "row if each row is a step whatever its time"
    )
