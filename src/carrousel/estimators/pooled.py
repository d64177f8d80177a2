"""Estimators with one target for a whole sequence."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from carrousel.data.scaling import Scaling
from carrousel.data.sequences import Sequences
from carrousel.estimators.base import SequenceEstimator
from carrousel.estimators.inputs import read_sequences
from carrousel.estimators.isolation import limit_threads
from carrousel.estimators.outputs import compute_exactly
from carrousel.tasks.classification.sources import split, to_examples
from carrousel.tasks.pooled import PooledNetwork
from carrousel.training.options import Options
from carrousel.training.task import Data


class PooledEstimator(SequenceEstimator):
    """An estimator over a task with the network of tasks/pooled.py."""

    model_: PooledNetwork

    # ---- what subclasses say ----

    @abstractmethod
    def _hold_out(self, targets: NDArray[Any], fraction: float, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The indices of the sequences that train, and of those to validate on."""

    @abstractmethod
    def _measure_targets(self, targets: NDArray[Any]) -> dict[str, Any]:
        """The facts of the targets that the task's model needs."""

    def _scale_targets(self, targets: NDArray[Any], facts: dict[str, Any]) -> NDArray[Any]:
        """Targets as the task's loss takes them."""
        return targets

    # ---- data and outputs ----

    def _new_data(self, sequences: Sequences, targets: NDArray[Any], options: Options, device: torch.device,
                  fraction: float, facts: dict[str, Any] | None) -> Data:  # fmt: skip
        """Sequences and targets, scaled and split."""
        train, rest = self._hold_out(targets, fraction, options.seed)
        own = facts or self._measure_targets(targets[train])
        scaling = Scaling.from_json(facts["scaling"]) if facts else None
        scaled = self._scale_targets(targets, own)
        found = split(sequences, scaled, train, rest, "X", self._get("impute"), device, scaling=scaling)
        return replace(found, facts={**found.facts, **own}).to_data(options.batch, options.seed)

    def _compute_outputs(self, X: Any, lengths: ArrayLike | None) -> NDArray[np.float64]:
        """The outputs of the model for each sequence [N, K]."""
        check_is_fitted(self, "model_")
        with torch.inference_mode(), limit_threads():
            sequences = read_sequences(self, X, lengths, is_first=False)
            Scaling.from_json(self._facts["scaling"]).apply(sequences, "X", self._get("impute"))
            device = next(self.model_.parameters()).device
            return compute_exactly(self.model_, to_examples(sequences, np.zeros(len(sequences)), device))
