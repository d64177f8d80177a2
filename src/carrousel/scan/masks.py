"""Random masks: dropout's, zoneout's, DropConnect's. Each number is a function of its position and of a seed.

No number depends on the ones before it, so a mask is the same for any number of threads, and the backward pass computes
it again instead of saving it. `sample_uniform` is the definition, in torch's integers; the kernels compute the same in
vectors, bit by bit (kernels/src/machine).

It is a counter-based generator (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011) of two parts. Seed,
mask, step and row are mixed in 64 bits, once for all units of a row, by the finaliser of SplitMix64 (Steele, Lea and
Flood, "Fast Splittable Pseudorandom Number Generators", 2014). Units are hashed in 32 bits, by two multiplications,
with one half of that key before the first and the other half between the two. With only 32 bits of it before the first,
some rows of a large batch would have the same numbers, a few units apart.

Letters: T time, B batch, H hidden units, P the width of h.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

MASKS = 16  # a layer and direction has at most so many masks; those of its cell come first
FED_BACK, INPUT, RECURRENT_WEIGHTS = MASKS - 1, MASKS - 2, MASKS - 3  # of h and x, one a sequence; of weight_hh

# Odd numbers that span a lattice without short vectors: no two of (step, row), or (seed, mask), have the same sum.
BY_STEP, BY_ROW, BY_MASK = 0xC13FA9A902A6328F, 0x91E10DA5C79E7B1D, 0x9E3779B97F4A7C15


def wrap_int64(number: int) -> int:
    """The int64 with the lowest 64 bits of an integer."""
    return (number + 2**63) % 2**64 - 2**63


class Mask(NamedTuple):
    """How the numbers of one mask are sampled: `chosen` with probability `rate`, else `otherwise`."""

    rate: float
    chosen: float
    otherwise: float

    @property
    def threshold(self) -> int:
        """A uniform number of 32 bits below it chooses. 0: nothing is sampled."""
        return min(round(self.rate * 2**32), 2**32 - 1)


@cache  # making them would take a noticeable part of a small network's time
def dropout_mask(rate: float) -> Mask:
    """0, or the number that keeps the mean at 1."""
    return Mask(rate, 0.0, 1 / (1 - rate))


@cache
def zoneout_mask(rate: float) -> Mask:
    """1 where the old value stays, else 0."""
    return Mask(rate, 1.0, 0.0)


@cache
def constant_mask(value: float) -> Mask:
    """The same number everywhere."""
    return Mask(0.0, value, value)


class Masks(NamedTuple):
    """The masks of one layer and direction in one call."""

    seed: Tensor | None = None  # one number, int64 on the CPU; None: nothing is sampled
    place: int = 0  # the layer and direction among those that share the seed
    of_cell: tuple[Mask, ...] = ()  # those of the cell, sampled anew at each step; (): each as where nothing is sampled
    fed_back: Mask | None = None  # multiplies the h that R multiplies, one a sequence
    of_weights: Mask | None = None  # multiplies R, one a call
    row_numbers: Tensor | None = None  # [B] the caller's number of each row, int64 on the CPU; None: 0, 1, ...

    def random_stream(self, mask: int) -> int:
        """The number of a mask among all that share the seed."""
        return self.place * MASKS + mask


def sample_uniform(seed: Tensor, random_stream: int, step: int, rows: Tensor, units: Tensor) -> Tensor:
    """Uniform numbers from 0 to 2^32 - 1, int64.

    Args:
        seed: int64, of one number.
        random_stream: which mask.
        step: of the row's own sequence; 0 for a mask that all steps share.
        rows: of the caller's batch, int64.
        units: int64; broadcast with the rows.
    """
    base = _mix(_mix(seed.reshape(()).to(rows.device)) + wrap_int64((random_stream + 1) * BY_MASK))
    key = _mix(base + wrap_int64(step * BY_STEP) + rows * wrap_int64(BY_ROW))
    low, high = key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF
    x = (units + low) & 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = x ^ high
    return ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF


def sample_mask(masks: Masks, mask: Mask, number: int, step: int, rows: Tensor, width: int, like: Tensor) -> Any:
    """A mask for some rows at a step: [len(rows), width] in the dtype and on the device of `like`, or one number.

    Args:
        masks: seed and place.
        mask: how it is sampled.
        number: of the mask, in the layer and direction.
        step: as `sample_uniform` takes it.
        rows: of the caller's batch.
        width: the number of units.
        like: a tensor.
    """
    if not mask.threshold:
        return mask.otherwise
    assert masks.seed is not None, "a mask is sampled without a seed"
    units = torch.arange(width, device=rows.device)
    uniform = sample_uniform(masks.seed, masks.random_stream(number), step, rows[:, None], units)
    values = torch.tensor([mask.otherwise, mask.chosen], dtype=like.dtype, device=like.device)
    return values[(uniform < mask.threshold).to(like.device, torch.int64)]


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser: every bit of the result depends on every bit of z; one to one."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ _shift_right(z, shift)) * wrap_int64(factor)
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, bits: int) -> Tensor:
    """z >> bits, as of an unsigned number."""
    return (z >> bits) & (2 ** (64 - bits) - 1)
