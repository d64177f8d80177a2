"""The functions that a step may call, of a tensor or of a symbol. Each calls the method of the same name."""

from __future__ import annotations

from typing import Any


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    return x.sigmoid()


def tanh(x: Any) -> Any:
    """(e^x - e^-x) / (e^x + e^-x)."""
    return x.tanh()


def relu(x: Any) -> Any:
    """max(x, 0)."""
    return x.relu()


def exp(x: Any) -> Any:
    """e^x."""
    return x.exp()


def softplus(x: Any) -> Any:
    """log(1 + e^x) = -log(sigmoid(-x))."""
    return x.logaddexp(x.new_zeros(()))  # the one way in torch that is a method and accurate at every x


EPS = 1e-5  # added to the variance wherever something is normalised, as in torch.nn.LayerNorm


def layer_norm(x: Any) -> Any:
    """(x - mean) / sqrt(variance + 1e-5), over the H units of a layer: the last dimension of a tensor.

    Only the step of a cell with `normed` may call it, and only once: the cell's kernel has two pointwise stages, and
    computes the mean and the variance between them.

    Source: Ba, Kiros & Hinton 2016, equation 3 for mean and deviation; gain and bias are the cell's.
    """
    if hasattr(x, "_layer_norm"):  # a symbol of carrousel.codegen.tape
        return x._layer_norm()
    centred = x - x.mean(-1, keepdim=True)
    return centred * (centred.square().mean(-1, keepdim=True) + EPS).rsqrt()
