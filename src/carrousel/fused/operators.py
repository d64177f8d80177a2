"""The kernels as torch's custom operators, for torch.compile and everything else that traces: carrousel::sequence and
carrousel::sequence_backward. Eager code does not pass here: the dispatcher would cost a small sequence more than the
kernel takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from carrousel.fused.kernels import KERNELS, Kernel
from carrousel.fused.passes import backward, forward
from carrousel.fused.plan import plan_of
from carrousel.scan.layout import Layout, check_layout
from carrousel.scan.noise import Mask, Noise
from carrousel.scan.weights import Weights

OPS = ("sequence", "sequence_backward") if KERNELS else ()  # in torch.ops.carrousel

WEIGHTS = "Tensor W, Tensor R, Tensor? b_x, Tensor? b_h, Tensor? c, Tensor? P"
LAYOUT = (
    "Tensor? batch_sizes, Tensor? lengths, Tensor? offsets, bool reverse, bool batch_first, Tensor? resets, "
    "float padding_value, bool return_states, bool return_gates, "
    "bool bfloat16, str memory, "
    "Tensor? seed, int place, float[] masks, float[] fed_back, float[] of_weights, Tensor? rows"
)
INPUTS = f"str cell, Tensor x, Tensor[] states, {WEIGHTS}, Tensor[] restored, {LAYOUT}"
PLAIN = [name for name in Layout._fields if name != "noise"]  # what an operator takes as it is
N_WEIGHTS, N_LAYOUT = len(Weights._fields), len(PLAIN) + len(Noise._fields)


def _kernel(cell: str, x: Tensor) -> Kernel:
    return KERNELS[cell, x.dtype]


def _parts(rest):
    """What follows the states: the weights, what resets restore, the layout, and what is left."""
    weights, (restored, *rest) = Weights(*rest[:N_WEIGHTS]), rest[N_WEIGHTS:]
    return weights, restored, layout_of(rest[:N_LAYOUT]), rest[N_LAYOUT:]


def arguments_of(layout: Layout) -> list[Any]:
    """A layout as the operators take it: the masks' numbers in a row."""
    seed, place, masks, fed_back, of_weights, rows = layout.noise or Noise()
    plain = [getattr(layout, name) for name in PLAIN]
    others = list(fed_back or ()), list(of_weights or ())
    return [*plain, seed, place, [n for mask in masks for n in mask], *others, rows]


def layout_of(arguments: Sequence[Any]) -> Layout:
    """What `arguments_of` was given; a noise that does nothing becomes none."""
    *plain, seed, place, masks, fed_back, of_weights, rows = arguments
    layout = Layout(**dict(zip(PLAIN, plain)))
    if not masks and not fed_back and not of_weights:
        return layout
    of_cell = tuple(Mask(*masks[k : k + 3]) for k in range(0, len(masks), 3))
    of_h, of_R = [Mask(*mask) if mask else None for mask in (fed_back, of_weights)]
    noise = Noise(seed, place, of_cell, of_h, of_R, rows)
    return layout._replace(noise=noise)


def _sequence(cell, x, states, *rest):
    weights, restored, layout, (keep,) = _parts(rest)
    states, restored = tuple(states), tuple(restored)
    check_layout(x, layout)  # what was traced could look at no number
    kernel = _kernel(cell, x)
    plan = plan_of(kernel, x, weights, layout)
    y, final, shown, kept = forward(plan, kernel, x, states, weights, layout, keep, restored, blank=True)
    return [y, *final, *shown] if kept is None else [y, *final, *shown, kept]


def _sequence_fake(cell, x, states, *rest):
    weights, _, layout, (keep,) = _parts(rest)
    kernel = _kernel(cell, x)
    H, P = weights.W.shape[0] // len(kernel.cell.from_x), states[0].shape[1]
    outputs = [
        x.new_empty(*x.shape[:-1], P),
        *[torch.empty_like(s, memory_format=torch.contiguous_format) for s in states],
    ]
    outputs += [x.new_empty(*x.shape[:-1], H) for _ in range(kernel.shown(layout))]
    if keep:
        rows = x.shape[0] if layout.is_flat else x.shape[0] * x.shape[1]
        outputs.append(x.new_empty(rows * sum(kernel.kept_parts(H, x.shape[-1], weights.P is not None, layout))))
    return outputs


