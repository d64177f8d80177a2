"""The kernels as torch's custom operators, for torch.compile, torch.export, torch.jit.trace and tensor subclasses:
carrousel::sequence and carrousel::sequence_backward. Eager code does not pass here: the dispatcher would cost a small
sequence more than the kernel takes.

A call is one list of tensors, the name of each, and its options as JSON. One list, because AOTInductor takes no list
that is empty, and because autograd then gives one list of gradients back. padding_value stands apart: a graph may hold
it as a number that changes from call to call.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carrousel.fused.autograd import copied_when_written, differentiate_scan, is_transformed
from carrousel.fused.call import call_backward, call_forward
from carrousel.fused.kernels import KERNELS, Kernel
from carrousel.fused.plan import find_plan
from carrousel.scan.constant import mark_constant
from carrousel.scan.masks import Mask, Masks
from carrousel.scan.options import Options
from carrousel.scan.rows import Rows
from carrousel.scan.weights import Weights

OPS = ("sequence", "sequence_backward") if KERNELS else ()  # in torch.ops.carrousel

# The fields that are tensors of the call, and those that are plain values, which go into the JSON.
OF_ROWS, OF_MASKS = ("batch_sizes", "lengths", "offsets", "resets"), ("seed", "row_numbers")
PLAIN_OF_ROWS, PLAIN_OF_OPTIONS = ("batch_first", "reverse"), ("states", "gates", "memory", "bfloat16")


class SequenceCall(NamedTuple):
    """The arguments of a call, as `fused` takes them."""

    cell: str
    x: Tensor
    states: tuple[Tensor, ...]  # () for zeros
    weights: Weights
    restored: tuple[Tensor, ...]  # () for zeros
    rows: Rows
    options: Options

    @property
    def kernel(self) -> Kernel:
        """The kernel that runs it."""
        return KERNELS[self.cell, self.x.dtype]

    @property
    def differentiable(self) -> list[tuple[str, Tensor | None]]:
        """The tensors that may need a gradient, named, in the order in which the kernels return gradients."""
        states = [("state", state) for state in self.states]
        restored = [("restored", state) for state in self.restored]
        return [("x", self.x), *states, *zip(Weights._fields, self.weights), *restored]

    @property
    def constant(self) -> list[tuple[str, Tensor | None]]:
        """The tensors of rows and masks, named."""
        masks = self.options.masks or Masks()
        return [(n, getattr(self.rows, n)) for n in OF_ROWS] + [(n, getattr(masks, n)) for n in OF_MASKS]

    def arguments(self) -> tuple[list[Tensor], str, str, float]:
        """What the operators take: the tensors, their names, the options as JSON, and padding_value."""
        given = [(name, t) for name, t in (*self.differentiable, *self.constant) if t is not None]
        of_rows = tuple([getattr(self.rows, n) for n in PLAIN_OF_ROWS])
        of_options = tuple([getattr(self.options, n) for n in PLAIN_OF_OPTIONS])
        options = _to_json(self.cell, of_rows, of_options, _as_tuples(self.options.masks))
        return [t for _, t in given], " ".join([name for name, _ in given]), options, self.rows.padding_value

    @classmethod
    def of(cls, tensors: Sequence[Tensor], names: str, options: str, padding_value: float) -> SequenceCall:
        """The call with these arguments."""
        by_name: dict[str, Any] = {"state": [], "restored": []}
        for name, tensor in zip(names.split(" "), tensors, strict=True):
            if name in ("state", "restored"):
                by_name[name].append(tensor)
            else:
                by_name[name] = tensor
        cell, rows, asked = _from_json(options)
        rows = rows._replace(padding_value=padding_value, **{name: by_name.get(name) for name in OF_ROWS})
        if asked.masks is not None:
            masks = asked.masks._replace(**{name: by_name.get(name) for name in OF_MASKS})
            asked = asked._replace(masks=masks)
        weights = Weights(*[by_name.get(name) for name in Weights._fields])  # type: ignore[arg-type]
        return cls(cell, by_name["x"], tuple(by_name["state"]), weights, tuple(by_name["restored"]), rows, asked)


@mark_constant  # a graph would hold the encoder
def _to_json(cell: str, of_rows: tuple[Any, ...], of_options: tuple[Any, ...], masks: tuple[Any, ...] | None) -> str:
    """The plain values of a call as JSON."""
    rows, options = dict(zip(PLAIN_OF_ROWS, of_rows)), dict(zip(PLAIN_OF_OPTIONS, of_options))
    return json.dumps({"cell": cell, "rows": rows, "options": options, "masks": masks})


def _as_tuples(masks: Masks | None) -> tuple[Any, ...] | None:
    """place, of_cell, fed_back and of_weights, each mask as a tuple, which torch.compile knows to be constant."""
    if masks is None:
        return None
    of_h, of_R = [None if mask is None else tuple(mask) for mask in (masks.fed_back, masks.of_weights)]
    return masks.place, tuple([tuple(mask) for mask in masks.of_cell]), of_h, of_R


@cache
def _from_json(text: str) -> tuple[str, Rows, Options]:
    """The inverse of `_to_json`: the cell's name, and rows and options without their tensors."""
    found = json.loads(text)
    rows, options = Rows(**found["rows"]), Options(**found["options"])
    if found["masks"] is None:
        return found["cell"], rows, options
    place, of_cell, *others = found["masks"]
    fed_back, of_weights = (None if mask is None else Mask(*mask) for mask in others)
    masks = Masks(None, place, tuple([Mask(*mask) for mask in of_cell]), fed_back, of_weights)
    return found["cell"], rows, options._replace(masks=masks)


