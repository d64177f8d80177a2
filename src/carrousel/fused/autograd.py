"""The kernels in autograd: the backward pass is a kernel too, unless the gradient itself is to be differentiated."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor  # type: ignore[attr-defined]

from carrousel.fused.kernels import Kernel
from carrousel.fused.passes import backward, forward
from carrousel.fused.plan import Plan, of_each_row
from carrousel.scan import Weights, scan
from carrousel.scan.layout import Layout
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
        x, states, weights, restored = _parts(inputs, n_states)
        y, final, shown, kept = forward(
            plan, kernel, x, states, weights, layout, True, restored, False, room and room[0], in_order
        )
        ctx.call = call
        ctx.set_materialize_grads(False)
        # what the layout points at is saved only to be watched: a buffer that is filled anew is a common mistake
        ctx.save_for_backward(y, kept, layout.lengths, layout.offsets, layout.resets, *shown, *inputs)
        return y, *final, *shown

    @staticmethod
    def backward(ctx, dy, *d_rest):
        plan, kernel, layout, n_states, in_order = ctx.call
        n_final = len(kernel.cell.states)
        y, kept, _, _, _, *rest = ctx.saved_tensors
        d_final, d_shown = d_rest[:n_final], d_rest[n_final:]
        shown, inputs = rest[: len(d_shown)], rest[len(d_shown) :]
        x, states, weights, restored = _parts(inputs, n_states)
        wanted = ctx.needs_input_grad[2:]
        # create_graph: the gradient itself is to be differentiated; is_grads_batched: many gradients at once, by vmap
        if torch.is_grad_enabled() or any(d is not None and is_legacy_batchedtensor(d) for d in (dy, *d_rest)):
            d_outputs = dy, d_final, kernel.by_name(layout, d_shown)
            gradients = _gradients_by_scan(ctx.call, x, states, weights, restored, d_outputs, wanted)
        else:
            saved, d_outputs = (y, kept, shown), (dy, d_final, d_shown)
            gradients = backward(
                plan, kernel, x, states, weights, layout, *saved, *d_outputs, wanted, restored, in_order
            )
        return None, None, *gradients


# Function.apply looks for functorch's wrappers in every argument first; `fused` has made sure that there are none.
differentiable = super(torch.autograd.Function, _Sequence).apply  # type: ignore[attr-defined]


def _parts(inputs, n_states: int) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...]]:
    x, after_states, after_weights = inputs[0], 1 + n_states, 1 + n_states + N_WEIGHTS
    return x, tuple(inputs[1:after_states]), Weights(*inputs[after_states:after_weights]), tuple(inputs[after_weights:])


def _gradients_by_scan(call, x, states, weights, restored, d_outputs, wanted) -> list[Tensor | None]:
    """The gradients once more, by the specification, which can be differentiated again."""
    alone = len(call.plan.finals[0]) == 3
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        y, final, shown = by_scan(call.kernel.cell, x, states, weights, call.layout, restored, alone)
    dy, d_final, d_shown = d_outputs
    pairs = [(y, dy), *zip(final, d_final), *((tensor, d_shown[name]) for name, tensor in (shown or {}).items())]
    outputs, given = zip(*[(out, d) for out, d in pairs if d is not None])
    inputs = (x, *states, *weights, *restored)
    asked = [t for t, want in zip(inputs, wanted) if want and t is not None]
    found = iter(torch.autograd.grad(outputs, asked, given, create_graph=differentiable, allow_unused=True))
    return [next(found) if want and t is not None else None for t, want in zip(inputs, wanted)]


def by_scan(cell, x, states, weights, layout, restored, alone=False):
    """What `fused_in` returns, by the specification."""
    weights = with_all_heads(cell, weights)
    states, restored = in_full(cell, x, states, weights, layout, restored)
    y, states, *shown = scan(cell, x, states, weights, **layout.for_scan(), restored=restored or None)
    return y, standing(states, alone), shown[0] if shown else None


def in_full(cell, x, states, weights, layout, restored):
    """States, and what resets restore if it is not zeros, [B, .]."""
    return (
        of_each_row(cell, x, states, weights, layout),
        restored and of_each_row(cell, x, restored, weights, layout),
    )


def standing(states, alone: bool):
    """Final states [B, .] as [1, B, .], if the layer stands alone."""
    return tuple([state[None] for state in states]) if alone else states
