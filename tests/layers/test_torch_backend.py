"""Who computes a layer: our kernels or torch's own functions; and the block of memory that cuDNN wants."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

import carrousel
from carrousel.cells import Cell, tanh
from carrousel.layers import parameters, stack, torch_backend

X = torch.randn(5, 2, 3)
STANDARD = {
    "lstm": lambda **options: carrousel.LSTM(3, 4, **options),
    "gru": lambda **options: carrousel.GRU(3, 4, **options),
    "rnn_tanh": lambda **options: carrousel.RNN(3, 4, **options),
    "rnn_relu": lambda **options: carrousel.RNN(3, 4, nonlinearity="relu", **options),
}
OURS_ALONE = {
    "peephole": carrousel.PeepholeLSTM,
    "coupled": carrousel.CoupledLSTM,
    "lstm1997": carrousel.LSTM1997,
    "mingru": carrousel.MinGRU,
    "minlstm": carrousel.MinLSTM,
    "slstm": carrousel.SLSTM,
}


def step_without_gates(rows, states):
    return tanh(rows[0]), states[1]


# What a person writes in their own program.
NAMED_LIKE_TORCHS = Cell("lstm", rows="ifgo", from_x="ifgo", from_h="ifgo", states="hc", step=step_without_gates)


# ---- who computes


@pytest.fixture
def computed_by(monkeypatch):
    """The names of the functions that layers go to, one for each call: torch's, or "fused" for our own."""
    calls = []

    def recorded(name, function):
        return lambda *arguments, **options: (calls.append(name), function(*arguments, **options))[1]

    for name, function in torch_backend.FUNCTIONS.items():
        monkeypatch.setitem(torch_backend.FUNCTIONS, name, recorded(name, function))
    monkeypatch.setattr(stack, "fused", recorded("fused", stack.fused))
    return calls


@pytest.mark.parametrize("name", STANDARD)
def test_torch_computes_its_own_cells_where_we_have_no_kernel(name, computed_by):
    make = STANDARD[name]
    make(device="meta")(X.to("meta"))
    for dtype in (torch.bfloat16, torch.float16):
        make(dtype=dtype)(X.to(dtype))
    with torch.autocast("cpu", torch.bfloat16):
        make(dtype=torch.bfloat16)(X)
    assert computed_by == [name] * 4


@pytest.mark.parametrize("name", [*STANDARD, *OURS_ALONE])
def test_we_compute_float32_weights_under_autocast(name, computed_by, monkeypatch):
    monkeypatch.setattr(torch_backend, "has_kernel", lambda cell, x: True)
    layer = STANDARD[name]() if name in STANDARD else OURS_ALONE[name](3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        layer(X)
        layer(X.bfloat16())
    assert computed_by == ["fused"] * 2


@pytest.mark.parametrize("name", OURS_ALONE)
def test_cells_that_torch_has_not_stay_with_us(name, computed_by):
    make = OURS_ALONE[name]
    make(3, 4, device="meta")(X.to("meta"))
    make(3, 4, dtype=torch.bfloat16)(X.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        make(3, 4)(X)
    assert computed_by == ["fused"] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", STANDARD)
def test_we_compute_what_we_have_kernels_for(name, dtype, computed_by, monkeypatch):
    monkeypatch.setattr(torch_backend, "has_kernel", lambda cell, x: True)
    STANDARD[name](num_layers=2, bidirectional=True, dtype=dtype)(X.to(dtype))
    assert computed_by == ["fused"] * 4


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", STANDARD)
def test_without_kernels_torch_computes_the_same(name, packed, computed_by, monkeypatch):
    layer = STANDARD[name](num_layers=2, bidirectional=True, dtype=torch.float64)
    x = pack_padded_sequence(X.double(), [5, 3]) if packed else X.double()
    monkeypatch.setattr(torch_backend, "has_kernel", lambda cell, x: True)
    expected = layer(x)
    monkeypatch.setattr(torch_backend, "has_kernel", lambda cell, x: False)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    assert computed_by == ["fused"] * 4 + [name]


def test_a_cell_with_the_name_of_torchs_is_not_taken_for_it(computed_by):
    layer = carrousel.Recurrent(NAMED_LIKE_TORCHS, 3, 4, dtype=torch.bfloat16)
    y, (_, c) = layer(X.bfloat16())
    assert computed_by == ["fused"]
    assert not c.any(), "torch's LSTM would have written into c"
    assert y.any()


# ---- the block of memory that cuDNN wants, with stand-ins for the GPU


class OnGpu(torch.Tensor):
    is_cuda = True


@pytest.fixture
def flattened(monkeypatch):
    """The arguments of each call of torch's function that moves the weights into one block."""
    calls = []
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda tensor: True)
    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True, raising=False)
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda *arguments: calls.append(arguments), raising=False)
    monkeypatch.setattr(torch_backend, "get_cudnn_mode", lambda mode: mode)
    return calls


def on_gpu(layer):
    return [weight.detach().as_subclass(OnGpu) for weight in layer.parameters()]


def test_weights_are_flattened_for_cudnn(flattened):
    weights = on_gpu(carrousel.LSTM(3, 4, num_layers=2, batch_first=True, bidirectional=True, proj_size=2))
    torch_backend.flatten_for_cudnn(weights, 5, "LSTM", 3, 4, 2, 2, True, True)
    assert flattened == [(weights, 5, 3, "LSTM", 4, 2, 2, True, True)]


def test_weights_that_cudnn_cannot_take_are_left(flattened):
    layer = carrousel.GRU(3, 4)
    weights = on_gpu(layer)
    refused = [
        [w.detach() for w in layer.parameters()],  # on the CPU
        [*weights[:-1], weights[-2]],  # two share memory
        [*weights[:-1], weights[-1].double()],
        [*weights[:-1], None],
    ]
    for of_layer in refused:
        torch_backend.flatten_for_cudnn(of_layer, 4, "GRU", 3, 4, 0, 1, False, False)
    assert flattened == []


@pytest.mark.parametrize("make", [carrousel.LSTM, carrousel.PeepholeLSTM])
def test_weights_are_flattened_again_after_a_move(make, monkeypatch):
    moved = []
    monkeypatch.setattr(parameters, "flatten_for_cudnn", lambda *arguments: moved.append(arguments))
    make(3, 4).double()
    assert [(len(weights), *others) for weights, *others in moved] == (
        [(4, 4, "LSTM", 3, 4, 0, 1, False, False)] * 2 if make is carrousel.LSTM else []
    ), "once made, once moved; for torch's own cells only"
