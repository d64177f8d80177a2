"""Streams on several threads, and the memory of an endless one."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import pytest
import torch
from streams import assert_same, data, layer_of, steps, without_gradients

from carrousel.fused.kernels import KERNELS

pytestmark = pytest.mark.slow

no_gradients = pytest.fixture(autouse=True)(without_gradients)


def test_threads_with_a_state_each():
    """Also while another thread trains: each step is made with the weights of before or after, and nothing breaks."""
    layer = layer_of("lstm", 8, 64)
    xs = [data(layer, 60, B) for B in (1, 2, 40, 1)]  # some hold the GIL, some do not
    expected = [layer(x)[0] for x in xs]
    got = [None] * len(xs)

    def run(k):
        with torch.no_grad():
            for _ in range(3):
                state = layer.start(xs[k].shape[1])
                got[k] = torch.cat([steps(layer, xs[k][:30], state), layer.block(xs[k][30:], state)])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(xs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y, right in zip(got, expected):
        assert_same(y, right)


@pytest.mark.skipif(not KERNELS, reason="without kernels a state is read and written by torch's operations")
def test_one_state_on_two_threads_is_refused_where_they_meet():
    layer = layer_of("lstm", 8, 256)
    state, x, met = layer.start(16), data(layer, 300, 16), []

    def run():
        try:
            with torch.no_grad():
                for _ in range(20):
                    layer.block(x, state)
        except RuntimeError as error:
            met.append(str(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(met) <= 1
    assert all(re.search("in use by another thread", words) for words in met)
    layer.block(x[:1], state)


ENDLESS = """
import sys, torch, carrousel

def resident_kilobytes():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4

layer = carrousel.LSTM(1, 8).requires_grad_(False)
x, state, out = torch.randn(1, 1), layer.start(), torch.empty(1, 8)
for count in (1000, int(sys.argv[1])):
    before = resident_kilobytes()
    for _ in range(count):
        layer.step(x, state, out=out)
        layer.step(x, state)
print(resident_kilobytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory")
def test_an_endless_stream_needs_no_more_memory(pytestconfig):
    """In a process of its own: what other tests have left is still moving."""
    count = "1000000" if pytestconfig.getoption("--all") else "50000"
    told = subprocess.run([sys.executable, "-c", ENDLESS, count], check=True, capture_output=True, text=True)
    assert int(told.stdout) < 200  # sixteen bytes a step would be 1600


@pytest.mark.skipif(not KERNELS, reason="torch's operations allocate what they return")
def test_a_step_into_out_makes_no_object_that_stays():
    layer = layer_of("lstm", 1, 8)
    x, state, out = torch.randn(1, 1), layer.start(), torch.empty(1, 8)
    for _ in range(1000):
        layer.step(x, state, out=out)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        layer.step(x, state, out=out)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 500
