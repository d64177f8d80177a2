"""A grid search on a cluster, by joblib's backend for Dask: pip install "dask[distributed]" "carrousel[sklearn]".

    python examples/search_on_a_cluster.py                      # two worker processes on this machine
    python examples/search_on_a_cluster.py tcp://10.0.0.1:8786  # the scheduler of a cluster; its workers need carrousel

scikit-learn runs its folds by joblib, and joblib sends them where its backend says: "dask" here, "ray" with Ray's.
The sequences are synthetic, sums that rise or fall.
"""

from __future__ import annotations

import sys

import joblib
import numpy as np
from dask.distributed import Client
from sklearn.model_selection import GridSearchCV

from carrousel.estimators import SequenceClassifier


def search() -> GridSearchCV:
    """Choose units and cell by three folds each."""
    random = np.random.default_rng(0)
    labels = ["rises", "falls"] * 40
    drifts = [0.2 if label == "rises" else -0.2 for label in labels]
    sequences = [random.normal(drift, 1, (random.integers(5, 25), 1)).cumsum(0) for drift in drifts]
    grid = {"hidden": [8, 32], "cell": ["lstm", "gru"]}
    return GridSearchCV(SequenceClassifier(steps=100, random_state=0), grid, cv=3).fit(sequences, labels)


if __name__ == "__main__":
    address = {"address": sys.argv[1]} if len(sys.argv) > 1 else {"n_workers": 2, "threads_per_worker": 1}
    with Client(dashboard_address=None, **address), joblib.parallel_config(backend="dask"):
        found = search()
    print(f"best of {len(found.cv_results_['params'])}: {found.best_score_:.2f} with {found.best_params_}")
