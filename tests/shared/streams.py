"""What the tests of streams share: layers, data, steps, and no gradients."""

from __future__ import annotations

import torch

import carrousel
from carrousel.cells import ALL
from carrousel.fused.kernels import KERNELS


def without_gradients():
    """A fixture's body: streams have no gradients, and say so where one is asked for."""
    with torch.no_grad():
        yield


def layer_of(cell="lstm", I=3, H=7, **options):
    return carrousel.Recurrent(ALL[cell], I, H, **options).eval()


def data(layer, T, B, dtype=None):
    shape = (B, T) if layer.batch_first else (T, B)
    return torch.randn(*shape, layer.input_size, dtype=dtype or layer.weight_ih_l0.dtype)


def tuple_of(hx):
    return hx if isinstance(hx, tuple) else (hx,)


def assert_same(a, b):
    """The same bits, where a kernel computes; torch's own products round otherwise in another number of rows."""
    for one, other in zip(tuple_of(a), tuple_of(b), strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other) if KERNELS else torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)


def steps(layer, xs, state):
    """Every step of xs [T, B, I], one after another -> y [T, B, P]."""
    return torch.stack([layer.step(x, state) for x in xs])


def started(layer, B=4):
    """A state in the middle of a stream."""
    state = layer.start(B)
    layer.block(data(layer, 3, B), state)
    return state
