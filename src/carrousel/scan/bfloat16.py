"""Matrix products of operands rounded to bfloat16, forward and backward, as the kernels compute them under autocast.

The rounding is to the nearest bfloat16; sums, and all that is not an operand of a product, keep their precision. A
gradient passes through the rounding of x and W unchanged. The gradient of the product is an operand too, of the two
products of the backward pass, and is rounded before them: dx = round(dy) round(W), dW = round(dy)' round(x), db = sum
of dy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import linear as exact_linear


def round_to_bfloat16(x: Tensor) -> Tensor:
    """x rounded to bfloat16, in its own dtype."""
    return x.to(torch.bfloat16).to(x.dtype)


class _Rounded(Function):
    """x rounded; the gradient unchanged."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return round_to_bfloat16(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:  # type: ignore[override]
        return d

    @staticmethod
    def jvp(ctx: Any, dx: Tensor) -> Tensor:  # type: ignore[override]
        return dx.clone()


class _RoundedGradient(Function):
    """x unchanged; the gradient rounded."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:  # type: ignore[override]
        return _Rounded.apply(d)  # type: ignore[return-value]

    @staticmethod
    def jvp(ctx: Any, dx: Tensor) -> Tensor:  # type: ignore[override]
        return dx.clone()


def linear(x: Tensor, W: Tensor, b: Tensor | None = None) -> Tensor:
    """x W' + b, as `torch.nn.functional.linear`, with x and W rounded to bfloat16.

    Args:
        x: [., K].
        W: [N, K].
        b: [N], not rounded. None: zeros.

    Returns:
        [., N], in x's dtype, under autocast too.
    """
    with torch.autocast(x.device.type, enabled=False):
        product = _RoundedGradient.apply(exact_linear(_Rounded.apply(x), _Rounded.apply(W)))  # type: ignore[arg-type]
        return product if b is None else product + b  # type: ignore[return-value]