# ---- what the operators compute --------------------------------------------------------------------------------------


def _sequence(tensors, names, options, padding, keep):
    """y, the final states [B, .], and what is returned of every step; with `keep` also what the backward pass reads:
    what the kernel saved, and y again, because the caller may change the first.
    """
    call = SequenceCall.of(tensors, names, options, padding)
    kernel, plan = call.kernel, _plan(call)
    if not call.x.numel():
        return _copy_states(call, _sequence_fake(tensors, names, options, padding, keep))
    y, final, inside, saved = call_forward(
        plan,
        kernel,
        call.x,
        call.states,
        call.weights,
        call.rows,
        call.options,
        call.restored,
        save=keep,
        zero_fill=True,
    )
    return [y, *final, *inside] if saved is None else [copied_when_written(y), *final, *inside, saved, y]


def _copy_states(call, outputs):
    """The outputs where there are no steps: the final states are the initial ones."""
    for k, final in enumerate(outputs[1 : 1 + len(call.kernel.cell.states)]):
        final.copy_(call.states[k]) if call.states else final.zero_()
    return outputs


def _plan(call):
    """The plan of a call, which is checked here: the numbers of lengths and offsets are unknown while it is traced."""
    return find_plan(call.kernel, call.x, call.states, call.weights, call.rows, call.options, call.restored, False)


def _sequence_fake(tensors, names, options, padding, keep):
    call = SequenceCall.of(tensors, names, options, padding)
    x, kernel = call.x, call.kernel
    I, H = x.shape[-1], call.weights.W.shape[0] // len(kernel.cell.from_x)
    P, B = H if call.weights.P is None else call.weights.P.shape[0], _batch_of(call)
    outputs = [x.new_empty(*x.shape[:-1], P)]
    outputs += [x.new_empty(B, H if k else P) for k in range(len(kernel.cell.states))]
    outputs += [x.new_empty(*x.shape[:-1], H) for _ in range(kernel.count_inside(call.options))]
    if keep:
        pairs = x.shape[0] if call.rows.is_flat else x.shape[0] * x.shape[1]
        saved = sum(kernel.saved_sizes(H, I, call.weights.P is not None, call.options))
        outputs += [x.new_empty(pairs * saved), torch.empty_like(outputs[0])]
    return outputs