def _sequence_backward(cell, x, states, *rest):
    weights, restored, layout, (y, kept, shown, (dy, *d_rest), wanted) = _parts(rest)
    states, restored = tuple(states), tuple(restored)
    saved, d_outputs = (y, kept, shown), (dy, d_rest[: len(states)], d_rest[len(states) :])
    kernel = _kernel(cell, x)
    plan = plan_of(kernel, x, weights, layout)
    gradients = backward(plan, kernel, x, states, weights, layout, *saved, *d_outputs, wanted, restored)
    return [g for g in gradients if g is not None]


def _sequence_backward_fake(cell, x, states, *rest):
    weights, restored, _, (*_, wanted) = _parts(rest)
    inputs = (x, *states, *weights, *restored)
    asked = [t for t, want in zip(inputs, wanted) if want and t is not None]
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in asked]


def _setup(ctx, inputs, output):
    cell, x, states, *rest = inputs
    weights, restored, layout, (ctx.keep,) = _parts(rest)
    y, *shown, kept = output
    shown = shown[len(states) :]
    ctx.cell, ctx.n_states, ctx.weights = cell, len(states), [w is not None for w in weights]
    tensors = (x, *states, *weights, *restored)
    # needs_input_grad says nothing of the tensors inside a list.
    ctx.wanted = [t is not None and t.requires_grad for t in tensors]
    noise = layout.noise or Noise()
    of_layout = (layout.batch_sizes, layout.lengths, layout.offsets, layout.resets, noise.seed, noise.rows)
    without = None if layout.noise is None else noise._replace(seed=None, rows=None)
    ctx.layout = layout._replace(batch_sizes=None, lengths=None, offsets=None, resets=None, noise=without)
    ctx.n_shown = len(shown)
    ctx.save_for_backward(*of_layout, y, kept, *shown, *[t for t in tensors if t is not None])


def _differentiate(ctx, gradients):
    if not ctx.keep:
        raise RuntimeError("carrousel::sequence ran with keep=False: nothing was kept for a backward pass")
    batch_sizes, lengths, offsets, resets, seed, rows, y, kept, *rest = ctx.saved_tensors
    shown, (x, *rest) = rest[: ctx.n_shown], rest[ctx.n_shown :]
    layout = ctx.layout._replace(batch_sizes=batch_sizes, lengths=lengths, offsets=offsets, resets=resets)
    if layout.noise is not None:
        layout = layout._replace(noise=layout.noise._replace(seed=seed, rows=rows))
    states, rest = rest[: ctx.n_states], rest[ctx.n_states :]
    weights = [rest.pop(0) if there else None for there in ctx.weights]
    outputs = (y, *states, *shown)  # a final state has the shape of the state before
    d_outputs = [torch.zeros_like(t) if d is None else d for t, d in zip(outputs, gradients)]
    arguments = (ctx.cell, x, states, *weights, rest, *arguments_of(layout))
    found = iter(torch.ops.carrousel.sequence_backward(*arguments, y, kept, shown, d_outputs, ctx.wanted))
    dx, *rest = [next(found) if want else None for want in ctx.wanted]
    after_weights = ctx.n_states + N_WEIGHTS
    # the layout, keep; torch takes a list without anything in it for a list of tensors, whose gradients are a list
    nothing = [[] if argument == [] else None for argument in arguments_of(ctx.layout)] + [None]
    return None, dx, rest[: ctx.n_states], *rest[ctx.n_states : after_weights], rest[after_weights:], *nothing


if KERNELS:
    torch.library.define("carrousel::sequence", f"({INPUTS}, bool keep) -> Tensor[]")
    torch.library.define(
        "carrousel::sequence_backward",
        f"({INPUTS}, Tensor y, Tensor kept, Tensor[] shown, Tensor[] d_outputs, bool[] wanted) -> Tensor[]",
    )
    torch.library.impl("carrousel::sequence", "CPU", _sequence)
    torch.library.impl("carrousel::sequence_backward", "CPU", _sequence_backward)
    torch.library.register_fake("carrousel::sequence", _sequence_fake)
    torch.library.register_fake("carrousel::sequence_backward", _sequence_backward_fake)
    torch.library.register_autograd("carrousel::sequence", _differentiate, setup_context=_setup)
