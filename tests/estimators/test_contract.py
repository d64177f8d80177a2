"""scikit-learn's own checks of an estimator, all of them, with the defaults."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from carrousel.estimators import SequenceClassifier, SequenceRegressor

pytestmark = pytest.mark.slow


@parametrize_with_checks([SequenceClassifier(), SequenceRegressor()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


ARRAY_API = """
from sklearn.utils.estimator_checks import check_array_api_input
from carrousel.estimators import SequenceClassifier, SequenceRegressor
for kind in (SequenceClassifier, SequenceRegressor):
    check_array_api_input(kind.__name__, kind(steps=50), array_namespace="numpy", expect_only_array_outputs=False)
"""


def test_the_check_that_needs_an_environment_variable():
    """The one that is skipped above: SciPy reads it when it is imported."""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    subprocess.run([sys.executable, "-c", ARRAY_API], env=environment, check=True)
