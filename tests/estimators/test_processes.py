"""Fits in several processes: the same results, no more threads than they are given, no deadlock after a fork."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ragged import SMALL, ragged
from sklearn.model_selection import GridSearchCV

from carrousel.estimators import SequenceClassifier

pytestmark = pytest.mark.slow

SHARED = Path(__file__).parents[1] / "shared"


def run(program: str, **variables: str) -> str:
    """What a program prints that runs alone; threads are not limited by the variables of these tests."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    paths = os.pathsep.join([str(SHARED), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": paths, **variables},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_grid_search_of_a_list_in_two_processes_is_that_of_one():
    X, y = ragged()
    grid = {"hidden": [4, 8], "cell": ["lstm", "gru"]}
    one, two = (
        GridSearchCV(SequenceClassifier(**SMALL), grid, cv=2, n_jobs=jobs, error_score="raise").fit(X, y)
        for jobs in (1, 2)
    )
    assert np.array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))


THREADS = """
import json, torch, joblib
from ragged import ragged
from sklearn.model_selection import GridSearchCV
from carrousel.estimators import SequenceClassifier
X, y = ragged()

def count_threads(estimator, X, y):
    estimator.predict(X)
    return torch.get_num_threads()

found = {}
for threads in (1, 2):
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=threads):
        search = GridSearchCV(SequenceClassifier(hidden=4, steps=3), {"layers": [1, 2]}, cv=2, scoring=count_threads)
        search.fit(X, y)
    found[threads] = search.cv_results_["mean_test_score"].tolist()
print(json.dumps(found))
"""


def test_processes_have_the_threads_that_joblib_gives_them():
    assert json.loads(run(THREADS)) == {"1": [1.0, 1.0], "2": [2.0, 2.0]}


FORK = """
import threading, joblib, torch
from ragged import ragged
from carrousel.estimators import SequenceClassifier
torch.set_num_threads(2)
X, y = ragged(300)
SequenceClassifier(steps=3).fit(X, y)  # with threads, which a process that is forked does not have
busy = threading.Thread(target=SequenceClassifier(hidden=2, steps=1000).fit, args=(X, y))
busy.start()  # a fit runs, and holds the lock, while the processes are forked

def fit(seed):
    one = SequenceClassifier(steps=3).fit(X, y)
    return len(one.predict(X)), torch.get_num_threads()

with joblib.parallel_config("multiprocessing", n_jobs=2):
    print(joblib.Parallel()(joblib.delayed(fit)(seed) for seed in range(2)))
busy.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_processes_that_are_forked_while_a_fit_runs():
    assert run(FORK) == "[(300, 2), (300, 2)]\n"


def test_without_scikit_learn_one_line_names_the_command():
    program = """
import sys
sys.modules["sklearn"] = None
import carrousel
try:
    import carrousel.estimators
except ImportError as error:
    print(error)
"""
    printed = run(program)
    assert printed.startswith("carrousel.estimators needs scikit-learn (")
    assert printed.endswith("pip install 'carrousel[sklearn]'\n")
    assert printed.count("\n") == 1


def test_the_command_does_not_import_scikit_learn():
    assert (
        run("import sys, carrousel, carrousel.cli.train, carrousel.tasks; print('sklearn' in sys.modules)") == "False\n"
    )
