"""`python -m bench memory`: peaks of forward+backward."""

from __future__ import annotations

import pytest
from measurements import TINY, rows_of

from bench import memory
from carrousel.bench.shapes import find_shape

pytestmark = pytest.mark.slow


def test_memory_is_what_the_larger_shape_needs_more_of():
    shapes = [find_shape(name) for name in (TINY, "I3-H64-B64-T100")]
    small, large = (memory.measure_in_process("ours", shape, "lstm") for shape in shapes)
    saved = 100 * 64 * 64 * 4 * 4 / 2**20  # MB of four gates that the backward pass needs
    assert large > saved > small


def test_memory_compares_all_sides(capsys):
    ours, low, theirs, full_time, low_time = rows_of(capsys, "memory", "--shapes", "I3-H64-B64-T100")
    assert [row["unit"] for row in (ours, low, theirs, full_time, low_time)] == ["MB", "MB", "MB", "ms", "ms"]
    assert theirs["ratio"] == pytest.approx(theirs["value"] / ours["value"])
    assert low["ratio"] == pytest.approx(low["value"] / ours["value"])
    assert ours["value"] > low["value"] > 1
    assert low_time["ratio"] == pytest.approx(low_time["value"] / full_time["value"])
    assert (low["target"], low_time["target"]) == (0.45, 1.4)
