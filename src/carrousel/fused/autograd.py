"""The kernels in autograd: the backward pass is a kernel too, unless the gradient itself is differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor  # type: ignore[attr-defined]
from torch.autograd import forward_ad

from carrousel.cells import Cell
from carrousel.fused.call import call_backward, call_forward
from carrousel.fused.kernels import LAZY, WRAPPED, Kernel, look, resolve
from carrousel.fused.plan import Plan, expand_states
from carrousel.scan import Weights, scan
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import with_all_heads

N_WEIGHTS = len(Weights._fields)


class Call(NamedTuple):
    """A call without its tensors."""

    plan: Plan
    kernel: Kernel
    rows: Rows
    options: Options
    n_states: int  # how many initial states are given
    is_contiguous: bool  # all tensors are


class _Sequence(torch.autograd.Function):
    """The kernels in autograd; the inputs after the first two are x, the states, the weights, the restored states.

    The memory for y comes in a tuple: it is not an input.
    """

    @staticmethod
    def forward(ctx, call, into, *inputs):
        plan, kernel, rows, options, n_states, is_contiguous = call
        x, states, weights, restored = split_inputs(inputs, n_states)
        y, final, inside, saved = call_forward(
            plan,
            kernel,
            x,
            states,
            weights,
            rows,
            options,
            restored,
            save=True,
            into=into and into[0],
            is_contiguous=is_contiguous,
        )
        ctx.call = call
        ctx.set_materialize_grads(False)
        # the tensors of rows are saved so that autograd watches them: to fill such a buffer anew is a common mistake
        ctx.save_for_backward(y, saved, rows.lengths, rows.offsets, rows.resets, *inside, *inputs)
        return y if into else copied_when_written(y), *final, *inside

    @staticmethod
    def backward(ctx, dy, *d_rest):
        plan, kernel, rows, options, n_states, is_contiguous = ctx.call
        n_final = len(kernel.cell.states)
        y, saved, _, _, _, *rest = ctx.saved_tensors
        d_final, d_inside = d_rest[:n_final], d_rest[n_final:]
        inside, inputs = rest[: len(d_inside)], split_inputs(rest[len(d_inside) :], n_states)
        x, states, weights, restored = inputs
        wanted = ctx.needs_input_grad[2:]
        seen = WRAPPED if torch.is_grad_enabled() or is_transformed((dy, *d_rest)) else look((dy, *d_rest), x.dtype)
        if seen & WRAPPED:
            d_outputs = dy, d_final, kernel.name_inside(options, d_inside)
            return (
                None,
                None,
                *differentiate_scan(kernel.cell, *inputs, rows, options, plan.is_single, d_outputs, wanted),
            )
        if seen & LAZY:
            dy, d_final, d_inside = resolve(dy), tuple(map(resolve, d_final)), tuple(map(resolve, d_inside))
        outputs, d_outputs = (y, saved, inside), (dy, d_final, d_inside)
        call = plan, kernel, x, states, weights, rows, options, restored
        return None, None, *call_backward(*call, outputs, d_outputs, wanted, is_contiguous)


# What the caller gets shares y's memory until either is written to, and is a copy from then on: relu_(y) leaves y as
# the backward pass reads it. Almost none of torch's operations copies it only to read it. Where torch has no such
# tensors it is y itself, and autograd refuses a backward pass after y was changed.
copied_when_written: Callable[[Tensor], Tensor] = getattr(torch, "_lazy_clone", lambda y: y)

# Function.apply looks for functorch's wrappers in every argument first; `fused` has made sure that there are none.
apply_sequence: Callable[..., Any] = super(torch.autograd.Function, _Sequence).apply  # type: ignore[attr-defined]


def is_transformed(gradients: Sequence[Tensor | None] = ()) -> bool:
    """Whether torch.func, dual numbers (torch.autograd.forward_ad) or torch's older vmap are active: they need torch
    operations. The older vmap acts on gradients, by `is_grads_batched` of torch.autograd.grad.
    """
    if torch._C._are_functorch_transforms_active() or forward_ad._current_level >= 0:  # type: ignore[attr-defined]
        return True
    return bool(gradients) and any(d is not None and is_legacy_batchedtensor(d) for d in gradients)


def split_inputs(
    inputs: Sequence[Any], n_states: int
) -> tuple[Tensor, tuple[Tensor, ...], Weights, tuple[Tensor, ...]]:
    """x, the states, the weights, and the restored states."""
    x, after_states, after_weights = inputs[0], 1 + n_states, 1 + n_states + N_WEIGHTS
    return x, tuple(inputs[1:after_states]), Weights(*inputs[after_states:after_weights]), tuple(inputs[after_weights:])


def differentiate_scan(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    restored: tuple[Tensor, ...],
    rows: Rows,
    options: Options,
    is_single: bool,
    d_outputs: tuple[Any, Any, Any],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of (x, *states, *weights, *restored), each where it is wanted, by the specification, which can be
    differentiated again.

    Arguments as `run_scan` takes them, and the gradients of its results; None is zero.
    """
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Gradients of fresh views, not of the inputs: an input may be made of another one, by an earlier call perhaps,
        # and its own gradient would then include what passes through the other.
        every = (x, *states, *weights, *restored)
        inputs = [t.view_as(t) if want and t is not None else t for t, want in zip(every, wanted)]
        x, states, weights, restored = split_inputs(inputs, len(states))
        y, final, inside = run_scan(cell, x, states, weights, rows, options, restored, is_single)
    dy, d_final, d_inside = d_outputs
    pairs = [(y, dy), *zip(final, d_final), *((tensor, d_inside[name]) for name, tensor in (inside or {}).items())]
    outputs, d_given = zip(*[(out, d) for out, d in pairs if d is not None])
    asked = [t for t, want in zip(inputs, wanted) if want and t is not None]
    found = iter(torch.autograd.grad(outputs, asked, d_given, create_graph=create_graph, allow_unused=True))
    return [next(found) if want else None for want in wanted]


def run_scan(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...],
    is_single: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor] | None]:
    """What `fused` returns, by the specification."""
    weights = with_all_heads(cell, weights)
    states, restored = expand_both(cell, x, states, weights, rows, restored)
    y, states, inside = scan(cell, x, states, weights, rows, options, restored)
    return y, stack_single(states, is_single), inside


def expand_both(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    restored: tuple[Tensor, ...],
    zeros: bool = True,
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The initial states [B, .], () for zeros unless `zeros`; and the restored states [B, .], () for zeros."""
    given = expand_states(cell, x, states, weights, rows) if states or zeros else ()
    return given, restored and expand_states(cell, x, restored, weights, rows)


def stack_single(states: tuple[Tensor, ...], is_single: bool) -> tuple[Tensor, ...]:
    """Final states [B, .] as [1, B, .] for a single layer: copies, which the caller may change in place."""
    return tuple([torch.stack([state]) for state in states]) if is_single else states
