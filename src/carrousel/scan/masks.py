"""Random masks: dropout's, zoneout's, DropConnect's. Each number is a function of where it stands, and of a seed.

Nothing is drawn in an order, so a mask is the same for any number of threads, and the backward pass computes it again
instead of keeping it. `uniform` is the definition, in torch's integers; kernels/src/machine/noise.hpp is the same in
vectors, bit by bit.

It is a counter-based generator (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011) of two parts: seed,
mask, step and row are mixed in 64 bits, once for all units of a row, by the finaliser of SplitMix64 (Steele, Lea and
Flood, "Fast Splittable Pseudorandom Number Generators", 2014); units are hashed in 32 bits, by two multiplications,
with one half of that key before the first and one half between the two. With 32 bits of it before the first alone, some
rows of a large batch would have the same numbers, a few units apart.

Letters: T time, B batch, H hidden units, P the width of h.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

MASKS = 16  # a layer and direction has so many masks at most: those of its cell first
FED_BACK, INPUT, RECURRENT_WEIGHTS = MASKS - 1, MASKS - 2, MASKS - 3  # of h and x, one a sequence; of weight_hh

# Odd, without short vectors in the lattice that they span: no two of (step, row), or (seed, mask), come to one sum.
BY_STEP, BY_ROW, BY_MASK = 0xC13FA9A902A6328F, 0x91E10DA5C79E7B1D, 0x9E3779B97F4A7C15


def signed(number: int) -> int:
    """The int64 with the lowest 64 bits of a whole number."""
    return (number + 2**63) % 2**64 - 2**63


class Mask(NamedTuple):
    """How the numbers of one mask are drawn: `taken` as often as `rate` says, else `left`."""

    rate: float
    taken: float
    left: float

    @property
    def threshold(self) -> int:
        """Below it a uniform number of 32 bits is taken. 0: nothing is drawn."""
        return min(round(self.rate * 2**32), 2**32 - 1)


@cache  # a small network would feel the time that they take to make
def dropping(rate: float) -> Mask:
    """0, or what keeps the mean at 1."""
    return Mask(rate, 0.0, 1 / (1 - rate))


@cache
def keeping(rate: float) -> Mask:
    """1 where the old value is kept, else 0."""
    return Mask(rate, 1.0, 0.0)


@cache
def always(value: float) -> Mask:
    """One number everywhere."""
    return Mask(0.0, value, value)


class Noise(NamedTuple):
    """The masks of one layer and direction in one call."""

    seed: Tensor | None = None  # one number, int64 on the CPU; None: nothing is drawn
    place: int = 0  # the layer and direction among those that share the seed
    masks: tuple[Mask, ...] = ()  # the cell's, a fresh one each step; (): those where nothing is drawn
    fed_back: Mask | None = None  # multiplies the h that R multiplies, one a sequence
    weights: Mask | None = None  # multiplies R, one a call
    rows: Tensor | None = None  # [B] what the caller calls each row, int64 on the CPU; None: as they stand

    def stream(self, mask: int) -> int:
        """The number of a mask among those that share the seed."""
        return self.place * MASKS + mask


def uniform(seed: Tensor, stream: int, step: int, rows: Tensor, units: Tensor) -> Tensor:
    """Uniform numbers from 0 to 2^32 - 1, int64.

    Args:
        seed: int64, of one number.
        stream: which mask.
        step: of the row's own sequence; 0 for a mask that is one for all steps.
        rows: of the caller's batch, int64.
        units: int64; may be broadcast with the rows.
    """
    base = _mix(_mix(seed.reshape(()).to(rows.device)) + signed((stream + 1) * BY_MASK))
    key = _mix(base + signed(step * BY_STEP) + rows * signed(BY_ROW))
    low, high = key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF
    x = (units + low) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = x ^ high
    return ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF


def draw(noise: Noise, mask: Mask, number: int, step: int, rows: Tensor, width: int, like: Tensor) -> Any:
    """A mask for some rows at a step: [len(rows), width] in the dtype and on the device of `like`, or a number.

    Args:
        noise: seed and place.
        mask: how it is drawn.
        number: of the mask, in the layer and direction.
        step: as `uniform` takes it.
        rows: of the caller's batch.
    """
    if not mask.threshold:
        return mask.left
    assert noise.seed is not None, "a mask is drawn without a seed"
    units = torch.arange(width, device=rows.device)
    taken = uniform(noise.seed, noise.stream(number), step, rows[:, None], units) < mask.threshold
    values = torch.tensor([mask.left, mask.taken], dtype=like.dtype, device=like.device)
    return values[taken.to(like.device, torch.int64)]


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser: every bit of the result depends on every bit of z; one to one."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ _shifted(z, shift)) * signed(factor)
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """z >> bits, as of a number without sign."""
    return (z >> bits) & (2 ** (64 - bits) - 1)
