"""The kernels as torch's custom operators, for torch.compile, torch.export, torch.jit.trace and tensor subclasses:
carrousel::sequence and carrousel::sequence_backward. Eager code does not pass here: the dispatcher would cost a small
sequence more than the kernel takes.

A call is one list of tensors, the name of each, and its options as JSON. One list, because AOTInductor takes no list
that is empty, and because autograd then gives one list of gradients back. padding_value stands alone: a graph may hold
it as a number that changes from call to call.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carrousel.fused.autograd import copied_when_written, gradients_by_scan, is_transformed
from carrousel.fused.call import backward, forward
from carrousel.fused.kernels import KERNELS, Kernel
from carrousel.fused.plan import checked_plan
from carrousel.scan.constant import mark_constant
from carrousel.scan.masks import Mask, Noise
from carrousel.scan.rows import Layout
from carrousel.scan.weights import Weights

OPS = ("sequence", "sequence_backward") if KERNELS else ()  # in torch.ops.carrousel

OF_LAYOUT = ("batch_sizes", "lengths", "offsets", "resets")  # the tensors of a layout
OF_NOISE = ("seed", "rows")  # and of its noise
PLAIN = tuple(name for name in Layout._fields if name not in (*OF_LAYOUT, "noise", "padding_value"))


class SequenceCall(NamedTuple):
    """What a call of an operator is made of."""

    cell: str
    x: Tensor
    states: tuple[Tensor, ...]  # () for zeros
    weights: Weights
    restored: tuple[Tensor, ...]  # () for zeros
    layout: Layout

    @property
    def kernel(self) -> Kernel:
        """The kernel that runs it."""
        return KERNELS[self.cell, self.x.dtype]

    @property
    def tensors(self) -> list[tuple[str, Tensor | None]]:
        """Those that may need a gradient, named, in the order in which the kernels give gradients."""
        states = [("state", state) for state in self.states]
        restored = [("restored", state) for state in self.restored]
        return [("x", self.x), *states, *zip(Weights._fields, self.weights), *restored]

    @property
    def tensors_of_layout(self) -> list[tuple[str, Tensor | None]]:
        """Those that say where steps are, and seed the masks."""
        noise = self.layout.noise or Noise()
        return [(n, getattr(self.layout, n)) for n in OF_LAYOUT] + [(n, getattr(noise, n)) for n in OF_NOISE]

    def arguments(self) -> tuple[list[Tensor], str, str, float]:
        """What the operators take: the tensors, their names, the options as JSON, and padding_value."""
        there = [(name, t) for name, t in (*self.tensors, *self.tensors_of_layout) if t is not None]
        options = _as_json(self.cell, tuple([getattr(self.layout, n) for n in PLAIN]), _plain(self.layout.noise))
        return [t for _, t in there], " ".join([name for name, _ in there]), options, self.layout.padding_value

    @classmethod
    def of(cls, tensors: Sequence[Tensor], names: str, options: str, padding_value: float) -> SequenceCall:
        """The call with these arguments."""
        by_name: dict[str, Any] = {"state": [], "restored": []}
        for name, tensor in zip(names.split(" "), tensors, strict=True):
            if name in ("state", "restored"):
                by_name[name].append(tensor)
            else:
                by_name[name] = tensor
        cell, layout = _from_json(options)
        layout = layout._replace(padding_value=padding_value, **{name: by_name.get(name) for name in OF_LAYOUT})
        if layout.noise is not None:
            layout = layout._replace(noise=layout.noise._replace(**{name: by_name.get(name) for name in OF_NOISE}))
        weights = Weights(*[by_name.get(name) for name in Weights._fields])  # type: ignore[arg-type]
        return cls(cell, by_name["x"], tuple(by_name["state"]), weights, tuple(by_name["restored"]), layout)


@mark_constant  # a graph would hold the encoder
def _as_json(cell: str, plain: tuple[Any, ...], noise: tuple[Any, ...] | None) -> str:
    """The options of a call: the cell's name, the layout's PLAIN options where they are not the default, and masks."""
    usual = Layout._field_defaults
    options = {name: value for name, value in zip(PLAIN, plain) if value != usual[name]}
    return json.dumps({"cell": cell, **options, **({"noise": noise} if noise else {})})


def _plain(noise: Noise | None) -> tuple[Any, ...] | None:
    """place, masks, fed_back and weights, each mask as a tuple, which torch.compile knows to be constant."""
    if noise is None:
        return None
    of_h, of_R = [None if mask is None else tuple(mask) for mask in (noise.fed_back, noise.weights)]
    return noise.place, tuple([tuple(mask) for mask in noise.masks]), of_h, of_R


@cache
def _from_json(options: str) -> tuple[str, Layout]:
    """The inverse of `_as_json`: the cell's name, and the layout without its tensors."""
    found = json.loads(options)
    cell, masks = found.pop("cell"), found.pop("noise", None)
    layout = Layout(**found)
    if masks is None:
        return cell, layout
    place, of_cell, of_h, of_R = masks
    fed_back, weights = (None if mask is None else Mask(*mask) for mask in (of_h, of_R))
    return cell, layout._replace(noise=Noise(None, place, tuple([Mask(*mask) for mask in of_cell]), fed_back, weights))


