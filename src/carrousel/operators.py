"""The kernels as torch's custom operators, for torch.compile and everything else that traces: carrousel::sequence and
carrousel::sequence_backward. Eager code does not pass here: the dispatcher would cost a small sequence more than the
kernel takes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from carrousel.kernel import KERNELS, Kernel, Layout, backward, forward
from carrousel.scan import Weights

OPS = ("sequence", "sequence_backward") if KERNELS else ()  # in torch.ops.carrousel

WEIGHTS = "Tensor W, Tensor R, Tensor? b_x, Tensor? b_h, Tensor? c, Tensor? P"
INPUTS = f"str cell, Tensor x, Tensor[] states, {WEIGHTS}, Tensor? batch_sizes, bool reverse, bool batch_first"
N_WEIGHTS = len(Weights._fields)


def _kernel(cell: str, x: Tensor) -> Kernel:
    return KERNELS[cell, x.dtype]


def _sequence(cell, x, states, *rest):
    weights, layout, keep = Weights(*rest[:N_WEIGHTS]), Layout(*rest[N_WEIGHTS:-1]), rest[-1]
    y, final, kept = forward(_kernel(cell, x), x, states, weights, layout, keep)
    return [y, *final] if kept is None else [y, *final, kept]


def _sequence_fake(cell, x, states, *rest):
    weights, layout, keep = Weights(*rest[:N_WEIGHTS]), Layout(*rest[N_WEIGHTS:-1]), rest[-1]
    kernel = _kernel(cell, x)
    H, P = weights.W.shape[0] // len(kernel.cell.from_x), weights.R.shape[1]
    outputs = [
        x.new_empty(*x.shape[:-1], P),
        *[torch.empty_like(s, memory_format=torch.contiguous_format) for s in states],
    ]
    if keep:
        rows = x.shape[0] if layout.batch_sizes is not None else x.shape[0] * x.shape[1]
        outputs.append(x.new_empty(rows * sum(kernel.kept_parts(H, weights.P is not None))))
    return outputs


def _sequence_backward(cell, x, states, *rest):
    weights, (*layout, y, kept, d_outputs, wanted) = Weights(*rest[:N_WEIGHTS]), rest[N_WEIGHTS:]
    dy, *d_final = d_outputs
    gradients = backward(_kernel(cell, x), x, states, weights, Layout(*layout), y, kept, dy, d_final, wanted)
    return [g for g in gradients if g is not None]


def _sequence_backward_fake(cell, x, states, *rest):
    inputs, wanted = (x, *states, *rest[:N_WEIGHTS]), rest[-1]
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t, want in zip(inputs, wanted) if want]


def _setup(ctx, inputs, output):
    cell, x, states, *rest = inputs
    weights, (batch_sizes, *ctx.order, ctx.keep) = rest[:N_WEIGHTS], rest[N_WEIGHTS:]
    y, *_, kept = output
    ctx.cell, ctx.n_states, ctx.weights = cell, len(states), [w is not None for w in weights]
    # needs_input_grad says nothing of the tensors inside a list.
    ctx.wanted = [t is not None and t.requires_grad for t in (x, *states, *weights)]
    ctx.save_for_backward(x, *states, *[w for w in weights if w is not None], y, batch_sizes, kept)


def _differentiate(ctx, gradients):
    if not ctx.keep:
        raise RuntimeError("carrousel::sequence ran with keep=False: nothing was kept for a backward pass")
    x, *rest = ctx.saved_tensors
    states, rest = rest[: ctx.n_states], rest[ctx.n_states :]
    weights = [rest.pop(0) if there else None for there in ctx.weights]
    y, batch_sizes, kept = rest
    outputs = (y, *states)  # a final state has the shape of the state before
    d_outputs = [torch.zeros_like(t) if d is None else d for t, d in zip(outputs, gradients)]
    arguments = (ctx.cell, x, states, *weights, batch_sizes, *ctx.order)
    found = iter(torch.ops.carrousel.sequence_backward(*arguments, y, kept, d_outputs, ctx.wanted))
    dx, *rest = [next(found) if want else None for want in ctx.wanted]
    nothing = [None] * (len(ctx.order) + 2)  # batch_sizes, the order of time, keep
    return None, dx, rest[: ctx.n_states], *rest[ctx.n_states :], *nothing


if KERNELS:
    torch.library.define("carrousel::sequence", f"({INPUTS}, bool keep) -> Tensor[]")
    torch.library.define(
        "carrousel::sequence_backward",
        f"({INPUTS}, Tensor y, Tensor kept, Tensor[] d_outputs, bool[] wanted) -> Tensor[]",
    )
    torch.library.impl("carrousel::sequence", "CPU", _sequence)
    torch.library.impl("carrousel::sequence_backward", "CPU", _sequence_backward)
    torch.library.register_fake("carrousel::sequence", _sequence_fake)
    torch.library.register_fake("carrousel::sequence_backward", _sequence_backward_fake)
    torch.library.register_autograd("carrousel::sequence", _differentiate, setup_context=_setup)
