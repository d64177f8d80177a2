"""Matrix products of operands rounded to bfloat16, forward and backward: what the kernels do under autocast.

The rounding is to the nearest bfloat16; sums, and all that is no operand of a product, keep their precision. A gradient
goes through the rounding of x and W as if it were not there; the gradient of the product is itself rounded before it is
multiplied, since it is an operand then: dx = round(dy) round(W), dW = round(dy)' round(x), db = sum of dy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import linear as exact_linear


def rounded(x: Tensor) -> Tensor:
    """x with the values of bfloat16 and its own dtype."""
    return x.to(torch.bfloat16).to(x.dtype)


class _Rounded(Function):
    """x rounded; the gradient as it is."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return rounded(x)

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
    """x as it is; the gradient rounded."""

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
    """x W' + b, as `torch.nn.functional.linear` has it, of operands rounded.

    Args:
        x: [., K].
        W: [N, K].
        b: [N], not rounded. None: zeros.

    Returns:
        [., N], in x's dtype, also where autocast would have it otherwise.
    """
    with torch.autocast(x.device.type, enabled=False):
        product = _RoundedGradient.apply(exact_linear(_Rounded.apply(x), _Rounded.apply(W)))  # type: ignore[arg-type]
        return product if b is None else product + b  # type: ignore[return-value]
