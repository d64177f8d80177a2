"""scikit-learn estimators over the tasks: recurrent networks that take sequences of any length.

base.py        what every estimator has: parameters, fit, partial_fit
pooled.py      estimators with one target for a whole sequence:
classifier.py  SequenceClassifier: the class of a sequence
regressor.py   SequenceRegressor: one number, or several, for a sequence
tagger.py      SequenceTagger: a label for each step, or for each word
inputs.py      the forms of X, as sequences end to end
forecaster.py  Forecaster: the next steps of series
frames.py      frames of pandas as tables
histories.py   the ends of series, and what continues them
step_labels.py the words and the labels of steps, of a tagger
labels.py      labels as numbers of classes
outputs.py     the outputs of a network, the same whatever is computed beside them
mixins.py      scikit-learn's base classes, with types
isolation.py   training that leaves torch's global state as it was; errors that name parameters
"""

from importlib import import_module

try:
    import_module("sklearn")  # which no other part of carrousel needs
except ImportError as _error:
    raise ImportError(
        f"carrousel.estimators needs scikit-learn ({_error}): pip install 'carrousel[sklearn]'", name="sklearn"
    ) from None

# isort: split
from carrousel.estimators.classifier import SequenceClassifier
from carrousel.estimators.forecaster import Forecaster
from carrousel.estimators.regressor import SequenceRegressor
from carrousel.estimators.tagger import SequenceTagger

__all__ = ["Forecaster", "SequenceClassifier", "SequenceRegressor", "SequenceTagger"]
