"""Random streams: one for each purpose of each trial, so that no trial's chance depends on another's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from zlib import crc32

import numpy as np

Stream = Callable[..., np.random.Generator]  # (purpose, number) -> its generator


def streams(seed: int, experiment: str) -> Stream:
    """The streams of an experiment: `streams(seed, "4")("weights", trial)`."""
    return partial(stream, seed, experiment)


def stream(seed: int, experiment: str, purpose: str, number: int) -> np.random.Generator:
    """A stream of its own for (seed, experiment, purpose, number)."""
    key = (crc32(experiment.encode()), crc32(purpose.encode()), number)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))