def _batch_of(call):
    """B; for flat x, whose rows no graph knows, that of the states, which are given then."""
    return call.states[0].shape[0] if call.rows.is_flat else call.rows.batch(call.x)


def _sequence_backward(tensors, names, options, padding, outputs, given, wanted):
    """The gradients of the tensors that are wanted.

    outputs: y, what was saved, what was returned of every step; then the gradients of those outputs that `given` marks.
    """
    call = SequenceCall.of(tensors, names, options, padding)
    kernel, plan = call.kernel, _plan(call)
    n_states, n_inside = len(kernel.cell.states), kernel.count_inside(call.options)
    y, saved, *rest = outputs
    gradients = iter(rest[n_inside:])
    dy, *d_rest = [next(gradients) if there else None for there in given]
    found = call_backward(
        plan,
        kernel,
        call.x,
        call.states,
        call.weights,
        call.rows,
        call.options,
        call.restored,
        (y, saved, rest[:n_inside]),
        (dy, d_rest[:n_states], d_rest[n_states:]),
        _for_all(call, wanted),
    )
    return [d for d in found if d is not None]


def _for_all(call, wanted):
    """`wanted`, which is of the tensors that are given, for all differentiable tensors."""
    wanted = iter(wanted)
    return [t is not None and next(wanted) for _, t in call.differentiable]


def _sequence_backward_fake(tensors, names, options, padding, outputs, given, wanted):
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t, want in zip(tensors, wanted) if want]


# ---- autograd --------------------------------------------------------------------------------------------------------


def _setup(ctx, inputs, output):
    tensors, *ctx.options, ctx.keep = inputs
    call = SequenceCall.of(tensors, *ctx.options)
    n_inputs = sum(t is not None for _, t in call.differentiable)
    # needs_input_grad says nothing of the tensors inside a list
    ctx.wanted, ctx.n_tensors = [t.requires_grad for t in tensors[:n_inputs]], len(tensors)
    ctx.save_for_backward(*tensors, *(_select_saved(call, output) if ctx.keep else []))


def _select_saved(call, output):
    """What the backward pass reads of the outputs with `keep`: y, what was saved, what was returned of every step."""
    *others, saved, y = output
    return y, saved, *others[1 + len(call.kernel.cell.states) :]


def _differentiate(ctx, gradients):
    tensors, saved = ctx.saved_tensors[: ctx.n_tensors], ctx.saved_tensors[ctx.n_tensors :]
    call = SequenceCall.of(tensors, *ctx.options)
    gradients = gradients[: 1 + len(call.kernel.cell.states) + call.kernel.count_inside(call.options)]
    if torch.is_grad_enabled() or is_transformed(gradients):
        found = _differentiate_scan(call, gradients, ctx.wanted)
    else:
        if not ctx.keep:  # the program was exported without gradients and is trained now
            saved = _select_saved(call, torch.ops.carrousel.sequence(list(tensors), *ctx.options, True))
        given = [d is not None for d in gradients]
        arguments = (list(tensors), *ctx.options, [*saved, *(d for d in gradients if d is not None)])
        found = torch.ops.carrousel.sequence_backward(*arguments, given, ctx.wanted)
    found = iter(found)
    of_inputs = [next(found) if want else None for want in ctx.wanted]
    return of_inputs + [None] * (ctx.n_tensors - len(of_inputs)), None, None, None, None


def _differentiate_scan(call, gradients, wanted):
    """The gradients that are wanted; they can be differentiated again."""
    dy, *d_rest = gradients
    n_states, kernel = len(call.kernel.cell.states), call.kernel
    d_outputs = dy, d_rest[:n_states], kernel.name_inside(call.options, d_rest[n_states:])
    inputs, wanted = (call.x, call.states, call.weights, call.restored), _for_all(call, wanted)
    found = differentiate_scan(kernel.cell, *inputs, call.rows, call.options, False, d_outputs, wanted)
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
