"""Rows of a batch: the same bits in any batch of two or more; alone, by another order of its sums, as near to exact."""

from __future__ import annotations

import copy

import pytest
import torch
from twins import assert_within, largest

import carrousel
from carrousel.fused import has_kernel

LAYERS = {name: getattr(carrousel, name) for name in carrousel.layers.__all__ if name not in ("State", "Recurrent")}
every_layer = pytest.mark.parametrize("name", LAYERS)
H17_vector_and_tail, T, B, I = 17, 20, 4, 8
ROW = 2


def outputs_and_gradients(layer, x, row):
    """Of one row of the batch x: its outputs, and the gradients for its inputs."""
    x = x.clone().requires_grad_()
    y = layer(x)[0][:, row]
    return y.detach(), torch.autograd.grad(y.square().sum(), x)[0][:, row]


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_batch_of_two_or_more_gives_a_row_the_same_bits(name, dtype):
    layer, x = LAYERS[name](I, H17_vector_and_tail, dtype=dtype), torch.randn(T, B, I, dtype=dtype)
    if not has_kernel(layer.cell, x):
        return  # torch operations: their order may depend on the batch
    expected = outputs_and_gradients(layer, x, ROW)
    for first, last in ((ROW, ROW + 2), (ROW - 1, ROW + 1), (0, ROW + 1)):
        found = outputs_and_gradients(layer, x[:, first:last], ROW - first)
        assert all(map(torch.equal, found, expected))


@every_layer
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_row_alone_is_as_near_to_exact(name, dtype):
    """Over 20 steps; of more, LSTM1997 and LayerNormLSTM make the rounding of both large."""
    layer, x = LAYERS[name](I, H17_vector_and_tail), torch.randn(T, B, I)
    exact = outputs_and_gradients(copy.deepcopy(layer).double(), x.double(), ROW)
    layer, x = layer.to(dtype), x.to(dtype)
    many, alone = outputs_and_gradients(layer, x, ROW), outputs_and_gradients(layer, x[:, ROW : ROW + 1], 0)
    for what, one, other, true in zip(("y", "dx"), alone, many, exact, strict=True):
        floor = 16 * torch.finfo(dtype).eps * largest(true)
        assert_within(what, largest(one.double() - true), largest(other.double() - true), 8, floor)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_stream_has_the_bits_of_a_batch_of_as_many_rows(rows):
    layer = carrousel.LSTM(I, H17_vector_and_tail).requires_grad_(False)
    x = torch.randn(T, rows, I)
    if has_kernel(layer.cell, x):
        assert torch.equal(layer.block(x, layer.start(rows)), layer(x)[0])
