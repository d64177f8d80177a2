"""Numbers to predict, of a size that networks learn: each output with mean 0 and deviation 1 over the training part."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TargetScale:
    """The mean and the deviation of each output [K]."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def measure(cls, targets: NDArray[np.float64]) -> TargetScale:
        """Mean and deviation of targets [B, K]. An output that never changes has deviation 1."""
        mean, deviation = targets.mean(0), targets.std(0)
        deviation[deviation <= 1e-15 * np.abs(mean)] = 1.0  # float64 rounds; also 0 for an output of zeros
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    def apply(self, targets: NDArray[np.float64]) -> NDArray[np.float32]:
        """Targets [B, K], scaled."""
        return ((targets - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)

    def invert(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs of a model [B, K] in the units of the targets."""
        return outputs * np.array(self.deviation) + np.array(self.mean)

    def to_json(self) -> dict[str, Any]:
        """In types that JSON has."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TargetScale:
        """The inverse of `to_json`."""
        return cls(tuple(values["mean"]), tuple(values["deviation"]))
