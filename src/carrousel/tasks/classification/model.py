"""The network of a classifier, and its options."""

from __future__ import annotations

from dataclasses import dataclass

from carrousel.tasks.pooled import PooledNetwork, PooledOptions
from carrousel.training.options import option


@dataclass(frozen=True)
class ClassifierOptions(PooledOptions):
    """The options of a network that classifies sequences."""

    smoothing: float = option(
        0.0, "Part of the target that is spread over all classes.", least=0, below=1, range="at least 0 and below 1"
    )


class Classifier(PooledNetwork):
    """Gives each sequence a logit for each class.

    Args:
        inputs: I, values of a step.
        classes: C.
        options: complete.
    """

    def __init__(self, inputs: int, classes: int, options: ClassifierOptions) -> None:
        super().__init__(inputs, classes, options)
        self.smoothing: float = options.smoothing
