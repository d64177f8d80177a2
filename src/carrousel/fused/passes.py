"""The kernels on tensors, forward and backward: tensors in, tensors out, no autograd."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from carrousel.fused.kernels import Kernel, draw
from carrousel.scan.layout import Layout
from carrousel.scan.noise import MASKS, Mask, Noise
from carrousel.scan.weights import Weights

# numbers between tensors that are written at the same places: equal addresses modulo 4096 fall on each other
SPACING = 80


def forward(
    kernel: Kernel,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    layout: Layout,
    keep: bool,
    restored: Sequence[Tensor] = (),
    blank: bool = False,
    room: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor], Tensor | None]:
    """Run a cell over a sequence.

    Args:
        kernel: the cell's, in x's dtype.
        x, states, weights: as `carrousel.scan.scan` takes them, checked.
        layout: where x's rows lie.
        keep: whether a backward pass will follow.
        restored: what resets restore; none is zeros.
        blank: what is kept has room for all of x, zeros where there is no step, and nothing shares memory: a size that
            is known before lengths are, and the very same from a second call.
        room: what y is written into: new memory, or a part of it in the last place. Default: a tensor of its own.

    Returns:
        y; the final states; what the layout asks for of every step, as `Kernel.by_name` takes it; and with `keep` what
        else `backward` needs: all of `Kernel.kept_parts`, one after another.
    """
    x, states, weights, restored, layout = _contiguous(x, states, weights, restored, layout)
    y = x.new_empty(*x.shape[:-1], states[0].shape[-1]) if room is None else room
    sizes = _sizes(kernel, x, states, weights, y, layout)
    B, H, P = sizes[1], sizes[6], sizes[7]
    final = [x.new_empty(B, H if k else P) for k in range(len(states))]
    kept = _space(kernel, x, H, weights, layout, blank) if keep else None
    shown = _room_to_show(kernel, x, H, layout, blank)
    gates, unprojected, history = _addresses_of_parts(kernel, x, H, weights, layout, kept, shown)
    kernel.forward(
        kernel.cell.name,
        sizes,
        _addresses((layout.batch_sizes, x, *weights, layout.lengths, layout.offsets, layout.resets)),
        (y.data_ptr(), gates, unprojected),
        _addresses(states),
        _addresses(restored),
        _addresses(final),
        history,
        layout.padding_value,
        layout.return_states,
        _addresses(_gates(kernel, layout, shown)),
        _noise(layout),
    )
    return y, tuple(final), shown, kept


def backward(
    kernel: Kernel,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Weights,
    layout: Layout,
    y: Tensor,
    kept: Tensor,
    shown: Sequence[Tensor],
    dy: Tensor | None,
    d_final: Sequence[Tensor | None],
    d_shown: Sequence[Tensor | None],
    wanted: Sequence[bool],
    restored: Sequence[Tensor] = (),
) -> list[Tensor | None]:
    """The gradients of (x, *states, *weights, *restored), each where `wanted` says so.

    Args:
        kernel, x, states, weights, layout, restored: as `forward` took them.
        y, kept, shown: what it returned.
        dy, d_final, d_shown: the gradients of y, of the final states and of `shown`; None is zero.
        wanted: whether each of (x, *states, *weights, *restored) needs its gradient.
    """
    x, states, weights, restored, layout = _contiguous(x, states, weights, restored, layout)
    sizes = _sizes(kernel, x, states, weights, y, layout)
    gates, unprojected, history = _addresses_of_parts(kernel, x, sizes[6], weights, layout, kept, shown)
    dy, ld_dy = _rows_in_order(dy)
    d_final, d_shown = ([d if d is None else d.contiguous() for d in given] for given in (d_final, d_shown))
    d_gates = _gates(kernel, layout, d_shown)
    inputs = (x, *states, *weights, *restored)
    gradients = [torch.empty_like(t) if want and t is not None else None for t, want in zip(inputs, wanted)]
    addresses = _addresses(gradients)
    after_states = 1 + len(states)
    after_weights = after_states + len(weights)
    kernel.backward(
        kernel.cell.name,
        sizes,
        _addresses((layout.batch_sizes, x, *weights, layout.lengths, layout.offsets, layout.resets)),
        (y.data_ptr(), gates, unprojected),
        _addresses(states),
        _addresses(restored),
        history,
        (0 if dy is None else dy.data_ptr(), ld_dy),
        _addresses(d_final),
        (addresses[0], *addresses[after_states:after_weights]),
        addresses[1:after_states],
        addresses[after_weights:],
        layout.return_states,
        _addresses(_gates(kernel, layout, shown)),
        (0, *_addresses(d_shown[: len(states) - 1])) if layout.return_states else (),
        () if all(d is None for d in d_gates) else _addresses(d_gates),
        _noise(layout),
    )
    return gradients


def _noise(layout: Layout) -> tuple[Any, ...]:
    """The masks as bindings/module.cpp expects them."""
    noise = layout.noise
    if noise is None:
        return ()
    rows = 0 if noise.rows is None else noise.rows.data_ptr()
    fed_back = None if noise.fed_back is None else _mask(noise.fed_back)
    return _seed(noise.seed), noise.place * MASKS, rows, tuple(map(_mask, noise.masks)), fed_back


def drawn(noise: Noise, mask: Mask, number: int, rows: Tensor | None, shape: Sequence[int], like: Tensor) -> Tensor:
    """`carrousel.scan.noise.draw` at step 0 for a matrix of this shape, in float32 or float64 on the CPU."""
    values = like.new_empty(tuple(shape))
    numbers = 0 if rows is None else rows.data_ptr()
    write = draw(like.dtype)
    write(_mask(mask), _seed(noise.seed), noise.stream(number), *values.shape, numbers, values.data_ptr())
    return values


@cache
def _mask(mask: Mask) -> tuple[int, float, float]:
    return mask.threshold, mask.taken, mask.left


def _seed(seed: Tensor | None) -> int:
    return 0 if seed is None else int(seed) % 2**64


def _gates(kernel: Kernel, layout: Layout, shown: Sequence[Any]) -> Sequence[Any]:
    return shown[len(shown) - len(kernel.kept) :] if layout.return_gates else ()


def _room_to_show(kernel: Kernel, x: Tensor, H: int, layout: Layout, separate: bool) -> list[Tensor]:
    """Tensors [., H] for what is returned of every step: of one block, unless they must be separate.

    A large block is fresh memory, in large pages: small ones in used memory took a quarter of the time at H = 128.
    """
    count = kernel.shown(layout)
    if not count or separate:
        return [x.new_empty(*x.shape[:-1], H) for _ in range(count)]
    shape = (*x.shape[:-1], H)
    size = math.prod(shape)
    block = x.new_empty(count, size + SPACING)
    return [part[:size].view(shape) for part in block.unbind(0)]


def _space(kernel: Kernel, x: Tensor, H: int, weights: Weights, layout: Layout, blank: bool) -> Tensor:
    """Room for every row's steps; if it is to be blank, for all of x."""
    rows, parts = x.numel() // x.shape[-1], sum(kernel.kept_parts(H, x.shape[-1], weights.P is not None, layout))
    if layout.lengths is not None and blank:
        # numpy's zeros cost nothing until they are looked at; torch's are written
        return torch.from_numpy(np.zeros(rows * parts, np.float32 if kernel.single else np.float64))
    return x.new_empty((rows if layout.lengths is None else int(layout.lengths.sum())) * parts)


