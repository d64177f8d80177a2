"""Random streams: one for each purpose of each trial, so that trials do not depend on each other's random numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from zlib import crc32

import numpy as np

RandomStreams = Callable[[str, int], np.random.Generator]  # (purpose, number) -> its generator


def random_streams(seed: int, experiment: str) -> RandomStreams:
    """The random streams of an experiment: `random_streams(seed, "4")("weights", trial)`."""
    return partial(random_stream, seed, experiment)


def random_stream(seed: int, experiment: str, purpose: str, number: int) -> np.random.Generator:
    """The random stream of (seed, experiment, purpose, number), independent of all others."""
    key = (crc32(experiment.encode()), crc32(purpose.encode()), number)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=key)))
