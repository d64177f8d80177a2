"""What every estimator has: options of its task as parameters, and fit and partial_fit by the loop of all tasks."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sized
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags, check_consistent_length, check_random_state
from torch import Tensor, nn

from carrousel.estimators.inputs import read_sequences
from carrousel.estimators.isolation import isolate_training, limit_threads, name_parameters
from carrousel.estimators.mixins import BaseEstimator
from carrousel.training.curve import Curve
from carrousel.training.device import find_device
from carrousel.training.in_memory import FitInMemory
from carrousel.training.options import BUDGETS, Options
from carrousel.training.task import Data, Task
from carrousel.training.trainer import Trainer

STEPS, EPOCHS = 500, 20  # of a fit that no parameter ends: the larger of the two, but at most `_most_steps`

Self = TypeVar("Self", bound="SequenceEstimator")


class SequenceEstimator(BaseEstimator):
    """An estimator over a task; a subclass names the task and says what y is.

    Its constructor has the options of the task as parameters, and `valid_fraction`, `impute`, `layout`, `random_state`.
    """

    _task: ClassVar[Task]
    _most_steps: ClassVar[float] = math.inf

    model_: nn.Module
    n_channels_: int
    n_steps_: int
    curve_: Curve

    # ---- what subclasses say ----

    def _read_targets(self, y: Any, is_new: bool) -> NDArray[Any]:
        """y as an array of numbers [N, ...]; is_new: in fit, not in partial_fit."""
        raise NotImplementedError

    @abstractmethod
    def _new_data(self, sequences: Any, targets: NDArray[Any], options: Options, device: torch.device,
                  fraction: float, facts: dict[str, Any] | None) -> Data:  # fmt: skip
        """What to train on.

        Args:
            sequences, targets: what `_read` returned; values are scaled in place.
            options, device: of the training.
            fraction: of the sequences, to validate on.
            facts: `Data.facts` of the first call of partial_fit, whose scales are used again; None: they are measured.
        """

    # ---- training ----

    def fit(self: Self, X: Any, y: Any, lengths: ArrayLike | None = None) -> Self:
        """Train a new model.

        Args:
            X: N sequences: a list of arrays [T_i, F]; an array [N, T, F]; an array [N, T], one channel; or, with
                lengths, an array [sum T_i, F].
            y: a target for each sequence.
            lengths: T_i [N], of sequences end to end in an array [sum T_i, F], or padded in an array [N, T, F].

        Raises:
            ValueError, TypeError: X, y or a parameter is not allowed; or the loss is no longer finite.
        """
        with name_parameters(), limit_threads():
            sequences, targets = self._read(X, y, lengths, is_first=True, is_new=True)
            options = self._read_options(self._count(sequences, None))
            device = find_device(options.device)
            data = self._new_data(sequences, targets, options, device, self._check_fraction(), None)
            with isolate_training(device):
                loop = FitInMemory(Trainer(self._task, options, data, device))
                loop.run()
        self._optimizer_state: dict[str, Tensor] = {}
        return self._finish(loop)

    def _train_on(self: Self, X: Any, y: Any, lengths: ArrayLike | None) -> Self:
        """Train on each sequence of a batch once, from where the last call ended; nothing is held out."""
        with name_parameters(), limit_threads():
            facts = getattr(self, "_facts", None)
            sequences, targets = self._read(X, y, lengths, is_first=facts is None, is_new=False)
            start = 0 if facts is None else self.n_steps_
            size = self._count(sequences, facts)
            options = self._read_options(size)
            count = math.ceil(size / options.batch)
            options = replace(options, batch=math.ceil(size / count), seed=options.seed + start, epochs=None,
                              steps=start + count, minutes=None, patience=0, schedule="constant")  # fmt: skip
            device = find_device(options.device)
            data = self._new_data(sequences, targets, options, device, 0.0, facts)
            data = replace(data, batch=partial(batch_after, data, start))
            with isolate_training(device):
                trainer = Trainer(self._task, options, data, device)
                self._continue(trainer)
                loop = FitInMemory(trainer)
                loop.run()
                tensors = trainer.tensors().items()
                self._optimizer_state = {name: tensor for name, tensor in tensors if not name.startswith("model.")}
        return self._finish(loop)

    def _continue(self, trainer: Trainer) -> None:
        """Give a trainer the weights of the last call, and the optimizer's state if that was partial_fit."""
        if not hasattr(self, "model_"):
            return
        weights = {f"model.{name}": tensor for name, tensor in self.model_.state_dict().items()}
        try:
            trainer.model.load_state_dict(self.model_.state_dict())
        except RuntimeError:  # names or shapes
            raise ValueError(
                "parameters of the network changed since the last call: change them back, or fit"
            ) from None
        trainer.step = self.n_steps_
        if self._optimizer_state:
            trainer.restore(self.n_steps_, {**weights, **self._optimizer_state})

    def _finish(self: Self, loop: FitInMemory) -> Self:
        """Store what was trained, on the CPU."""
        trainer = loop.trainer
        trainer.optimizer.zero_grad()
        self.model_ = trainer.model.cpu().eval()
        self.n_steps_ = trainer.step
        self.curve_ = loop.curve
        self._facts: dict[str, Any] = trainer.data.facts
        return self

    # ---- parameters and data ----

    def _get(self, name: str) -> Any:
        """A parameter; numbers of NumPy as those of Python."""
        value = getattr(self, name)
        return value.item() if isinstance(value, np.generic) else value

    def _read_options(self, count: int) -> Options:
        """The parameters as options of the task, for so many sequences."""
        cls = self._task.options
        values = {name: self._get(name) for name in cls.describe() if hasattr(self, name)}
        for name, about in cls.describe().items():
            if about.least is not None and not isinstance(values.get(name), (int, float, type(None))):
                raise TypeError(f"{name}={values[name]!r} is not a number")
        if all(values[name] is None for name in BUDGETS):
            steps = max(STEPS, math.ceil(EPOCHS * count / max(1, values["batch"])))
            values["steps"] = int(min(steps, self._most_steps))
        seed = check_random_state(self._get("random_state")).randint(2**31 - 1)
        return cls(seed=int(seed), **values).complete()

    def _check_fraction(self) -> float:
        """The part to validate on."""
        fraction = self._get("valid_fraction")
        if not isinstance(fraction, (int, float)) or not 0 <= fraction < 1:
            raise ValueError(f"valid_fraction={fraction!r} is not allowed: it must be at least 0 and below 1")
        if self._get("patience") and not fraction:
            raise ValueError("patience counts validations, and there are none: set valid_fraction above 0")
        return fraction

    def _count(self, sequences: Any, facts: dict[str, Any] | None) -> int:
        """How many units of the task there are to train on; facts: as for `_new_data`."""
        return len(sequences)

    def _read(self, X: Any, y: Any, lengths: ArrayLike | None, is_first: bool, is_new: bool
              ) -> tuple[Sized, NDArray[Any]]:  # fmt: skip
        """X as sequences and y as targets, of the same number."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        sequences = read_sequences(self, X, lengths, is_first)
        targets = self._read_targets(y, is_new)
        check_consistent_length(sequences, targets)
        return sequences, targets

    def __sklearn_tags__(self) -> Tags:
        """What X may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self._get("impute") is not None
        return tags


def batch_after(data: Data, start: int, step: int) -> Any:
    """The batch of a step, of data that begin with the step `start`."""
    return data.batch(step - start)
