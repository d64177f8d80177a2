"""minGRU and minLSTM: the parallel scan of their paper, and layers that have no recurrent weights."""

from __future__ import annotations

import pytest
import torch
from sequences import make_sequence, weight_name
from torch.nn.functional import linear, softplus
from twins import Size

import carrousel
from carrousel.cells import ALL
from carrousel.fused import fused
from carrousel.scan import scan

SIZE = Size(T=40, B=3, I=5, H=9)
LAYERS = {"mingru": carrousel.MinGRU, "minlstm": carrousel.MinLSTM}


def log_g(x):
    """Feng 2024, appendix B.1: the logarithm of g."""
    return torch.where(x >= 0, (torch.relu(x) + 0.5).log(), -softplus(-x))


def parallel_scan_log(log_coefficients, log_values):
    """Feng 2024, appendix B.1: [T, .], [1 + T, .] -> h [T, .], without a step that waits for another."""
    a_star = torch.cat([torch.zeros_like(log_values[:1]), log_coefficients.cumsum(0)])
    return (a_star + (log_values - a_star).logcumsumexp(0)).exp()[1:]


def by_parallel_scan(sequence):
    """All steps at once, as the paper's appendix trains."""
    tensors = sequence.tensors
    rows = linear(tensors["x"], tensors[weight_name("W")], tensors[weight_name("b_x")]).chunk(
        len(sequence.cell.from_x), -1
    )
    log_h = tensors["h"].log()[None]
    if sequence.cell.name == "mingru":
        k, candidate = rows
        log_z, log_keep = -softplus(-k), -softplus(k)
    else:
        k_f, k_i, candidate = rows
        difference = softplus(-k_f) - softplus(-k_i)
        log_keep, log_z = -softplus(difference), -softplus(-difference)
    return parallel_scan_log(log_keep, torch.cat([log_h, log_z + log_g(candidate)]))


@pytest.mark.parametrize("function", [scan, fused])
@pytest.mark.parametrize("cell", LAYERS)
def test_equals_the_papers_parallel_scan(cell, function):
    sequence = make_sequence(cell, SIZE)
    sequence.tensors["h"] = torch.rand(SIZE.B, SIZE.H, dtype=torch.float64) + 0.1  # a logarithm needs a positive start
    y, _ = sequence.call(function)
    torch.testing.assert_close(y, by_parallel_scan(sequence), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", LAYERS)
def test_gradients_are_those_of_the_parallel_scan(cell):
    sequence = make_sequence(cell, SIZE)
    sequence.tensors["h"] = torch.rand(SIZE.B, SIZE.H, dtype=torch.float64) + 0.1
    leaves = [sequence.requires_grad_().tensors[name] for name in ("x", "h", weight_name("W"), weight_name("b_x"))]
    weights = torch.randn(SIZE.T, SIZE.B, SIZE.H, dtype=torch.float64)
    ours = torch.autograd.grad((sequence.call(fused)[0] * weights).sum(), leaves)
    theirs = torch.autograd.grad((by_parallel_scan(sequence) * weights).sum(), leaves)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_minlstm_with_both_gates_shut_is_neither_lost_nor_nan(dtype):
    """f / (f + i) of two numbers that are both zero to the last bit."""
    sequence = make_sequence("minlstm", SIZE).to(dtype)
    sequence.tensors[weight_name("b_x")][: 2 * SIZE.H] = -2000.0
    for y in (sequence.call(fused)[0], sequence.call(scan)[0]):
        assert y.isfinite().all()
    torch.testing.assert_close(sequence.call(fused)[0], sequence.call(scan)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("cell", "blocks"), [("mingru", 2), ("minlstm", 3)])
def test_parameters(cell, blocks):
    """No recurrent weights: not even some of no rows."""
    layer = LAYERS[cell](3, 4, num_layers=2, bidirectional=True)
    shapes = [(name, tuple(p.shape)) for name, p in layer.named_parameters()]
    assert shapes[:2] == [("weight_ih_l0", (blocks * 4, 3)), ("bias_ih_l0", (blocks * 4,))]
    assert [name for name, _ in shapes[2:4]] == ["weight_ih_l0_reverse", "bias_ih_l0_reverse"]
    assert shapes[4] == ("weight_ih_l1", (blocks * 4, 8))
    assert len(shapes) == 8
    assert [p.shape[0] for p in LAYERS[cell](3, 4, bias=False).parameters()] == [blocks * 4]
    assert [len(weights) for weights in layer.all_weights] == [2] * 4


@pytest.mark.parametrize("cell", LAYERS)
def test_streams_are_the_whole_sequence(cell):
    layer = LAYERS[cell](3, 7, num_layers=2).requires_grad_(False)
    x, state = torch.randn(6, 2, 3), layer.start(2)
    y, h = layer(x)
    torch.testing.assert_close(torch.stack([layer.step(one, state) for one in x]), y)
    torch.testing.assert_close(state.hx(), h)


@pytest.mark.parametrize("cell", LAYERS)
def test_there_is_no_projection(cell):
    for make in (LAYERS[cell], lambda *sizes, **options: carrousel.Recurrent(ALL[cell], *sizes, **options)):
        with pytest.raises(ValueError, match=rf"proj_size=2 does not go with the cell {cell}"):
            make(3, 4, proj_size=2)
