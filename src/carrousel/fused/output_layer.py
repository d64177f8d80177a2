"""The output layer and its loss by their kernel: losses and gradients of rows of h, without their logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from carrousel.fused.kernels import CROSS_ENTROPY
from carrousel.fused.run import is_eager


def has_kernel(*operands: Tensor | None) -> bool:
    """Whether the kernel takes these operands: plain tensors of one dtype, on the CPU."""
    given = [each for each in operands if each is not None]
    kinds = {(each.dtype, each.device.type) for each in given}
    return kinds in [{(dtype, "cpu")} for dtype in CROSS_ENTROPY] and all(map(is_eager, given))


def weigh_losses(
    h: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    classes: Tensor,
    weights: Tensor,
    smoothing: float,
    bfloat16: bool,
    gradients: Sequence[Tensor] | None,
) -> Tensor:
    """The weighted cross entropy of each row.

    Args:
        h: [N, H].
        weight, bias: W [V, H], b [V] or None.
        classes: [N], int64, from 0 to V - 1.
        weights: of the losses [N]; with a weight of 0 the loss is 0, whatever the row holds.
        smoothing: so much of a class's probability is spread over all classes.
        bfloat16: round the operands of all products to bfloat16; the operands are then float32.
        gradients: memory for the gradients of the losses' sum: of h, W and, if there is one, b. None: not wanted.

    Returns:
        The losses [N].
    """
    losses = torch.empty_like(weights)
    operands = tuple(None if each is None else each.contiguous() for each in (h, weight, bias, classes, weights))
    results = (losses, *(gradients or ()), None, None, None)[:4]
    sizes = (len(h), h.shape[1], len(weight))
    CROSS_ENTROPY[h.dtype](sizes, operands, results, smoothing, bfloat16, torch.get_num_threads())
    return losses
