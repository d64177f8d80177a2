"""The loop without files: the best weights stay in memory."""

from __future__ import annotations

from torch import Tensor

from carrousel.training.loop import Loop
from carrousel.training.task import Score
from carrousel.training.trainer import Trainer


class FitInMemory(Loop):
    """The loop that an estimator runs.

    Args:
        trainer: its model has the best weights afterwards, or the last if nothing was validated.
    """

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(trainer)
        self.best: dict[str, Tensor] = {}  # weights by name

    def run(self) -> str:
        """Train, and return what ended it: finished or patience.

        Raises:
            Diverged: a loss or a gradient is not finite.
        """
        ended = self.repeat_steps()
        self.validate()
        if self.best:
            self.trainer.model.load_state_dict(self.best)
        return ended

    def after_validation(self, score: Score, is_best: bool) -> None:
        """Copy the weights if they are the best."""
        if is_best:
            self.best = {name: tensor.clone() for name, tensor in self.trainer.model.state_dict().items()}