def _addresses_of_parts(
    kernel: Kernel,
    x: Tensor,
    H: int,
    weights: Weights,
    layout: Layout,
    kept: Tensor | None,
    shown: Sequence[Tensor],
) -> tuple[int, int, tuple[int, ...]]:
    """Where lie the gates, h before the projection, and each state's history; 0 for what is absent."""
    shown_states = (0, *_addresses(shown[: len(kernel.cell.states) - 1])) if layout.return_states else ()
    if kept is None:
        return 0, 0, shown_states
    projected = weights.P is not None
    parts = kernel.kept_parts(H, x.shape[-1], projected, layout)
    rows = kept.numel() // max(sum(parts), 1)
    at = kept.data_ptr()
    starts = []
    for part in parts:
        starts.append(at if part else 0)
        at += part * rows * x.element_size()
    gates, unprojected, *of_states = starts
    history = [0] * len(kernel.cell.states)
    for k, start in zip(kernel.kept_states(projected, layout), of_states):
        history[k] = start
    return gates, unprojected, shown_states or tuple(history)


def _sizes(
    kernel: Kernel, x: Tensor, states: Sequence[Tensor], weights: Weights, y: Tensor, layout: Layout
) -> tuple[int, ...]:
    """T, B, step_stride, row_stride, reverse, I, H, P, ld_y, threads, bfloat16: what bindings/module.cpp expects."""
    H, (B, P) = weights.W.shape[0] // len(kernel.cell.from_x), states[0].shape
    if layout.batch_sizes is not None:
        T, step, row = layout.batch_sizes.shape[0], 0, 0
    elif layout.offsets is not None:
        T, step, row = x.shape[0], 0, 0
    elif layout.batch_first:
        T = x.shape[1]
        step, row = 1, T
    else:
        T, step, row = x.shape[0], B, 1
    rounded, ld_y = int(layout.bfloat16), P if y.is_contiguous() else y.stride(-2)
    return T, B, step, row, int(layout.reverse), x.shape[-1], H, P, ld_y, torch.get_num_threads(), rounded


def _addresses(tensors: Sequence[Tensor | None]) -> tuple[int, ...]:
    return tuple([0 if t is None else t.data_ptr() for t in tensors])


def _contiguous(
    x: Tensor, states: Sequence[Tensor], weights: Weights, restored: Sequence[Tensor], layout: Layout
) -> tuple[Tensor, Sequence[Tensor], Weights, Sequence[Tensor], Layout]:
    ragged = (layout.lengths, layout.offsets, layout.resets)
    for t in (x, *states, *weights, *restored, *ragged):
        if t is not None and not t.is_contiguous():
            rows = [t if t is None else t.contiguous() for t in weights]
            names = ("lengths", "offsets", "resets")
            layout = layout._replace(**{n: t.contiguous() for n, t in zip(names, ragged) if t is not None})
            states, restored = ([s.contiguous() for s in given] for given in (states, restored))
            return x.contiguous(), states, Weights(*rows), restored, layout  # type: ignore[arg-type]
    return x, states, weights, restored, layout


def _rows_in_order(dy: Tensor | None) -> tuple[Tensor | None, int]:
    """dy and the distance between its rows: one direction's half of a bidirectional gradient needs no copy."""
    if dy is None:
        return None, 0
    if dy.is_contiguous():
        return dy, dy.shape[-1]
    *outer, stride, last = dy.stride()
    if last == 1 and stride >= dy.shape[-1] and (not outer or outer[0] == stride * dy.shape[1]):
        return dy, stride
    return dy.contiguous(), dy.shape[-1]
