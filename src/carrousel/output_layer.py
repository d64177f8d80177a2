"""The output layer of a language model and its loss in one: logits exist for a few rows at a time.

With thousands of words the logits [N, V] are the largest array of a training step, and torch makes three of them: the
logits, their log-probabilities and the gradient. Here a chunk of rows goes from the products through the softmax to
the gradients of h, W and b while it is in the cache.

Letters: N rows (T * B), H hidden units, V classes.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from carrousel.fused.autograd import is_transformed
from carrousel.fused.output_layer import has_kernel, weigh_losses
from carrousel.fused.run import is_eager

Reduction = Literal["mean", "sum", "none"]
LOGITS = 1 << 20  # at a time in torch operations: 4 MiB. Fewer read and write the gradient of W more often


class Options(NamedTuple):
    """What a loss is asked for, besides its operands."""

    ignore_index: int
    reduction: Reduction
    label_smoothing: float


def linear_cross_entropy(
    h: Tensor,
    weight: Tensor,
    target: Tensor,
    bias: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The cross entropy of the logits `h W' + b`, which are never stored as a whole.

    The result and its gradients, also the second ones, are those of `cross_entropy(linear(h, weight, bias), target)` in
    torch, which runs under torch.compile and torch.func, and with dual numbers. Under torch.autocast to bfloat16 the
    operands of the products are rounded, and the logits are not.

    Args:
        h: [*, H], float32 or float64, under autocast also bfloat16: usually [T, B, H].
        weight: W [V, H].
        target: the class of each row [*], int64; `ignore_index` where a row does not count.
        bias: b [V]; None: none.
        ignore_index: the target of rows that do not count.
        reduction: "mean" over the rows that count, "sum", or "none": the loss of each row, 0 where it does not count.
        label_smoothing: so much of the target's probability is spread over all classes, from 0 to 1.

    Returns:
        The loss, a number; with "none" [*].

    Raises:
        ValueError: the sizes do not fit, or an option is not allowed.
        IndexError: a target is no class.

    Example:
        >>> import torch, carrousel
        >>> words = torch.nn.Linear(650, 10_000)
        >>> y, _ = carrousel.LSTM(650, 650)(torch.randn(35, 20, 650))
        >>> target = torch.randint(10_000, (35, 20))
        >>> carrousel.linear_cross_entropy(y, words.weight, target, words.bias).backward()
    """
    options = Options(ignore_index, reduction, label_smoothing)
    check(h, weight, target, bias, options)
    rows, targets = h.flatten(0, -2), target.flatten()
    bfloat16 = rounds(rows, weight, bias)
    if (torch.is_autocast_enabled(h.device.type) and not bfloat16) or not is_eager(rows):
        losses = cross_entropy(linear(rows, weight, bias), targets, **options._asdict())
    else:
        losses = Losses.apply(rows.float() if bfloat16 else rows, weight, bias, targets, options, bfloat16)
    return losses.view(target.shape) if reduction == "none" else losses


