"""What is measured, and how it is timed: no test looks at a time but at the clock's own."""

from __future__ import annotations

import pytest
import torch

from carrousel.bench import clock
from carrousel.bench.shapes import GRID, find_shape
from carrousel.errors import UserError


def test_a_shape_of_the_grid_is_what_its_name_spells():
    for shape in GRID:
        assert shape.name == f"I{shape.I}-H{shape.H}-B{shape.B}-T{shape.T}"
    shape = find_shape("I3-H4-B5-T6-L2-bidirectional")
    assert (shape.I, shape.H, shape.B, shape.T, shape.layers, shape.bidirectional) == (3, 4, 5, 6, 2, True)


def test_two_spellings_of_zero_are_refused():
    with pytest.raises(UserError, match="I3-H00-B1-T1"):
        find_shape("I3-H00-B1-T1")


def test_rivals_take_turns(monkeypatch):
    now, calls = [0.0], []

    def rival(name, seconds):
        def call():
            calls.append(name)
            now[0] += seconds

        return call

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    slow, quick = clock.medians([rival("slow", 2.0), rival("quick", 1 / 256)], seconds=0, repeat=3)
    assert (slow, quick) == (2000, 1000 / 256)
    # warmed first (the quick one twice: its first call tells little), then in turns of at least 5 ms
    assert "".join(name[0] for name in calls) == "s" + "qq" + "sqq" * 3


def test_the_clock_takes_the_seconds_it_is_given(monkeypatch):
    now = [0.0]

    def rival():
        now[0] += 0.01

    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    clock.medians([rival], seconds=1.0, repeat=1)
    assert now[0] == pytest.approx(1.0, abs=0.05)


def test_torch_has_as_many_threads_afterwards_as_before():
    torch.set_num_threads(2)
    assert [torch.get_num_threads() for _ in clock.set_threads([1, 3])] == [1, 3]
    assert torch.get_num_threads() == 2
    measuring = clock.set_threads([1, 3])
    next(measuring)
    measuring.close()  # as where a measurement fails
    assert torch.get_num_threads() == 2