# ---- what the operators compute --------------------------------------------------------------------------------------


def _sequence(tensors, names, options, padding, keep):
    """y, the final states [B, .], what is returned of every step; and with `keep` what the backward reads: what the
    kernel has saved, and y again, for the caller may change the first.
    """
    call = SequenceCall.of(tensors, names, options, padding)
    kernel, plan = _planned(call)
    if not call.x.numel():
        return _without_steps(call, _sequence_fake(tensors, names, options, padding, keep))
    y, final, shown, kept = forward(
        plan, kernel, call.x, call.states, call.weights, call.layout, keep, call.restored, blank=True
    )
    return [y, *final, *shown] if kept is None else [copied_when_written(y), *final, *shown, kept, y]


def _without_steps(call, outputs):
    """The outputs where there is no step at all: the states are those before."""
    for k, final in enumerate(outputs[1 : 1 + len(call.kernel.cell.states)]):
        final.copy_(call.states[k]) if call.states else final.zero_()
    return outputs


def _planned(call):
    """The kernel and the plan of a call, which is checked here: what was traced could look at no number."""
    kernel, layout = call.kernel, call.layout
    return kernel, checked_plan(kernel, call.x, call.states, call.weights, layout, call.restored, False)


def _sequence_fake(tensors, names, options, padding, keep):
    call = SequenceCall.of(tensors, names, options, padding)
    x, layout, kernel = call.x, call.layout, call.kernel
    I, H = x.shape[-1], call.weights.W.shape[0] // len(kernel.cell.from_x)
    P, B = H if call.weights.P is None else call.weights.P.shape[0], _batch(call)
    outputs = [x.new_empty(*x.shape[:-1], P)]
    outputs += [x.new_empty(B, H if k else P) for k in range(len(kernel.cell.states))]
    outputs += [x.new_empty(*x.shape[:-1], H) for _ in range(kernel.shown(layout))]
    if keep:
        rows = x.shape[0] if layout.is_flat else x.shape[0] * x.shape[1]
        kept = sum(kernel.kept_parts(H, I, call.weights.P is not None, layout))
        outputs += [x.new_empty(rows * kept), torch.empty_like(outputs[0])]
    return outputs


def _batch(call):
    """B; of flat x, whose rows are numbers that no graph knows, that of the states, which are given then."""
    return call.states[0].shape[0] if call.layout.is_flat else call.layout.batch(call.x)


