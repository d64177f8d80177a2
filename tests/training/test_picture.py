"""Pictures with names from people's data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from carrousel.tasks.confusion import draw_confusions


@pytest.mark.slow
@pytest.mark.parametrize("label", ["a$^$b", "\x00", "\u4f60\u597d", "$5_$"])
def test_any_label_can_be_drawn(label):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_confusions(np.eye(2, dtype=np.int64), (label, "b"), "title").startswith(b"\x89PNG")
