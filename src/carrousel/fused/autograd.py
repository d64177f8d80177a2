"""The kernels in autograd: the backward pass is a kernel too, unless the gradient itself is to be differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor  # type: ignore[attr-defined]
from torch.autograd import forward_ad

from carrousel.cells import Cell
from carrousel.fused.call import backward, forward
from carrousel.fused.kernels import LAZY, WRAPPED, Kernel, look, resolved
from carrousel.fused.plan import Plan, of_each_row
from carrousel.scan import Weights, scan
from carrousel.scan.rows import Layout
from carrousel.scan.weights import with_all_heads

N_WEIGHTS = len(Weights._fields)


class Call(NamedTuple):
    """What a call is, but for its tensors."""

    plan: Plan
    kernel: Kernel
    layout: Layout
    states: int  # how many are given
    in_order: bool  # whether all tensors are contiguous


class _Sequence(torch.autograd.Function):
    """The kernels in autograd; the inputs after the first two are x, the states, the weights, what is restored.

    Room for y comes in a tuple: it is no input.
    """

    @staticmethod
    def forward(ctx, call, room, *inputs):
        plan, kernel, layout, n_states, in_order = call
        x, states, weights, restored = parts_of(inputs, n_states)
        y, final, shown, kept = forward(
            plan, kernel, x, states, weights, layout, True, restored, False, room and room[0], in_order
        )
        ctx.call = call
        ctx.set_materialize_grads(False)
        # what the layout points at is saved only to be watched: a buffer that is filled anew is a common mistake
        ctx.save_for_backward(y, kept, layout.lengths, layout.offsets, layout.resets, *shown, *inputs)
        return y if room else copied_when_written(y), *final, *shown

    @staticmethod
    def backward(ctx, dy, *d_rest):
        plan, kernel, layout, n_states, in_order = ctx.call
        n_final = len(kernel.cell.states)
        y, kept, _, _, _, *rest = ctx.saved_tensors
        d_final, d_shown = d_rest[:n_final], d_rest[n_final:]
        shown, inputs = rest[: len(d_shown)], rest[len(d_shown) :]
        x, states, weights, restored = parts_of(inputs, n_states)
        wanted = ctx.needs_input_grad[2:]
        seen = WRAPPED if torch.is_grad_enabled() or is_transformed((dy, *d_rest)) else look((dy, *d_rest), x.dtype)
        if seen & WRAPPED:
            d_outputs, alone = (dy, d_final, kernel.by_name(layout, d_shown)), len(plan.finals[0]) == 3
            inputs = x, states, weights, restored
            gradients = gradients_by_scan(kernel.cell, layout, alone, *inputs, d_outputs, wanted)
        else:
            if seen & LAZY:
                dy, d_final, d_shown = resolved(dy), tuple(map(resolved, d_final)), tuple(map(resolved, d_shown))
            saved, d_outputs = (y, kept, shown), (dy, d_final, d_shown)
            gradients = backward(
                plan, kernel, x, states, weights, layout, *saved, *d_outputs, wanted, restored, in_order
            )
        return None, None, *gradients


# What the caller gets shares y's memory until either is written to, and is a copy from then on: relu_(y) leaves y as
# the backward pass reads it. Of torch's operations almost none copies it only to read it. Where torch has no such
# tensors it is y itself, and autograd refuses a backward pass after y was changed.
copied_when_written = getattr(torch, "_lazy_clone", lambda y: y)

# Function.apply looks for functorch's wrappers in every argument first; `fused` has made sure that there are none.
differentiable = super(torch.autograd.Function, _Sequence).apply  # type: ignore[attr-defined]


def is_transformed(gradients: Sequence[Tensor | None] = ()) -> bool:
    """Whether torch.func, dual numbers (torch.autograd.forward_ad) or torch's older vmap are at work, which need torch
    operations; the last by `is_grads_batched` of torch.autograd.grad, on gradients.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:  # type: ignore[attr-defined]
        return True
    return bool(gradients) and any(d is not None and is_legacy_batchedtensor(d) for d in gradients)


def parts_of(inputs: Sequence[Any], n_states: int) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...]]:
    """x, the states, the weights, and what is restored, of all of them in a row."""
    x, after_states, after_weights = inputs[0], 1 + n_states, 1 + n_states + N_WEIGHTS
    return x, tuple(inputs[1:after_states]), Weights(*inputs[after_states:after_weights]), tuple(inputs[after_weights:])


def gradients_by_scan(
    cell: Cell,
    layout: Layout,
    alone: bool,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    restored: tuple[Tensor, ...],
    d_outputs: tuple[Any, Any, Any],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of (x, *states, *weights, *restored), each where it is wanted, by the specification, which can be
    differentiated again.

    Arguments as `by_scan` takes them, and the gradients of its results; None is zero.
    """
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        # Gradients of fresh views, not of the inputs: an input may be made of another one, by an earlier call perhaps,
        # and its own gradient would then hold what goes through the other.
        every = (x, *states, *weights, *restored)
        inputs = [t.view_as(t) if want and t is not None else t for t, want in zip(every, wanted)]
        given = parts_of(inputs, len(states))
        y, final, shown = by_scan(cell, *given[:3], layout, given[3], alone)
    dy, d_final, d_shown = d_outputs
    pairs = [(y, dy), *zip(final, d_final), *((tensor, d_shown[name]) for name, tensor in (shown or {}).items())]
    outputs, d_given = zip(*[(out, d) for out, d in pairs if d is not None])
    asked = [t for t, want in zip(inputs, wanted) if want and t is not None]
    found = iter(torch.autograd.grad(outputs, asked, d_given, create_graph=differentiable, allow_unused=True))
    return [next(found) if want else None for want in wanted]


def by_scan(cell, x, states, weights, layout, restored, alone=False):
    """What `fused_in` returns, by the specification."""
    weights = with_all_heads(cell, weights)
    states, restored = in_full(cell, x, states, weights, layout, restored)
    y, states, *shown = scan(cell, x, states, weights, **layout.for_scan(), restored=restored or None)
    return y, standing(states, alone), shown[0] if shown else None


def in_full(cell, x, states, weights, layout, restored, zeros=True):
    """States, if they are not zeros or `zeros` are to be given too, and what resets restore if it is not, [B, .]."""
    given = of_each_row(cell, x, states, weights, layout) if states or zeros else ()
    return given, restored and of_each_row(cell, x, restored, weights, layout)


def standing(states, alone: bool):
    """Final states [B, .] as [1, B, .], if the layer stands alone: copies, which the caller may change in place."""
    return tuple([torch.stack([state]) for state in states]) if alone else states
