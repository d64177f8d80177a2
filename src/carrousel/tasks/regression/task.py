"""The task: K numbers for a whole sequence.

Data: sequences of any length, channels and targets scaled by the training part. Model: recurrent layers, pooling over
time, linear. Loss: mean squared error of the scaled targets, so that outputs in large units count no more than others.
Metric: R2, the part of the variance that is explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from carrousel.tasks.classification.held_out import HeldOut
from carrousel.tasks.pooled import PooledNetwork, PooledOptions, compute_outputs, numbers_in_step
from carrousel.training.options import Options
from carrousel.training.task import Data, Score, State, Task


@dataclass(frozen=True)
class RegressionOptions(PooledOptions):
    """The options of a network that predicts numbers."""


class Regression(Task):
    """The task, for sequences that are in memory."""

    name = "regression"
    summary = "Train a model of numbers for whole sequences of any length."
    unit = "sequences"
    loss_unit = "squared deviations"
    sample = 2000
    less_data = "train on fewer or shorter sequences"
    options: ClassVar[type[Options]] = RegressionOptions

    def data(self, options: RegressionOptions, device: torch.device) -> Data:
        """Not available: `estimators` make the data from sequences in memory."""
        raise NotImplementedError("regression reads no files: use carrousel.estimators.SequenceRegressor")

    def model(self, options: RegressionOptions, facts: dict[str, Any]) -> PooledNetwork:
        """A model with new weights for these channels and outputs."""
        return PooledNetwork(len(facts["channels"]), len(facts["targets"]["mean"]), options)

    def loss(self, model: PooledNetwork, batch: tuple[Tensor, Tensor, Tensor], state: State) -> tuple[Tensor, State]:
        """The mean squared error over a batch and its outputs."""
        x, lengths, targets = batch
        return mse_loss(model(x, lengths), targets), ()

    def measure(self, model: PooledNetwork, valid: HeldOut, sample: int | None = None) -> Score:
        """Mean squared error and R2 of a model, both the mean over the outputs."""
        examples = valid.examples.spread(sample)
        predicted, targets = compute_outputs(model, examples).double(), examples.targets.double()
        errors = (predicted - targets).square().mean(0)
        variance = targets.var(0, correction=0)
        r2 = torch.where(variance > 0, 1 - errors / variance, 0.0)
        return Score(errors.mean().item(), len(examples), {"r2": r2.mean().item()}, valid.notes)

    def numbers_in_step(self, options: RegressionOptions, facts: dict[str, Any]) -> int:
        """The outputs of each layer and direction."""
        return numbers_in_step(options, options.units, facts["longest"])


TASK = Regression()