def rounds(h: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether autocast asks for products of bfloat16, and the kernel has these."""
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    return h.dtype in (torch.float32, torch.bfloat16) and weight.dtype == torch.float32 and has_kernel(weight, bias)


def check(h: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None, options: Options) -> None:
    """Check sizes, targets and options.

    Raises:
        ValueError: the sizes do not fit, or an option is not allowed.
        IndexError: a target is no class.
    """
    V, H = weight.shape
    if h.shape != (*target.shape, H) or h.dim() < 2:
        raise ValueError(
            f"h {list(h.shape)}, weight {list(weight.shape)} and target {list(target.shape)} do not fit: "
            f"give h [*, {H}] and a target for each of its rows [*]"
        )
    if bias is not None and bias.shape != (V,):
        raise ValueError(f"bias {list(bias.shape)} does not fit weight {list(weight.shape)}: give [{V}]")
    if options.reduction not in ("mean", "sum", "none"):
        raise ValueError(f'reduction={options.reduction!r} is not allowed: give "mean", "sum" or "none"')
    if not 0 <= options.label_smoothing <= 1:
        raise ValueError(f"label_smoothing={options.label_smoothing} is not allowed: give a number from 0 to 1")
    if torch.compiler.is_compiling() or is_transformed():  # values are not known
        return
    wrong = target[(target != options.ignore_index) & ((target < 0) | (target >= V))]
    if len(wrong):
        raise IndexError(f"target {wrong[0].item()} is no class of weight {list(weight.shape)}: give 0 to {V - 1}")


class Losses(torch.autograd.Function):
    """Losses, and where the upstream gradient is one number, the gradients in the same pass."""

    @staticmethod
    def forward(
        ctx: Any, h: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, options: Options, bfloat16: bool
    ) -> Tensor:
        """The losses [N], or their sum or mean."""
        weights = (target != options.ignore_index).to(h.dtype)
        if options.reduction == "mean":
            weights /= weights.sum()
        ctx.work = Work(h, weight, bias, target.clamp(min=0), weights, options.label_smoothing, bfloat16)
        ctx.options, ctx.gradients = options, None
        ctx.save_for_backward(h, weight, bias, target)
        if options.reduction == "none":
            return ctx.work.run()
        if any(ctx.needs_input_grad):
            ctx.gradients = ctx.work.new_gradients()
        return ctx.work.run(ctx.gradients).sum()

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The gradients of h, W and b. They are given away, so that a second call computes them again."""
        h, weight, bias, target = ctx.saved_tensors
        if torch.is_grad_enabled() or is_transformed((upstream,)):  # it will be differentiated again, or is batched
            with torch.autocast("cpu", torch.bfloat16, enabled=ctx.work.bfloat16):
                found = differentiable(h, weight, bias, target, ctx.options, upstream, ctx.needs_input_grad)
            return (*found, None, None, None)
        found, ctx.gradients = ctx.gradients, None
        if found is None:
            found = ctx.work.new_gradients()
            ctx.work._replace(weights=ctx.work.weights * upstream).run(found)
        elif upstream != 1:
            for each in found:
                each.mul_(upstream)
        return (*found, *[None] * (6 - len(found)))


class Work(NamedTuple):
    """What is computed chunk by chunk."""

    h: Tensor  # [N, H]
    weight: Tensor  # [V, H]
    bias: Tensor | None  # [V]
    classes: Tensor  # [N]
    weights: Tensor  # [N]  of the losses
    smoothing: float
    bfloat16: bool  # whether the operands of the products are rounded; only by the kernel

    def new_gradients(self) -> list[Tensor]:
        """Memory for the gradients of h, W and b."""
        given = (each for each in (self.h, self.weight, self.bias) if each is not None)
        return [torch.empty_like(each, memory_format=torch.contiguous_format) for each in given]

    def run(self, gradients: list[Tensor] | None = None) -> Tensor:
        """The losses [N], weighted; writes the gradients of their sum."""
        if has_kernel(self.h, self.weight, self.bias):
            return weigh_losses(*self, gradients)
        return self.run_in_torch(gradients)

    def run_in_torch(self, gradients: list[Tensor] | None) -> Tensor:
        """The same in torch operations."""
        N, V = len(self.h), len(self.weight)
        rows = max(1, LOGITS // V)
        losses, logits = torch.empty_like(self.weights), self.h.new_empty(min(rows, N), V)
        for first in range(0, max(N, 1), rows):
            here = slice(first, first + rows)
            h = self.h[here]
            z = logits[: len(h)]  # fresh memory for each chunk would be cleared each time
            torch.mm(h, self.weight.t(), out=z) if self.bias is None else torch.addmm(
                self.bias, h, self.weight.t(), out=z
            )
            losses[here] = to_gradient(z, self.classes[here], self.weights[here], self.smoothing)
            if gradients is not None:
                add_products(gradients, here, z, h, self.weight)
        return losses


def to_gradient(z: Tensor, classes: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """The weighted losses [n] of logits z [n, V], which become the gradients of their sum."""
    V, classes, share = z.shape[1], classes[:, None], weights[:, None]
    most = z.amax(1, keepdim=True)
    expected = (1 - smoothing) * z.gather(1, classes)
    if smoothing:
        expected += smoothing * z.mean(1, keepdim=True)
    total = z.sub_(most).exp_().sum(1, keepdim=True)
    z *= share / total
    z.scatter_add_(1, classes, (smoothing - 1) * share)
    if smoothing:
        z -= smoothing / V * share
    # A row that does not count has a loss of 0, whatever its logits are.
    return torch.where(share == 0, 0, (total.log() + most - expected) * share)[:, 0]


def add_products(gradients: list[Tensor], here: slice, dz: Tensor, h: Tensor, weight: Tensor) -> None:
    """Writes the rows `here` of the gradient of h, and adds to those of W and b; the first rows begin the sums."""
    d_h, d_weight, *d_bias = gradients
    keep = int(here.start > 0)
    torch.mm(dz, weight, out=d_h[here])
    torch.addmm(d_weight, dz.t(), h, beta=keep, out=d_weight)
    for each in d_bias:
        each.add_(dz.sum(0)) if keep else each.copy_(dz.sum(0))


def differentiable(
    h: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    target: Tensor,
    options: Options,
    upstream: Tensor,
    needed: tuple[bool, ...],
) -> list[Tensor | None]:
    """The gradients by torch's own operations, which can be differentiated; all logits exist meanwhile."""
    operands = [each for each, is_needed in zip((h, weight, bias), needed) if is_needed and each is not None]
    with torch.enable_grad():
        loss = cross_entropy(linear(h, weight, bias), target, **options._asdict())
    found = iter(torch.autograd.grad(loss, operands, upstream, create_graph=True))
    return [
        next(found) if is_needed and each is not None else None for each, is_needed in zip((h, weight, bias), needed)
    ]
