"""The examples in the docstrings of carrousel.online run and print what they say."""

from __future__ import annotations

import doctest

import pytest

from carrousel.online import learner
from carrousel.online.lstm1997 import network


@pytest.mark.parametrize("module", [learner, network], ids=lambda module: module.__name__)
def test_examples_run(module):
    failed, tried = doctest.testmod(module)
    assert tried > 0
    assert failed == 0
