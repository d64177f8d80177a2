"""Frames of pandas as tables, read by the same rules as files; and times as pandas has them.

Only `Forecaster` needs pandas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrousel.data.libraries import load_library
from carrousel.data.tables.table import Kind, Table

INDEX = "ds"  # what the times of an index without a name are called


@dataclass(frozen=True)
class Form:
    """How a frame is laid out, and how its times are written.

    id: the column that says to which series a row belongs; None: there is one series.
    time: the column of times.
    is_index: the times are the index.
    zone: the time zone of dates; None: none.
    period: the frequency of periods; None: times are no periods.
    name: of the index, if it has one.
    is_array: X was an array: its rows are steps, and nothing says which.
    """

    id: str | None
    time: str
    is_index: bool
    zone: Any = None
    period: str | None = None
    name: str | None = None
    is_array: bool = False

    def restore_times(self, times: NDArray[Any], is_date: bool) -> Any:
        """Times of a series as the frame had them, a pandas Index."""
        pandas: Any = load_library("pandas", "Forecaster", "sklearn")
        if not is_date:
            return pandas.Index(times)
        found = pandas.DatetimeIndex(times.astype("datetime64[us]"))
        if self.zone is not None:
            found = found.tz_localize("UTC").tz_convert(self.zone)
        return found.to_period(self.period) if self.period else found


def open_frame(X: Any, id: str, time: str, index: str | None = None) -> tuple[Any, Form]:
    """X as a frame with a column of times, and its form.

    Args:
        X: a frame, a series of pandas, or an array [T] or [T, C].
        id, time: the columns of ids and times of a frame in long form; one without `time` has its times in its index.

        index: what the times of an index are called. Default: its name.

    Raises:
        TypeError: it is none of these.
        ValueError: two columns have one name, or the index has several levels.
    """
    pandas: Any = load_library("pandas", "Forecaster", "sklearn")
    is_array = not isinstance(X, (pandas.DataFrame, pandas.Series))
    if is_array:
        if not hasattr(X, "__len__") or isinstance(X, (str, dict)) or np.ndim(X) not in (1, 2):
            raise TypeError(f"X is {X!r:.60}: give a frame with a time index, a long frame, or an array [T] or [T, C]")
        values = np.asarray(X)
        X = pandas.DataFrame(values, columns=["y"] if values.ndim == 1 else [f"y{c}" for c in range(values.shape[1])])
    if isinstance(X, pandas.Series):
        X = X.to_frame("y" if X.name is None else X.name)
    frame = X.set_axis([str(name) for name in X.columns], axis=1)  # with the same memory
    if not frame.columns.is_unique:
        raise ValueError(f"X has two columns of the same name ({', '.join(frame.columns)}): rename one")
    ids = id if id in frame.columns else None
    if time in frame.columns:
        return frame, Form(ids, time, False, getattr(frame[time].dtype, "tz", None), find_period(frame[time].dtype))
    if isinstance(frame.index, pandas.MultiIndex):
        raise ValueError(f"X has an index of {frame.index.nlevels} levels: use X.reset_index(), the long form")
    name = index or (INDEX if frame.index.name is None else str(frame.index.name))
    if name in frame.columns:
        raise ValueError(f"X has {name!r} as the name of its index and of a column: rename one")
    dtype = frame.index.dtype
    form = Form(ids, name, True, getattr(dtype, "tz", None), find_period(dtype), frame.index.name, is_array)
    return frame.assign(**{name: frame.index}), form


def find_period(dtype: Any) -> str | None:
    """The frequency of a type of periods."""
    pandas: Any = load_library("pandas", "Forecaster", "sklearn")
    return str(dtype).removeprefix("period[").removesuffix("]") if isinstance(dtype, pandas.PeriodDtype) else None


class FrameTable(Table):
    """A frame of pandas as a table.

    Args:
        frame: its columns have texts as names.
    """

    def __init__(self, frame: Any) -> None:
        self.frame = frame
        self.path: Path = Path("X")
        self.columns: tuple[str, ...] = tuple(frame.columns)

    def blocks(self, kinds: Mapping[str, Kind]) -> Iterator[Mapping[str, Any]]:
        """All rows, as Arrow arrays by column."""
        yield {name: self.read(name, kind) for name, kind in kinds.items()}

    def read(self, name: str, kind: Kind) -> Any:
        """A column as an Arrow array.

        Raises:
            ValueError: it should have numbers, and has none.
        """
        arrow: Any = load_library("pyarrow", "Forecaster")
        column = self.frame[name]
        if kind == "number":
            return arrow.array(self.read_numbers(name))
        if kind == "text":
            return arrow.array([None if missing else str(one) for one, missing in zip(column, column.isna())], "string")
        if find_period(column.dtype):
            column = column.dt.to_timestamp()
        return arrow.Array.from_pandas(column)

    def read_numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN where one is missing.

        Raises:
            ValueError: a value is not a number.
        """
        column = self.frame[name]
        try:
            return column.to_numpy(np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            row, value = next((row, one) for row, one in enumerate(column) if not is_number(one))
        raise ValueError(
            f"X {self.place(row)}, column {name!r}: {value!r:.60} is not a number: name a column of texts that "
            "describes a series in static, one to leave out in ignore"
        )

    def may_be_times(self, column: str) -> bool:
        """Any column may."""
        return True

    def place(self, row: int) -> str:
        """The row, counted from 0 as `iloc` does."""
        return f"row {row}"


def is_number(value: Any) -> bool:
    """Whether a value can be read as a number."""
    try:
        float(value)
    except (TypeError, ValueError):
        return value is None or type(value).__name__ == "NAType"
    return not isinstance(value, str)
