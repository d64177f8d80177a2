"""One number, or several, for a sequence."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import r2_score
from sklearn.utils import Tags, check_array

from carrousel.estimators.mixins import RegressorMixin
from carrousel.estimators.pooled import PooledEstimator
from carrousel.tasks.regression.targets import TargetScale
from carrousel.tasks.regression.task import Regression
from carrousel.training.task import Task

Self = TypeVar("Self", bound="SequenceRegressor")


class SequenceRegressor(RegressorMixin, PooledEstimator):
    """A recurrent network that predicts numbers for sequences of any length.

    Recurrent layers, pooling over time, linear. X is as for `SequenceClassifier`; y is [N], or [N, K] for several
    numbers. The loss is the mean squared error of the targets, each scaled to deviation 1.

    Args:
        hidden: units of a layer and direction (H).
        layers: recurrent layers.
        cell: "lstm", "gru", "rnn", "peephole" or "lstm1997".
        directions: in which a sequence is read, "both" or "forward".
        pool: what becomes of the outputs of all steps, "max", "mean" or "last".
        dropout: of each layer's outputs.
        noise: deviation of the noise that training adds to the scaled input.
        shift: deviation of what training adds to a channel of the scaled input, the same at all its steps.
        batch: sequences in a step.
        optimizer: "adamw", "adam" or "sgd".
        lr: highest learning rate. Default: 0.006; sgd: 1.
        weight_decay: of adamw.
        schedule: of the learning rate, "cosine", "linear" or "constant".
        clip: largest norm of the gradient; 0: no limit.
        steps, epochs, minutes: end after so many steps, passes over the data, or minutes; give one of them. Default:
            500 steps, or 20 epochs if that is more.
        patience: end after so many validations, of at most 20, without improvement; 0: never. Needs `valid_fraction`.
        valid_fraction: part to validate on. If it is not 0, the model has the weights
            with the lowest validation loss; else all sequences train, and it has the last weights.
        impute: what replaces missing values, "zero", "mean" or "last"; None: NaN is an error.
        layout: "NTF": a sequence is [T, F]; "NFT": it is [F, T], in lists and in arrays of three dimensions, as aeon
            and sktime have them.
        device: to train on, "cpu", "cuda", ...; the trained model is on the CPU.
        random_state: of weights, dropout and the order of the sequences; an int gives the same weights each time.

    Attributes:
        model_: the trained network, a torch.nn.Module in evaluation mode; its outputs are scaled.
        n_channels_: F.
        n_features_in_: F; of an array [N, T], T.
        n_steps_: steps of training.
        curve_: losses of training and validation, each with its step.

    There is no sample_weight in fit, as in `SequenceClassifier`.

    >>> import numpy as np
    >>> from carrousel.estimators import SequenceRegressor
    >>> random = np.random.default_rng(0)
    >>> X = [random.normal(k / 10, 0.1, (random.integers(3, 9), 2)) for k in range(40)]  # 40 arrays [T_i, 2]
    >>> y = np.arange(40) / 10
    >>> model = SequenceRegressor(hidden=16, steps=200, random_state=0).fit(X, y)
    >>> bool(abs(model.predict([np.full((5, 2), 2.0)])[0] - 2.0) < 0.5)
    True
    """

    _task: ClassVar[Task] = Regression()

    def __init__(
        self,
        hidden: int = 64,
        *,
        layers: int = 1,
        cell: str = "lstm",
        directions: str = "both",
        pool: str = "last",
        dropout: float | None = 0.0,
        noise: float = 0.1,
        shift: float = 0.0,
        batch: int = 32,
        optimizer: str = "adamw",
        lr: float | None = None,
        weight_decay: float = 0.1,
        schedule: str = "cosine",
        clip: float = 1.0,
        steps: int | None = None,
        epochs: float | None = None,
        minutes: float | None = None,
        patience: int = 0,
        valid_fraction: float = 0.0,
        impute: str | None = None,
        layout: str = "NTF",
        device: str = "cpu",
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.layers = layers
        self.cell = cell
        self.directions = directions
        self.pool = pool
        self.dropout = dropout
        self.noise = noise
        self.shift = shift
        self.batch = batch
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.clip = clip
        self.steps = steps
        self.epochs = epochs
        self.minutes = minutes
        self.patience = patience
        self.valid_fraction = valid_fraction
        self.impute = impute
        self.layout = layout
        self.device = device
        self.random_state = random_state

    def partial_fit(self: Self, X: Any, y: Any, lengths: ArrayLike | None = None) -> Self:
        """Train on each sequence of a batch once, from where the last call ended; arguments as for `fit`.

        The first call decides how X and y are scaled.
        """
        return self._train_on(X, y, lengths)

    def predict(self, X: Any, lengths: ArrayLike | None = None) -> NDArray[np.float64]:
        """The numbers of each sequence: [N], or [N, K] if y had two dimensions."""
        outputs = self._compute_outputs(X, lengths)
        found = TargetScale.from_json(self._facts["targets"]).invert(outputs)
        return found[:, 0] if self._has_one_target else found

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, lengths: ArrayLike | None = None) -> float:
        """R2 on sequences with their numbers."""
        return float(r2_score(y, self.predict(X, lengths), sample_weight=sample_weight))

    # ---- targets ----

    def _read_targets(self, y: Any, is_new: bool) -> NDArray[np.float64]:
        """y as an array [N, K]."""
        rules: dict[str, Any] = {"dtype": np.float64, "ensure_2d": False, "input_name": "y"}
        found: Any = check_array(y, **rules)
        has_one = found.ndim == 1
        found = found.reshape(len(found), -1)
        if not is_new and hasattr(self, "_facts"):
            known = len(self._facts["targets"]["mean"])
            if found.shape[1] != known:
                raise ValueError(f"y has {found.shape[1]} numbers for a sequence, and had {known} in the first call")
        self._has_one_target = has_one
        return found

    def _hold_out(self, targets: NDArray[Any], fraction: float, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Any sequences."""
        order = np.random.default_rng(seed).permutation(len(targets))
        count = int(fraction * len(targets))
        return np.sort(order[count:]), np.sort(order[:count])

    def _measure_targets(self, targets: NDArray[Any]) -> dict[str, Any]:
        """Their scale."""
        return {"targets": TargetScale.measure(targets).to_json()}

    def _scale_targets(self, targets: NDArray[Any], facts: dict[str, Any]) -> NDArray[Any]:
        """Targets with mean 0 and deviation 1."""
        return TargetScale.from_json(facts["targets"]).apply(targets)

    def __sklearn_tags__(self) -> Tags:
        """What y may be."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
