"""Contiguous streams: the batches of truncated backpropagation through time."""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.errors import UserError


class Streams:
    """A text read at B places at once, T characters at a time, without gaps, round and round.

    The text is a ring. Stream b starts at b N / B and never jumps, so the state that it carries is always that of the
    character before; after N / B characters the streams have read everything once and each goes on where its neighbour
    began, in windows that start elsewhere than in the round before.

    Args:
        codes: the text [N], int64.
        batch: B, the number of streams.
        length: T, the characters of a window.

    Raises:
        UserError: the text is shorter than one window of all streams.
    """

    def __init__(self, codes: Tensor, batch: int, length: int) -> None:
        if len(codes) <= batch * length:
            raise UserError(
                f"the text has {len(codes):,} characters to train on, but one batch of streams needs more than "
                f"{batch * length:,} (--batch {batch} x --length {length}): use more text, or a smaller batch or length"
            )
        self.size, self.length = len(codes), length
        self.ring = torch.cat([codes, codes[: length + 1]])  # a window that starts near the end reads on
        self.starts = torch.arange(batch, device=codes.device) * self.size // batch
        self.offsets = torch.arange(length + 1, device=codes.device)[:, None]

    def window(self, index: int) -> tuple[Tensor, Tensor]:
        """The inputs [T, B] and the characters that follow them [T, B] of the window with this number."""
        first = (self.starts + index * self.length) % self.size
        codes = self.ring[first + self.offsets]
        return codes[:-1], codes[1:]
