"""The weights of one layer in one direction, and the checks of a call: do all its arguments fit together?

Letters: T time, B batch, I input, H hidden units, P the width of h (H, or the projection's).
"""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from carrousel.cells import Cell
from carrousel.scan.constant import mark_constant
from carrousel.scan.masks import Mask
from carrousel.scan.options import Options, check_memory
from carrousel.scan.rows import Rows, check_rows


class Weights(NamedTuple):
    """The weights of one layer in one direction; blocks of H rows in the order of `cell.from_x` and `cell.from_h`."""

    W: Tensor  # [len(from_x)*H, I]
    R: Tensor  # [len(from_h)*H, P]                  P + H for each further state in cell.fed
    b_x: Tensor | None = None  # [len(from_x)*H]
    b_h: Tensor | None = None  # [len(from_h)*H]
    c: Tensor | None = None  # [len(cell.weights)*H]   one weight a unit (peepholes)
    P: Tensor | None = None  # [P, H]                  h = P h_full


def width_of_h(cell: Cell, weights: Weights) -> int:
    """P."""
    return weights.R.shape[1] - (len(cell.fed) - 1) * (weights.W.shape[0] // len(cell.from_x))


def heads_of(cell: Cell, weights: Weights) -> int:
    """The number of heads N, where each group of H/N units is fed back to itself only: R is [rows*H, H/N]. Else 1."""
    H, width = weights.W.shape[0] // len(cell.from_x), weights.R.shape[1]
    return H // width if width < H and weights.P is None and width else 1


def block_diagonal(R: Tensor, heads: int) -> Tensor:
    """R of N heads [rows*H, H/N] as R of all units [rows*H, H]: zeros between units of different heads."""
    rows, width = R.shape
    of_rows = torch.arange(rows, device=R.device) // width % heads
    same_head = (of_rows[:, None] == torch.arange(heads, device=R.device)).to(R.dtype)
    return (R.unsqueeze(1) * same_head[..., None]).view(rows, heads * width)


def with_all_heads(cell: Cell, weights: Weights) -> Weights:
    """The weights with the R of all units."""
    heads = heads_of(cell, weights)
    return weights if heads == 1 else weights._replace(R=block_diagonal(weights.R, heads))


def check_shapes(
    cell: Cell,
    x: Tensor,
    states: tuple[Tensor, ...],
    weights: Weights,
    rows: Rows,
    options: Options,
    restored: tuple[Tensor, ...] = (),
) -> None:
    """Check the arguments of `scan`.

    Raises:
        ValueError: x is not floating point, or a shape does not fit; the message names the argument.
    """
    check_memory(options.memory)
    if not (x.is_floating_point() or x.is_complex()):
        raise ValueError(f"{cell.name}: x has dtype {x.dtype}, expected floating point: x.float() makes it so")
    blocks, H = len(cell.from_x), weights.W.shape[0] // len(cell.from_x)
    P = H if weights.P is None else weights.P.shape[0]
    _expect(cell, "weights.W", weights.W, blocks * H, weights.W.shape[-1])
    _expect(cell, "weights.R", weights.R, len(cell.from_h) * H, P + (len(cell.fed) - 1) * H)
    _expect(cell, "weights.b_x", weights.b_x, blocks * H)
    _expect(cell, "weights.b_h", weights.b_h, len(cell.from_h) * H)
    _expect(cell, "weights.c", weights.c, len(cell.weights) * H)
    _expect(cell, "weights.P", weights.P, P, H)
    if weights.P is not None and cell.normed:
        raise ValueError(f"{cell.name}: weights.P is given, and a normalised cell cannot be projected")
    masks = () if options.masks is None else options.masks.of_cell
    if len(masks) not in (0, len(cell.masks)):
        raise ValueError(f"{cell.name}: got {len(masks)} masks, the cell has {[name for name, _ in cell.masks]}")
    if weights.P is not None and reads_h(cell, masks):
        raise ValueError(f"{cell.name}: weights.P is given, but the equations use h, which a projection makes narrower")
    if (weights.c is None) == bool(cell.weights):
        raise ValueError(f"{cell.name}: weights.c must be {'given' if cell.weights else 'None'} for this cell")
    B = _check_time(cell, x, weights.W.shape[-1], rows)
    if len(states) != len(cell.states):
        raise ValueError(f"{cell.name}: got {len(states)} states, expected {len(cell.states)}: {cell.states}")
    for kind, given in (("state", states), ("restored", restored)):
        for k, (name, state) in enumerate(zip(cell.states, given)):
            _expect(cell, f"{kind} {name}", state, B, H if k else P)


def _expect(cell: Cell, name: str, tensor: Tensor | None, *shape: int) -> None:
    if tensor is not None and tuple(tensor.shape) != shape:
        raise ValueError(f"{cell.name}: {name} has shape {list(tensor.shape)}, expected {list(shape)}")


def _check_time(cell: Cell, x: Tensor, width: int, rows: Rows) -> int:
    """Check x [T, B, I], [B, T, I] or [N, I], and return B."""
    time = 1 if rows.batch_first else 0
    if not rows.is_flat and (x.dim() != 3 or x.shape[-1] != width or not x.shape[time]):
        order = "[B, T, " if time else "[T, B, "
        raise ValueError(f"{cell.name}: x has shape {list(x.shape)}, expected {order}{width}] with T of 1 or more")
    if rows.batch_sizes is not None:
        sizes = rows.batch_sizes.tolist()
        if not sizes or sizes[-1] < 1 or any(later > earlier for earlier, later in pairwise(sizes)):
            raise ValueError(f"{cell.name}: batch_sizes={sizes} must be positive and never increase")
        _expect(cell, "packed x", x, sum(sizes), width)
    elif rows.is_flat:
        _expect(cell, "x", x, x.shape[0], width)
    check_rows(x, rows)
    return rows.batch(x)


# ---- what may be projected ------------------------------------------------------------------------------------------


@mark_constant  # a graph could not look at the numbers
def reads_h(cell: Cell, masks: tuple[Mask, ...] = ()) -> bool:
    """Whether the equations use h itself, and not only R h: then h cannot be projected to another width."""
    return _reads_h(cell, masks)


@cache
def _reads_h(cell: Cell, masks: tuple[Mask, ...]) -> bool:
    if cell.masks:
        return _masks_show_h(cell, masks)
    # What uses h becomes NaN, or does not fit the other width. To watch the step, as is done for its gates, would miss
    # what torch does not dispatch, such as an autograd.Function.
    zeros, h = torch.zeros(3), torch.full((2,), math.nan)
    further = cell.more_arguments((zeros,) * len(cell.weights))
    try:
        new = cell.step((zeros,) * len(cell.rows), (h, *[zeros] * (len(cell.states) - 1)), *further)
    except RuntimeError:
        return True
    return any(bool(state.isnan().any()) for state in new)


def _masks_show_h(cell: Cell, masks: tuple[Mask, ...]) -> bool:
    """Whether h changes the new states where masks are at an end of their ranges: a mask of 0 may hide it."""
    rows, others, weights = (torch.linspace(0.5, 1, 3),) * len(cell.rows), (torch.ones(3),), (torch.ones(3),)
    ends = [[mask.otherwise for mask in masks], [mask.chosen if mask.threshold else mask.otherwise for mask in masks]]
    for end in ends if masks else [None]:
        further = cell.more_arguments(weights * len(cell.weights), end)
        first, second = (cell.step(rows, (h, *others * (len(cell.states) - 1)), *further) for h in torch.eye(3)[:2])
        if not all(map(torch.equal, first, second)):
            return True
    return False
