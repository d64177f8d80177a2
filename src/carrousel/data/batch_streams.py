"""Batch streams: the batches of truncated backpropagation through time."""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.errors import UserError


class BatchStreams:
    """A text read at B places at once, T symbols at a time, without gaps, again and again.

    The text is a ring. Stream b starts at b N / B and never jumps, so the state that it carries is always that of the
    symbol before. After N / B symbols the streams have read everything once, and each continues where the next one
    began, in windows that start at other places than in the pass before.

    Args:
        codes: the text [N], of integers of any size; it is not copied.
        batch: B, the number of streams.
        length: T, the symbols of a window.
        unit: what the symbols are, in the plural, for the error message.

    Raises:
        UserError: the text is shorter than one window of all streams.
    """

    def __init__(self, codes: Tensor, batch: int, length: int, unit: str = "characters") -> None:
        if len(codes) <= batch * length:
            raise UserError(
                f"the text has {len(codes):,} {unit} to train on, and a step needs more than {batch * length:,} "
                f"(--batch {batch} x --length {length}): use more text, or a smaller batch or length"
            )
        self.size: int = len(codes)
        self.length = length
        self.codes: Tensor = codes
        self.starts: Tensor = torch.arange(batch, device=codes.device) * self.size // batch
        self.offsets: Tensor = torch.arange(length + 1, device=codes.device)[:, None]

    def window(self, index: int) -> tuple[Tensor, Tensor]:
        """The inputs [T, B] and the symbols that follow them [T, B] of the window with this number, from 0; int64."""
        places = (self.starts + index * self.length + self.offsets) % self.size
        codes = self.codes[places].long()
        return codes[:-1], codes[1:]
