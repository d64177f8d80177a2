"""Search for the sizes of a classifier with Optuna: pip install optuna "carrousel[sklearn]".

    python examples/search_with_optuna.py

The sequences are synthetic: two channels of noise, 10 to 30 steps; in one class the first channel copies the second one
two steps later. Each trial is a cross-validation, whose folds go side by side in processes of their own (n_jobs).
Optuna itself spreads trials over machines that share a database: optuna.create_study(storage="mysql://...").
"""

from __future__ import annotations

import numpy as np
import optuna
from sklearn.model_selection import cross_val_score

from carrousel.estimators import SequenceClassifier

TRIALS = 6


def make_sequence(random: np.random.Generator, is_copy: bool) -> np.ndarray:
    """A sequence [T, 2]."""
    x = random.normal(size=(random.integers(10, 30), 2))
    if is_copy:
        x[2:, 0] = x[:-2, 1]
    return x


def objective(trial: optuna.Trial) -> float:
    """The accuracy of a classifier whose sizes Optuna chooses."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    sequences = [make_sequence(random, bool(label)) for label in labels]
    model = SequenceClassifier(
        hidden=trial.suggest_int("hidden", 4, 64, log=True),
        pool=trial.suggest_categorical("pool", ["max", "mean", "last"]),
        noise=trial.suggest_float("noise", 0.0, 0.5),
        steps=150,
        random_state=0,
    )
    return float(cross_val_score(model, sequences, labels, cv=2, n_jobs=2).mean())


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=TRIALS)
    print(f"best of {TRIALS} trials: {study.best_value:.2f} with {study.best_params}")
