"""Inference keeps nothing: a forward pass without gradients takes the memory of its outputs, whatever the length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not say what a process took"),
]

# Prints the growth of the process's peak during a call on a long sequence, in outputs [T, B, H] of one layer.
PROGRAM = r"""
import re, sys, torch, carrousel

T, B, H = 3000, 32, 128
layer = getattr(carrousel, sys.argv[1])(16, H, **eval(sys.argv[2]))
x = torch.randn(T, B, 16)

def peak():
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])

with getattr(torch, sys.argv[3])():
    layer(x[:3])  # scratch, which is kept
    before = peak()
    layer(x)
print((peak() - before) / (4 * T * B * H))
"""


def outputs(layer: str, options: str = "{}", mode: str = "inference_mode") -> float:
    """How many outputs of one layer's size a call takes."""
    command = [sys.executable, "-c", PROGRAM, layer, options, mode]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("mode", ["inference_mode", "no_grad"])
@pytest.mark.parametrize("layer", ["LSTM", "GRU", "RNN", "LayerNormLSTM", "PeepholeLSTM", "SLSTM", "MinLSTM"])
def test_a_call_takes_its_output(layer, mode):
    assert outputs(layer, mode=mode) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("options", [{"chunk_size": 16}, {"chunk_size": 16, "num_heads": 4}], ids=str)
def test_an_mlstm_takes_a_few_outputs(options):
    """Its chunks, and the whole that they are joined to; with all chunks at once it took twenty."""
    assert outputs("MLSTM", repr(options)) < 2.7


@pytest.mark.parametrize(
    ("options", "at_once"),
    [
        ({"num_layers": 4}, 2),  # the input of a layer and its output
        ({"bidirectional": True}, 2),  # of both directions, side by side
        ({"proj_size": 64}, 0.5),
    ],
)
def test_layers_take_no_more_than_stand_side_by_side(options, at_once):
    assert outputs("LSTM", repr(options)) == pytest.approx(at_once, abs=0.1)
