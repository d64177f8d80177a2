"""What is saved for backward, where it is large, lies in memory that stays for the next call."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch

import carrousel
from carrousel.fused.call import LARGE
from carrousel.fused.kernels import KERNELS, allocate_large

pytestmark = pytest.mark.skipif(not KERNELS, reason="nothing is saved without kernels")
COUNT = 2 * LARGE // 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_freed_tensor_leaves_its_memory_to_the_next(dtype):
    first, second = allocate_large(COUNT, dtype), allocate_large(COUNT, dtype)
    assert first.dtype == dtype
    assert first.shape == (COUNT,)
    first.fill_(1)
    second.fill_(2)
    assert first.sum() == COUNT
    place = first.data_ptr()
    view = first[:10]
    del first
    third = allocate_large(COUNT, dtype)
    assert place not in (second.data_ptr(), third.data_ptr()), "a view holds it"
    del view
    assert allocate_large(COUNT, dtype).data_ptr() == place


def test_gradients_are_those_of_small_steps():
    """A layer whose saved numbers are large, called twice at once: the sum over rows of the batch, row by row."""
    layer = carrousel.LSTM(8, 64)
    x = torch.randn(100, 128, 8)
    assert LARGE < 100 * 128 * 64 * 5 * 4
    y, z = layer(x)[0], layer(2 * x)[0]
    (y.square().sum() + z.square().sum()).backward()
    alone = copy.deepcopy(layer)
    alone.zero_grad()
    for row in range(0, 128, 8):
        for factor in (1, 2):
            alone(factor * x[:, row : row + 8])[0].square().sum().backward()
    for p, q in zip(layer.parameters(), alone.parameters()):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-2)


PROGRAM = """
import re, torch, carrousel
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
layer, x = carrousel.LSTM(8, 64), torch.randn(100, 128, 8)
sizes = []
for step in range(30):
    layer(x)[0].sum().backward()
    sizes.append(resident())
print(max(sizes[5:]) - sizes[4])
"""


@pytest.mark.slow
def test_memory_does_not_grow_from_step_to_step():
    grown = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 20_000


def test_a_process_ends_while_a_graph_is_alive():
    program = "import torch, carrousel; y = carrousel.LSTM(8, 64)(torch.randn(100, 128, 8))[0]; print(y.requires_grad)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
