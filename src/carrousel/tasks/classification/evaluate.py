"""How well a model classifies: the mean loss, accuracy, macro F1, and the baselines' accuracy.

Accuracy and macro F1 are a few lines of NumPy here; scikit-learn, which has both, would be a dependency of 40 MB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from carrousel.tasks.classification.baselines import find_nearest, most_frequent
from carrousel.tasks.classification.held_out import HeldOut
from carrousel.tasks.pooled import compute_outputs
from carrousel.training.task import Score


def evaluate(model: nn.Module, held_out: HeldOut, sample: int | None = None) -> Score:
    """Measure a classifier.

    Args:
        model: its mode is left as it was.
        held_out: at least one sequence with a class that the model knows.
        sample: measure only so many sequences, spread over all, and no baselines. Default: all, with baselines.

    Returns:
        The loss is the mean over the sequences whose class the model knows; the others count as errors.
    """
    examples = held_out.examples.spread(sample)
    logits = compute_outputs(model, examples)
    is_known = examples.targets >= 0
    loss = cross_entropy(logits[is_known].double(), examples.targets[is_known]).item()
    targets, predicted = examples.targets.cpu().numpy(), logits.argmax(1).cpu().numpy()
    more = {"accuracy": float(np.mean(predicted == targets)), "macro_f1": macro_f1(targets, predicted)}
    if sample is None and held_out.train is not None:
        nearest = find_nearest(held_out.train, examples).cpu().numpy()
        more["most_frequent_accuracy"] = float(np.mean(targets == most_frequent(held_out.train)))
        more["nearest_neighbour_accuracy"] = float(np.mean(nearest == targets))
    return Score(loss, len(examples), more, held_out.notes)


def macro_f1(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """The mean of F1 = 2 right / (targets + predicted) of each class that is in the targets or was predicted."""
    classes = np.union1d(targets, predicted)
    right = [np.sum((targets == each) & (predicted == each)) for each in classes]
    total = [np.sum(targets == each) + np.sum(predicted == each) for each in classes]
    return float(np.mean(2 * np.array(right) / np.array(total)))
