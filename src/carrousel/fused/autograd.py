"""The kernels in autograd: the backward pass is a kernel too, unless the gradient itself is to be differentiated."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor  # type: ignore[attr-defined]

from carrousel.fused.passes import backward, forward
from carrousel.scan import Weights, scan

N_WEIGHTS = len(Weights._fields)


class _Sequence(torch.autograd.Function):
    """The kernels in autograd; the inputs after the first four are x, the states, the weights, what is restored.

    Room for y comes in a tuple: it is no input.
    """

    @staticmethod
    def forward(ctx, kernel, layout, n_states, room, *inputs):
        x, states, weights, restored = _parts(inputs, n_states)
        y, final, shown, kept = forward(
            kernel, x, states, weights, layout, True, restored, room=None if room is None else room[0]
        )
        ctx.kernel, ctx.layout, ctx.n_states, ctx.n_shown = kernel, layout, n_states, len(shown)
        ctx.set_materialize_grads(False)
        # what the layout points at is saved only to be watched: a buffer that is filled anew is a common mistake
        ctx.save_for_backward(y, kept, layout.lengths, layout.offsets, layout.resets, *shown, *inputs)
        return y, *final, *shown

    @staticmethod
    def backward(ctx, dy, *d_rest):
        y, kept, _, _, _, *rest = ctx.saved_tensors
        shown, inputs = rest[: ctx.n_shown], rest[ctx.n_shown :]
        kernel, d_final, d_shown = ctx.kernel, d_rest[: ctx.n_states], d_rest[ctx.n_states :]
        x, states, weights, restored = _parts(inputs, ctx.n_states)
        wanted = ctx.needs_input_grad[4:]
        # create_graph: the gradient itself is to be differentiated; is_grads_batched: many gradients at once, by vmap
        if torch.is_grad_enabled() or any(d is not None and is_legacy_batchedtensor(d) for d in (dy, *d_rest)):
            d_outputs = dy, d_final, kernel.by_name(ctx.layout, d_shown)
            gradients = _gradients_by_scan(kernel.cell, x, states, weights, ctx.layout, restored, d_outputs, wanted)
        else:
            saved, d_outputs = (y, kept, shown), (dy, d_final, d_shown)
            gradients = backward(kernel, x, states, weights, ctx.layout, *saved, *d_outputs, wanted, restored)
        return None, None, None, None, *gradients


# Function.apply looks for functorch's wrappers in every argument first; `fused` has made sure that there are none.
differentiable = super(torch.autograd.Function, _Sequence).apply  # type: ignore[attr-defined]


def _parts(inputs, n_states: int) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...]]:
    x, after_states, after_weights = inputs[0], 1 + n_states, 1 + n_states + N_WEIGHTS
    return x, tuple(inputs[1:after_states]), Weights(*inputs[after_states:after_weights]), tuple(inputs[after_weights:])


def _gradients_by_scan(cell, x, states, weights, layout, restored, d_outputs, wanted) -> list[Tensor | None]:
    """The gradients once more, by the specification, which can be differentiated again."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        y, final, shown = by_scan(cell, x, states, weights, layout, restored)
    dy, d_final, d_shown = d_outputs
    pairs = [(y, dy), *zip(final, d_final), *((tensor, d_shown[name]) for name, tensor in (shown or {}).items())]
    outputs, given = zip(*[(out, d) for out, d in pairs if d is not None])
    inputs = (x, *states, *weights, *restored)
    asked = [t for t, want in zip(inputs, wanted) if want and t is not None]
    found = iter(torch.autograd.grad(outputs, asked, given, create_graph=differentiable, allow_unused=True))
    return [next(found) if want and t is not None else None for t, want in zip(inputs, wanted)]


def by_scan(cell, x, states, weights, layout, restored):
    """What `fused_in` returns, by the specification."""
    y, states, *shown = scan(cell, x, states, weights, **layout.for_scan(), restored=restored or None)
    return y, states, shown[0] if shown else None
