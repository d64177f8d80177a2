"""An array that grows at its end, without a second copy of what it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

FIRST = 1 << 16  # rows of the first allocation
FACTOR = 1.25  # rows are added by so much; the memory beyond the last row is given back at the end


class GrowingArray:
    """Rows of one dtype and width that arrive in pieces.

    A list of pieces and `np.concatenate` would hold everything twice for a moment. `ndarray.resize` reallocates in
    place, where Linux moves the pages of a large block and copies nothing.

    Args:
        dtype: of the numbers.
        width: numbers in a row; None: the array is one-dimensional.
    """

    def __init__(self, dtype: DTypeLike, width: int | None = None) -> None:
        self.size: int = 0
        self.row: tuple[int, ...] = () if width is None else (width,)
        self.array: NDArray[Any] = np.empty((0, *self.row), dtype)

    def add(self, rows: NDArray[Any]) -> None:
        """Add rows [n] or [n, width] at the end."""
        needed = self.size + len(rows)
        if needed > len(self.array):
            self.resize(max(needed, FIRST, int(len(self.array) * FACTOR)))
        self.array[self.size : needed] = rows
        self.size = needed

    def resize(self, rows: int) -> None:
        """Allocate so many rows; the array must not be referred to from outside."""
        self.array.resize((rows, *self.row), refcheck=False)

    def finish(self) -> NDArray[Any]:
        """All rows; nothing can be added after this."""
        self.resize(self.size)
        return self.array
