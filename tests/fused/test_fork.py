"""After a fork, a child that computes with one thread: the way out where threads of the parent did not survive."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys, torch, carrousel
torch.set_num_threads(2)

def train():
    layer = carrousel.LSTM(64, 128)
    layer(torch.randn(20, 32, 64))[0].sum().backward()
    return layer.weight_hh_l0.grad.sum().item()

train()
child = os.fork()
if child == 0:
    torch.set_num_threads(1)
    train()
    os._exit(7)
_, status = os.waitpid(child, 0)
train()  # the parent goes on with its threads
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_one_thread_in_the_child():
    assert subprocess.run([sys.executable, "-c", SCRIPT], timeout=100, check=False).returncode == 7
