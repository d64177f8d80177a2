"""torch.jit.trace: a traced layer is right at other sizes, or tracing is refused by an error that says what to use."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from composed_layers import DOUBLE, H, I, kinds, make
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._pytree import tree_leaves
from twins import assert_equal_to_1e10

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")

# T and B at which a layer is traced, and those at which it is run.
SIZES = {
    "more_rows": ((3, 1), (3, 3)),
    "fewer_rows": ((3, 3), (3, 1)),
    "more_steps": ((1, 2), (4, 2)),
    "both": ((3, 2), (2, 4)),
}


class Around(nn.Module):
    """A layer inside a model."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.before = layer, nn.Linear(I, I, dtype=DOUBLE)

    def forward(self, x, *hx):
        y, hx = self.layer(self.before(x), *hx)
        return y.tanh(), hx


class Packs(Around):
    def forward(self, x, lengths):
        y, hx = self.layer(pack_padded_sequence(self.before(x), lengths, enforce_sorted=False))
        return pad_packed_sequence(y)[0], hx


class Ragged(Around):
    def forward(self, x, lengths):
        return self.layer(self.before(x), lengths=lengths)


class Resets(Around):
    def forward(self, x, lengths):
        """Resets where a row's length says so."""
        return self.layer(x, resets=torch.arange(x.shape[0])[:, None] == lengths)


def traced(module, arguments):
    """The traced module, or None if tracing is refused by an error of ours that names what to use."""
    try:
        return torch.jit.trace(module, arguments, check_trace=False)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        if "torch.jit.trace" in str(error) and "torch.export" in str(error):
            return None
        raise


def compare(module, first, second):
    """The module traced on the first arguments gives on the second what it gives itself, gradients too."""
    run = traced(module, first)
    if run is not None:
        assert_equal_to_1e10(*(outcome(function, second) for function in (run, module)))


def outcome(function, arguments):
    x, *rest = arguments
    x = x.detach().requires_grad_()
    outputs = tree_leaves(function(x, *rest))
    (slope,) = torch.autograd.grad(sum(output.sin().sum() for output in outputs), x)
    return {str(k): output.detach() for k, output in enumerate(outputs)} | {"slope": slope}


def data(layer, size):
    T, B = size
    return torch.randn(*((B, T) if layer.batch_first else (T, B)), I, dtype=DOUBLE)


@pytest.mark.parametrize("size", ["more_rows", "more_steps"])
@kinds()
def test_other_sizes(kind, size):
    layer = make(kind)
    compare(layer, *((data(layer, at),) for at in SIZES[size]))


@pytest.mark.parametrize("size", SIZES)
@kinds("LSTM", "GRU", "SLSTM_heads", "MLSTM", "own_compiled")
def test_with_states(kind, size):
    layer = make(kind)
    first, second = (data(layer, at) for at in SIZES[size])
    with torch.no_grad():
        hx = [layer(x)[1] for x in (first, second)]
    compare(Around(layer), (first, hx[0]), (second, hx[1]))


OPTIONS = [{"bidirectional": True}, {"num_layers": 2}, {"batch_first": True}, {"bias": False}]


@pytest.mark.grid(kind=["LSTM", "GRU", "PeepholeLSTM"], options=OPTIONS, sizes=SIZES)
def test_options(kind, options, sizes):
    layer = make(kind, **options)
    compare(Around(layer), *((data(layer, size),) for size in sizes))


@pytest.mark.parametrize("module", [Packs, Ragged, Resets])
@kinds("LSTM", "GRU", "PeepholeLSTM", "MLSTM")
def test_ragged_batches(kind, module):
    """Other lengths in another batch."""
    layer = make(kind)
    first, second = (
        (data(layer, (max(lengths), len(lengths))), torch.tensor(lengths)) for lengths in ([3, 1], [2, 5, 4])
    )
    compare(module(layer), first, second)


@kinds("LSTM", "GRU", "RNN_relu", "PeepholeLSTM", "own")
def test_nothing_to_differentiate(kind):
    """As people deploy: in evaluation, without gradients, traced with one row."""
    module = Around(make(kind)).eval()
    with torch.no_grad():
        run = traced(module, (data(module.layer, (4, 1)),))
        if run is not None:
            x = data(module.layer, (4, 3))
            assert_equal_to_1e10({"y": run(x)[0]}, {"y": module(x)[0]})


@pytest.mark.parametrize("module", [Packs, Around])
def test_torchs_layer_passes(module):
    """What is asked of ours is possible: torch.nn's LSTM by the same comparison."""
    layer = nn.LSTM(I, H, dtype=DOUBLE)
    first, second = (data(layer, (4, 1)), torch.tensor([4])), (data(layer, (5, 3)), torch.tensor([2, 5, 4]))
    compare(module(layer), *((first, second) if module is Packs else (first[:1], second[:1])))


LOAD = """
import sys, torch, carrousel
arguments, expected = torch.load(sys.argv[2])
torch.testing.assert_close(torch.jit.load(sys.argv[1])(arguments)[0], expected, rtol=0, atol=1e-10)
"""


@pytest.mark.slow
@kinds("LSTM", "PeepholeLSTM")
def test_saved_and_loaded_in_another_process(kind, tmp_path):
    layer = make(kind).eval()
    module = Around(layer)
    run = traced(module, (data(layer, (4, 1)),))
    if run is None:
        return
    run.save(tmp_path / "traced.pt")
    x = data(layer, (6, 3))
    torch.save((x, module(x)[0].detach()), tmp_path / "expected.pt")
    subprocess.run([sys.executable, "-c", LOAD, tmp_path / "traced.pt", tmp_path / "expected.pt"], check=True)


@kinds("LSTM", "LSTM_projected", "GRU", "RNN_relu", "PeepholeLSTM", "MLSTM", "own")
def test_scripted(kind):
    """torch.jit.script: the numbers of the layer, or refused with what to use."""
    layer = nn.Sequential(make(kind)).eval()  # torch's own is called from a module too: its forward has two signatures
    try:
        run = torch.jit.script(layer)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        if not ("torch.jit.script" in str(error) and "torch.export" in str(error)):
            raise
        return
    for size in ((4, 1), (6, 3)):
        x = data(layer[0], size)
        assert_equal_to_1e10(outcome(run, (x,)), outcome(layer, (x,)))
