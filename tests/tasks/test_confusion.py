"""The picture of confusions, of few classes and of many."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from carrousel.tasks.confusion import MOST_NAMED, count_confusions, draw_confusions, join_rare


def test_unknown_classes_are_left_out():
    counts = count_confusions(np.array([0, 2, -1, 3, 1]), np.array([0, 1, 0, 0, 1]), 3)
    assert counts.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_rare_classes_share_a_row_and_a_column():
    counts = np.array([[5, 0, 1, 0], [0, 1, 0, 1], [2, 0, 7, 0], [1, 0, 0, 2]])
    joined, names = join_rare(counts, ["a", "b", "c", "d"], 3)
    assert names == ["a", "c", "2 others"]
    assert joined.tolist() == [[5, 1, 0], [2, 7, 0], [1, 0, 4]]
    same, names = join_rare(counts, ["a", "b", "c", "d"], 4)
    assert same is counts
    assert names == ["a", "b", "c", "d"]


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, MOST_NAMED, 700])
def test_any_number_of_classes_is_drawn_in_a_picture_of_limited_size(classes):
    counts = np.eye(classes, dtype=np.int64) * 1000
    content = draw_confusions(counts, [f"class number {each}, a long name" for each in range(classes)], "title")
    magic, width, height = struct.unpack(">8s8xII", content[:24])
    assert magic == b"\x89PNG\r\n\x1a\n"
    assert 500 < height < width < 2000
