"""A range of the rows of each series, as Python writes slices: ":-48", "11520:14400"."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from carrousel.errors import UserError

FORM = re.compile(r"\s*([-+]?\d{1,18})?\s*:\s*([-+]?\d{1,18})?\s*")


def parse_rows(text: str) -> tuple[int | None, int | None]:
    """The start and the end of a range; None: that of the series.

    Raises:
        UserError: it has another form.
    """
    found = FORM.fullmatch(text)
    if not found:
        raise UserError(
            f"--rows {text!r} is not a range: give START:END, counted from 0, from the end if negative, for example "
            ":8640 for the first 8,640 rows of each series, or -48: for the last 48"
        )
    start, end = (None if part is None else int(part) for part in found.groups())
    return start, end


def find_bounds(text: str | None, lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first row of a range in each series and the row after its last one [B]; None: all rows.

    Raises:
        UserError: it is not a range, or no series has a row in it.
    """
    if text is None:
        return np.zeros_like(lengths), lengths
    wanted = slice(*parse_rows(text))
    bounds = np.array([wanted.indices(length)[:2] for length in lengths.tolist()], np.int64).reshape(-1, 2)
    first, stop = bounds[:, 0], np.maximum(bounds[:, 0], bounds[:, 1])
    if not (stop > first).any():
        raise UserError(f"--rows {text} has no rows: the longest series has {lengths.max():,}")
    return first, stop