def _sequence_backward(tensors, names, options, padding, outputs, given, wanted):
    """The gradients of the tensors that are wanted.

    outputs: y, kept, what was returned of every step; then the gradients of the outputs that `given` says have one.
    """
    call = SequenceCall.of(tensors, names, options, padding)
    kernel, plan = _planned(call)
    n_states, n_shown = len(kernel.cell.states), kernel.shown(call.layout)
    y, kept, *rest = outputs
    gradients = iter(rest[n_shown:])
    dy, *d_rest = [next(gradients) if there else None for there in given]
    saved, d_outputs = (y, kept, rest[:n_shown]), (dy, d_rest[:n_states], d_rest[n_states:])
    found = backward(
        plan,
        kernel,
        call.x,
        call.states,
        call.weights,
        call.layout,
        *saved,
        *d_outputs,
        _for_all(call, wanted),
        call.restored,
    )
    return [d for d in found if d is not None]


def _for_all(call, wanted):
    """`wanted` of the tensors that there are, as of all that there may be."""
    wanted = iter(wanted)
    return [t is not None and next(wanted) for _, t in call.tensors]


def _sequence_backward_fake(tensors, names, options, padding, outputs, given, wanted):
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t, want in zip(tensors, wanted) if want]


# ---- autograd --------------------------------------------------------------------------------------------------------


def _setup(ctx, inputs, output):
    tensors, *ctx.options, ctx.keep = inputs
    call = SequenceCall.of(tensors, *ctx.options)
    n_inputs = sum(t is not None for _, t in call.tensors)
    # needs_input_grad says nothing of the tensors inside a list
    ctx.wanted, ctx.n_tensors = [t.requires_grad for t in tensors[:n_inputs]], len(tensors)
    ctx.save_for_backward(*tensors, *(_saved(call, output) if ctx.keep else []))


def _saved(call, output):
    """What the backward pass reads of the outputs with `keep`: y, kept, and what was returned of every step."""
    *others, kept, y = output
    return y, kept, *others[1 + len(call.kernel.cell.states) :]


def _differentiate(ctx, gradients):
    tensors, saved = ctx.saved_tensors[: ctx.n_tensors], ctx.saved_tensors[ctx.n_tensors :]
    call = SequenceCall.of(tensors, *ctx.options)
    gradients = gradients[: 1 + len(call.kernel.cell.states) + call.kernel.shown(call.layout)]
    if torch.is_grad_enabled() or is_transformed(gradients):
        found = _by_scan(call, gradients, ctx.wanted)
    else:
        if not ctx.keep:  # a program that was exported without gradients, and is trained
            saved = _saved(call, torch.ops.carrousel.sequence(list(tensors), *ctx.options, True))
        given = [d is not None for d in gradients]
        arguments = (list(tensors), *ctx.options, [*saved, *(d for d in gradients if d is not None)])
        found = torch.ops.carrousel.sequence_backward(*arguments, given, ctx.wanted)
    found = iter(found)
    of_inputs = [next(found) if want else None for want in ctx.wanted]
    return of_inputs + [None] * (ctx.n_tensors - len(of_inputs)), None, None, None, None


def _by_scan(call, gradients, wanted):
    """The gradients that are wanted, which can be differentiated again."""
    dy, *d_rest = gradients
    n_states, kernel = len(call.kernel.cell.states), call.kernel
    d_outputs = dy, d_rest[:n_states], kernel.by_name(call.layout, d_rest[n_states:])
    inputs, wanted = (call.x, call.states, call.weights, call.restored), _for_all(call, wanted)
    found = gradients_by_scan(kernel.cell, call.layout, False, *inputs, d_outputs, wanted)
    return [d for d, want in zip(found, wanted) if want]


if KERNELS:
    GIVEN = "Tensor[] tensors, str names, str options, float padding_value"
    torch.library.define("carrousel::sequence", f"({GIVEN}, bool keep) -> Tensor[]")
    torch.library.define(
        "carrousel::sequence_backward", f"({GIVEN}, Tensor[] outputs, bool[] given, bool[] wanted) -> Tensor[]"
    )
    torch.library.impl("carrousel::sequence", "CPU", _sequence)
    torch.library.impl("carrousel::sequence_backward", "CPU", _sequence_backward)
    torch.library.register_fake("carrousel::sequence", _sequence_fake)
    torch.library.register_fake("carrousel::sequence_backward", _sequence_backward_fake)
    torch.library.register_autograd("carrousel::sequence", _differentiate, setup_context=_setup)
