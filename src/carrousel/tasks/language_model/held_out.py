"""What a model of words is measured on: a text, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class HeldOutText:
    """A text that did not train.

    Args:
        codes: its symbols [N], of integers.
        train: the training text [M], for the baselines; None: not available.
        notes: what people should know of the text, a line each.
    """

    codes: Tensor
    train: NDArray[Any] | None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.codes)
