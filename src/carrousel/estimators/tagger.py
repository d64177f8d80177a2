"""A label for each step of a sequence, or for each word of a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from carrousel.data.sequences import Sequences
from carrousel.estimators.base import SequenceEstimator
from carrousel.estimators.inputs import read_sequences
from carrousel.estimators.isolation import limit_threads, name_parameters
from carrousel.estimators.labels import number_labels, start_classes
from carrousel.estimators.outputs import tag_exactly
from carrousel.estimators.step_labels import has_words, join_labels, read_words
from carrousel.tasks.tag import Tag
from carrousel.tasks.tagging.crf import CRF
from carrousel.tasks.tagging.model import Softmax, Tagger, TaggerOptions
from carrousel.tasks.tagging.sources import HeldOut, Split, hold_out_runs, most_frequent, move
from carrousel.tasks.tagging.steps import Steps
from carrousel.tasks.tagging.words import Words
from carrousel.training.options import Options
from carrousel.training.task import Data, Task

Head = Softmax | CRF
Self = TypeVar("Self", bound="SequenceTagger")


class TagSequences(Tag):
    """The task `tag` without the options of files."""

    options: ClassVar[type[Options]] = TaggerOptions


class SequenceTagger(SequenceEstimator):
    """A recurrent network that labels each step of a sequence, or each word of a sentence.

    Recurrent layers in both directions, then linear, or a conditional random field. X is as for `SequenceClassifier`,
    or words: a list of lists of texts, or, with `lengths`, all words in one list; words are read by embeddings of
    themselves and of their characters. y has a label for each step: a list of arrays [T_i]; an array [N, T]; or, end
    to end, an array [sum T_i].

    Args:
        hidden: units of a layer and direction (H).
        layers: recurrent layers.
        cell: "lstm", "gru", "rnn", "peephole" or "lstm1997".
        crf: learn which label follows which: a conditional random field on top.
        dropout: of the embeddings and of each layer's outputs.
        embedding: numbers that stand for a word.
        char_embedding: numbers that stand for a character.
        char_hidden: units, in each direction, of the layer that reads a word's characters.
        word_dropout: a word that trains n times is read as unknown with probability x / (x + n) for this x.
        smoothing: part of the target that is spread over all labels; not with crf.
        batch: sequences in a step.
        optimizer: "adamw", "adam" or "sgd".
        lr: highest learning rate. Default: 0.003; sgd: 1.
        weight_decay: of adamw.
        schedule: of the learning rate, "cosine", "linear" or "constant".
        clip: largest norm of the gradient; 0: no limit.
        steps, epochs, minutes: end after so many steps, passes over the data, or minutes; give one of them. Default:
            500 steps, or 20 epochs if that is more.
        patience: end after so many validations, of at most 20, without improvement; 0: never. Needs `valid_fraction`.
        valid_fraction: part of the sequences to validate on, runs of neighbours. If it is not 0, the model has the
            weights with the lowest validation loss; else all sequences train, and it has the last weights.
        impute: what replaces missing values, "zero", "mean" or "last"; None: NaN is an error. Not for words.
        layout: "NTF": a sequence is [T, F]; "NFT": it is [F, T], in lists and in arrays of three dimensions.
        device: to train on, "cpu", "cuda", ...; the trained model is on the CPU.
        random_state: of weights, dropout and the order of the sequences; an int gives the same weights each time.

    Attributes:
        classes_: the labels, sorted [C].
        model_: the trained network, a torch.nn.Module in evaluation mode.
        n_channels_: F; of words 1.
        n_features_in_: F; of an array [N, T], T; of words 1.
        n_steps_: steps of training.
        curve_: losses of training and validation, each with its step.

    It is not a classifier to scikit-learn, which knows no labels of steps: cross-validation does not stratify, and
    `cross_val_predict`, which joins arrays, does not take lists of predictions.

    >>> import numpy as np
    >>> from carrousel.estimators import SequenceTagger
    >>> random = np.random.default_rng(0)
    >>> X = [random.normal(0, 1, (random.integers(3, 9), 1)) for _ in range(40)]  # 40 arrays [T_i, 1]
    >>> y = [np.where(one[:, 0] > 0, "up", "down") for one in X]  # 40 arrays [T_i]
    >>> model = SequenceTagger(hidden=16, steps=200, random_state=0).fit(X, y)
    >>> model.predict([np.array([[-1.0], [2.0], [1.0]])])
    [array(['down', 'up', 'up'], dtype='<U4')]
    """

    _task: ClassVar[Task] = TagSequences()

    classes_: NDArray[Any]
    model_: Tagger

    def __init__(
        self,
        hidden: int = 100,
        *,
        layers: int = 1,
        cell: str = "lstm",
        crf: bool = False,
        dropout: float | None = 0.5,
        embedding: int = 100,
        char_embedding: int = 50,
        char_hidden: int = 100,
        word_dropout: float = 1.0,
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
        self.crf = crf
        self.dropout = dropout
        self.embedding = embedding
        self.char_embedding = char_embedding
        self.char_hidden = char_hidden
        self.word_dropout = word_dropout
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
            X, y, lengths: as for `fit`. The first call decides which words are known.
            classes: all labels that any call will bring; needed in the first call.

        Raises:
            ValueError, TypeError: as for `fit`; or a label is not among the classes.
        """
        start_classes(self, classes)
        return self._train_on(X, y, lengths)

    def predict_proba(self, X: Any, lengths: ArrayLike | None = None) -> list[NDArray[np.float64]]:
        """The probability of each class for each step, an array [T_i, C] for each sequence, as in `classes_`."""
        return self._tag(X, lengths, lambda head, scores, offsets: head.probabilities(scores, offsets))

    def predict(self, X: Any, lengths: ArrayLike | None = None) -> list[NDArray[Any]]:
        """The most likely labels, an array [T_i] for each sequence; with `crf` the most likely path."""
        found = self._tag(X, lengths, lambda head, scores, offsets: head.decode(scores, offsets))
        return [self.classes_[numbers] for numbers in found]

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, lengths: ArrayLike | None = None) -> float:
        """The accuracy over the steps of all sequences; sample_weight: of each sequence [N]."""
        predicted = self.predict(X, lengths)
        counts = np.array([len(one) for one in predicted], np.int64)
        weights = None if sample_weight is None else np.repeat(np.asarray(sample_weight), counts)
        return float(accuracy_score(join_labels(y, counts), np.concatenate(predicted), sample_weight=weights))

    # ---- data and outputs ----

    def _read(self, X: Any, y: Any, lengths: ArrayLike | None, is_first: bool, is_new: bool
              ) -> tuple[Words | Steps, NDArray[Any]]:  # fmt: skip
        """X as sequences or sentences, and the number of each step's label [sum T_i]."""
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        found = self._read_steps(X, lengths, is_first)
        return found, number_labels(self, join_labels(y, found.lengths), is_new)

    def _read_steps(self, X: Any, lengths: ArrayLike | None, is_first: bool) -> Words | Steps:
        """X as the task reads it: words, or numbers."""
        are_words = has_words(X)
        if is_first:
            self._has_words = are_words
        elif are_words != self._has_words:
            has, wants = ("words", "numbers") if are_words else ("numbers", "words")
            raise ValueError(f"X has {has}, and {type(self).__name__} was fitted on {wants}")
        if not are_words:
            return Steps(name_sequences(read_sequences(self, X, lengths, is_first)), (), "X")
        if self.impute is not None:
            raise ValueError(f"impute={self.impute!r} does not fit words, of which none is missing: leave it out")
        if is_first:
            self.n_features_in_: int = 1
            self.n_channels_: int = 1
            vars(self).pop("feature_names_in_", None)
        return read_words(X, lengths)

    def _new_data(self, sequences: Words | Steps, targets: NDArray[Any], options: Options, device: torch.device,
                  fraction: float, facts: dict[str, Any] | None) -> Data:  # fmt: skip
        """Sequences and the labels of their steps, encoded and split."""
        is_train = ~hold_out_runs(len(sequences), fraction, options.seed)
        tags = tuple(map(str, self.classes_))
        if facts is None:
            known = sequences.learn(targets, is_train)
            facts = {"tags": tags, "mean_length": float(sequences.lengths.mean()), **known}
        sentences = move(sequences.encode(targets, facts, self._get("impute"))[0], device)
        train, rest = (
            sentences.select(torch.from_numpy(np.flatnonzero(chosen)).to(device)) for chosen in (is_train, ~is_train)
        )
        return Split(train, HeldOut(rest, tags, most_frequent(facts)), facts, "", ()).to_data(
            options.batch, options.seed
        )

    def _tag(self, X: Any, lengths: ArrayLike | None, read: Callable[[Head, Tensor, Tensor], Tensor]
             ) -> list[NDArray[Any]]:  # fmt: skip
        """What the output layer makes of the steps of each sequence."""
        check_is_fitted(self, "model_")
        with torch.inference_mode(False), torch.no_grad(), limit_threads(), name_parameters():
            found = self._read_steps(X, lengths, is_first=False)
            nothing = np.zeros(int(found.lengths.sum()), np.int64)
            sentences, _ = found.encode(nothing, self._facts, self._get("impute"))
            values = tag_exactly(self.model_, sentences, read).numpy()
        return np.split(values, np.cumsum(found.lengths)[:-1])

    def __sklearn_tags__(self) -> Tags:
        """What X and y may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags


def name_sequences(sequences: Sequences) -> Sequences:
    """The same with names, for messages."""
    names = tuple(f"sequence {index}" for index in range(len(sequences)))
    return Sequences(sequences.values, sequences.lengths, None, names, sequences.channels, {})
