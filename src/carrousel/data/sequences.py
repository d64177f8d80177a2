"""Sequences of any length, as every reader returns them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sequences:
    """Sequences of any length, end to end.

    values: steps of all sequences, one sequence after another [N, F], float32; NaN where a value is missing.
    lengths: steps of each sequence [B], int64; the sum is N.
    labels: one for each sequence [B], as the file spells it; None: the file has none.
    names: what the user would call each sequence [B], for messages: "line 12", "id 7", "a/b.wav".
    channels: the name of each value of a step [F].
    skipped: what was left out and how often, for people: {"rows without a label": 3}; never silent.
    """

    values: NDArray[np.float32]
    lengths: NDArray[np.int64]
    labels: tuple[str, ...] | None
    names: tuple[str, ...]
    channels: tuple[str, ...]
    skipped: dict[str, int]
