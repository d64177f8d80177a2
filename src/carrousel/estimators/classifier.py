"""The class of a sequence."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d

from carrousel.data.classes import split_by_class
from carrousel.estimators.labels import number_labels, start_classes
from carrousel.estimators.mixins import ClassifierMixin
from carrousel.estimators.pooled import PooledEstimator
from carrousel.tasks.classification.model import ClassifierOptions
from carrousel.tasks.classify import Classify
from carrousel.training.options import Options
from carrousel.training.task import Task

Self = TypeVar("Self", bound="SequenceClassifier")


class ClassifySequences(Classify):
    """The task `classify` without the options of files."""

    options: ClassVar[type[Options]] = ClassifierOptions


class SequenceClassifier(ClassifierMixin, PooledEstimator):
    """A recurrent network that classifies sequences of any length.

    Recurrent layers, pooling over time, linear. X is a list of arrays [T_i, F]; an array [N, T, F]; an array [N, T],
    each row one channel over time; or, with `lengths`, an array [sum T_i, F]. Channels are scaled by the training data.

    Args:
        hidden: units of a layer and direction (H).
        layers: recurrent layers.
        cell: "lstm", "gru", "rnn", "peephole" or "lstm1997".
        directions: in which a sequence is read, "both" or "forward".
        pool: what becomes of the outputs of all steps, "max", "mean" or "last".
        dropout: of each layer's outputs.
        noise: deviation of the noise that training adds to the scaled input.
        shift: deviation of what training adds to a channel of the scaled input, the same at all its steps.
        smoothing: part of the target that is spread over all classes.
        batch: sequences in a step.
        optimizer: "adamw", "adam" or "sgd".
        lr: highest learning rate. Default: 0.006; sgd: 1.
        weight_decay: of adamw.
        schedule: of the learning rate, "cosine", "linear" or "constant".
        clip: largest norm of the gradient; 0: no limit.
        steps, epochs, minutes: end after so many steps, passes over the data, or minutes; give one of them. Default:
            500 steps, or 20 epochs if that is more.
        patience: end after so many validations, of at most 20, without improvement; 0: never. Needs `valid_fraction`.
        valid_fraction: part of each class to validate on. If it is not 0, the model has the weights
            with the lowest validation loss; else all sequences train, and it has the last weights.
        impute: what replaces missing values, "zero", "mean" or "last"; None: NaN is an error.
        layout: "NTF": a sequence is [T, F]; "NFT": it is [F, T], in lists and in arrays of three dimensions, as aeon
            and sktime have them.
        device: to train on, "cpu", "cuda", ...; the trained model is on the CPU.
        random_state: of weights, dropout and the order of the sequences; an int gives the same weights each time.

    Attributes:
        classes_: the labels, sorted [C].
        model_: the trained network, a torch.nn.Module in evaluation mode.
        n_channels_: F.
        n_features_in_: F; of an array [N, T], T.
        n_steps_: steps of training.
        curve_: losses of training and validation, each with its step.

    There is no sample_weight in fit: scikit-learn requires that a weight of 0 has the same result as leaving the
    sequence out, which does not hold for shuffled batches.

    >>> import numpy as np
    >>> from carrousel.estimators import SequenceClassifier
    >>> random = np.random.default_rng(0)
    >>> X = [random.normal(k % 2, 0.5, (random.integers(3, 9), 2)) for k in range(40)]  # 40 arrays [T_i, 2]
    >>> y = ["low", "high"] * 20
    >>> model = SequenceClassifier(hidden=16, steps=100, random_state=0).fit(X, y)
    >>> model.predict([np.zeros((5, 2)), np.ones((7, 2))])
    array(['low', 'high'], dtype='<U4')
    """

    _task: ClassVar[Task] = ClassifySequences()

    classes_: NDArray[Any]

    def __init__(
        self,
        hidden: int = 64,
        *,
        layers: int = 1,
        cell: str = "lstm",
        directions: str = "both",
        pool: str = "max",
        dropout: float | None = 0.5,
        noise: float = 0.5,
        shift: float = 0.5,
        smoothing: float = 0.0,
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
        self.smoothing = smoothing
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

    def partial_fit(
        self: Self, X: Any, y: Any, classes: ArrayLike | None = None, lengths: ArrayLike | None = None
    ) -> Self:
        """Train on each sequence of a batch once, from where the last call ended.

        Args:
            X, y, lengths: as for `fit`.
            classes: all labels that any call will bring; needed in the first call.

        Raises:
            ValueError, TypeError: as for `fit`; or a label is not among the classes.
        """
        start_classes(self, classes)
        return self._train_on(X, y, lengths)

    def predict_proba(self, X: Any, lengths: ArrayLike | None = None) -> NDArray[np.float64]:
        """The probability of each class for each sequence [N, C], in the order of `classes_`."""
        logits = self._compute_outputs(X, lengths)
        found = np.exp(logits - logits.max(1, keepdims=True))
        return found / found.sum(1, keepdims=True)

    def predict(self, X: Any, lengths: ArrayLike | None = None) -> NDArray[Any]:
        """The most likely class of each sequence [N]."""
        numbers = self._compute_outputs(X, lengths).argmax(1)
        return self.classes_[numbers]

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, lengths: ArrayLike | None = None) -> float:
        """The accuracy on sequences with their labels."""
        return float(accuracy_score(y, self.predict(X, lengths), sample_weight=sample_weight))

    # ---- targets ----

    def _read_targets(self, y: Any, is_new: bool) -> NDArray[np.int64]:
        """The number of each label in `classes_` [N]; a new fit takes the classes from y."""
        return number_labels(self, column_or_1d(y, warn=True), is_new)

    def _hold_out(self, targets: NDArray[Any], fraction: float, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same fraction of each class."""
        return split_by_class(targets, fraction, seed)

    def _measure_targets(self, targets: NDArray[Any]) -> dict[str, Any]:
        """The classes."""
        return {"classes": tuple(map(str, self.classes_))}
