"""`carrousel bench memory`: peaks of forward+backward, and what is said of them."""

from __future__ import annotations

import pytest
from measurements import TINY, printed, rows_of

from bench import memory
from carrousel.bench.shapes import named


def test_memory_is_what_the_larger_shape_needs_more_of():
    small, large = (memory.in_a_process("ours", named(name), "lstm") for name in (TINY, "I3-H64-B64-T100"))
    kept = 100 * 64 * 64 * 4 * 4 / 2**20  # MB of four gates that the backward pass needs
    assert large > kept > small


def test_memory_compares_both_sides(capsys):
    (row,) = rows_of(capsys, "memory", "--shapes", "I3-H32-B64-T100")
    assert row["ratio"] == pytest.approx(row["torch_mb"] / row["ours_mb"])
    assert row["low_memory"] == pytest.approx(row["low_mb"] / row["ours_mb"])
    assert row["ours_mb"] > row["low_mb"] > 1
    assert row["low_time"] > 0


def test_memory_low_is_judged():
    row = memory.Row("lstm", "audio", 10, 20, ratio=2, low_mb=5, low_memory=0.5, low_time=1.3)
    text = printed(memory.table([row]))
    assert "at most 0.45, MISSED" in text
    assert "at most 1.4, reached" in text
