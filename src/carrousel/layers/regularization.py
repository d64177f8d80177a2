"""Regularisation of recurrent layers by random masks: recurrent and variational dropout, zoneout, DropConnect.

Recurrent dropout and zoneout are masks of the cells (carrousel.cells.regularized), drawn at each step. Variational
dropout multiplies x, and h where R multiplies it, by one mask for all steps of a sequence; DropConnect weight_hh by one
for a whole call. A dropout divides what it leaves by 1 - p, so that its mean stays.

Letters: T time, B batch, I input, H hidden units, P the width of h, L layers, D directions.

@inproceedings{gal2016theoretically,
  author    = {Gal, Yarin and Ghahramani, Zoubin},
  title     = {A Theoretically Grounded Application of Dropout in Recurrent Neural Networks},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2016},
}

@article{merity2017regularizing,
  author  = {Merity, Stephen and Keskar, Nitish Shirish and Socher, Richard},
  title   = {Regularizing and Optimizing {LSTM} Language Models},
  journal = {arXiv preprint arXiv:1708.02182},
  year    = {2017},
}
"""

from __future__ import annotations

import numbers
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from carrousel.cells import ALL, Cell
from carrousel.fused import sample_matrix
from carrousel.scan.constant import mark_constant
from carrousel.scan.masks import INPUT, Mask, Masks, constant_mask, dropout_mask, wrap_int64, zoneout_mask
from carrousel.scan.rows import Rows

# The cells with masks of their own, by the cell that they are without.
REGULARIZED = {"lstm": ALL["regularized_lstm"], "gru": ALL["regularized_gru"]}


class Regularization(NamedTuple):
    """The probabilities of a layer's masks; pairs are of x and h, and of c and h."""

    recurrent_dropout: float = 0.0
    variational_dropout: tuple[float, float] = (0.0, 0.0)
    zoneout: tuple[float, float] = (0.0, 0.0)
    drop_connect: float = 0.0

    def run_by(self, plain: Cell, training: bool) -> Cell:
        """The cell that computes: the plain one where it needs no masks of its own."""
        has_masks = any(self.zoneout) or (training and self.recurrent_dropout)
        return REGULARIZED[plain.name] if has_masks else plain

    def told(self) -> list[str]:
        """What repr shows: all that is not zero; a pair of equals as one."""
        shown = [(name, value) for name, value in self._asdict().items() if value not in (0.0, (0.0, 0.0))]
        return [f"{name}={v[0] if isinstance(v, tuple) and v[0] == v[1] else v}" for name, v in shown]


class LayerMasks(NamedTuple):
    """How the masks of a layer are drawn; None: not at all."""

    of_cell: tuple[Mask, ...]
    of_x: Mask | None
    fed_back: Mask | None
    of_weights: Mask | None


@mark_constant  # dynamo would look past the cache, and warn of it
def masks_of(rates: Regularization, cell: str, training: bool) -> LayerMasks:
    """The masks of a layer whose sequences that cell computes: in evaluation each of the cell's is its mean."""
    return _masks_of(rates, cell, training)


@cache  # a small network would feel the time that they take to make
def _masks_of(rates: Regularization, cell: str, training: bool) -> LayerMasks:
    zoneout = zoneout_mask if training else constant_mask
    by_name = {
        "candidate": dropout_mask(rates.recurrent_dropout if training else 0.0),
        "zoneout_c": zoneout(rates.zoneout[0]),
        "zoneout_h": zoneout(rates.zoneout[1]),
    }
    dropouts = (*rates.variational_dropout, rates.drop_connect)
    others = [dropout_mask(rate) if training and rate else None for rate in dropouts]
    return LayerMasks(tuple(by_name[name] for name, _ in ALL[cell].masks), *others)


class Draw(NamedTuple):
    """What one call of a layer draws."""

    of: Regularization
    plain: Cell  # the layer's
    cell: Cell  # which computes
    training: bool
    seed: Tensor | None
    rows: Tensor | None  # [B] the caller's rows of a packed batch, int64

    def at(self, place: int, x: Tensor, rows: Rows) -> tuple[Tensor, Masks]:
        """What goes into a layer and direction, by its place among the L*D: x masked, and the other masks."""
        masks, of_x, fed_back, of_weights = masks_of(self.of, self.cell.name, self.training)
        of_call = Masks(self.seed, place, masks, fed_back, of_weights, self.rows)
        x = x if of_x is None else _mask_x(of_call, of_x, x, rows)
        return x, of_call


def draw_of_call(
    layer: str, rates: Regularization | None, plain: Cell, training: bool, seed: Any, rows: Tensor | None
) -> Draw | None:
    """The masks of a call of a layer, where it has any.

    Args:
        layer: its class, for the error message.
        rates: what is drawn.
        plain: the layer's cell.
        training: its mode.
        seed: of the call, or None to draw one.
        rows: [B] the caller's rows of a packed batch. None: as they stand.

    Raises:
        TypeError, ValueError: as `seed_of`; or a seed is given, and there is nothing to draw.
    """
    if rates is None:
        if seed is not None:
            raise ValueError(
                f"{layer}: seed={seed} is given, and the layer has no random masks: leave it out, or "
                "make the layer with recurrent_dropout, variational_dropout, zoneout or drop_connect"
            )
        return None
    # In evaluation a seed is looked at, but not used: a call need not know in which mode the layer is.
    drawn = seed_of(seed) if training or seed is not None else None
    cell = rates.run_by(plain, training)
    if not training and cell is plain:
        return None
    rows = None if rows is None else rows.to("cpu", torch.int64)
    return Draw(rates, plain, cell, training, drawn, rows)


def _mask_x(masks: Masks, how: Mask, x: Tensor, rows: Rows) -> Tensor:
    """x with the same units of a row zeroed at each step."""
    mask = sample_matrix(masks, how, INPUT, masks.row_numbers, (rows.batch(x), x.shape[-1]), x)  # [B, I]
    if not rows.is_flat:
        return x * (mask.unsqueeze(1) if rows.batch_first else mask)
    if rows.offsets is not None:
        row_of = torch.repeat_interleave(rows.offsets.diff())
    else:
        assert rows.batch_sizes is not None
        row_of = torch.cat([torch.arange(n) for n in rows.batch_sizes.tolist()])
    return x * mask[row_of.to(x.device)]


def seed_of(seed: Any) -> Tensor:
    """A seed for one call: the caller's, or a number of torch's default generator.

    Raises:
        TypeError, ValueError: it is no whole number of 64 bits.
    """
    if seed is None:
        return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device="cpu")
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise TypeError(f"seed={seed!r} must be an int, or None to draw one from torch's generator")
    if not -(2**63) <= int(seed) < 2**64:
        raise ValueError(f"seed={seed} must have 64 bits: take one from 0 to 2**64 - 1")
    return torch.tensor(wrap_int64(int(seed)), dtype=torch.int64, device="cpu")


def check_rates(
    cell: Cell, proj_size: int, recurrent_dropout: Any, variational_dropout: Any, zoneout: Any, drop_connect: Any
) -> Regularization | None:
    """The options of a layer, checked; None where all are zero.

    Raises:
        TypeError, ValueError: an option is no probability below 1 or pair of them, or does not go with the layer.
    """
    has_c = len(cell.states) > 1
    found = Regularization(
        _probability("recurrent_dropout", recurrent_dropout),
        _pair("variational_dropout", variational_dropout, "x and h"),
        _pair("zoneout", zoneout, "c and h") if has_c else (0.0, _probability("zoneout", zoneout)),
        _probability("drop_connect", drop_connect),
    )
    if proj_size and found.zoneout[1]:
        raise ValueError(
            f"zoneout={zoneout} of h does not go with proj_size={proj_size}: it keeps units as they are before the "
            "projection, and only the projected h is carried on. Zoneout of c alone does: "
            f"zoneout=({found.zoneout[0]}, 0)"
        )
    return None if found == Regularization() else found


def _pair(name: str, given: Any, of: str) -> tuple[float, float]:
    if not isinstance(given, (tuple, list)):
        given = given, given
    if len(given) != 2:
        raise ValueError(f"{name}={given} has {len(given)} numbers: give one, or two, of {of}")
    return _probability(name, given[0]), _probability(name, given[1])


def _probability(name: str, given: Any) -> float:
    if not isinstance(given, numbers.Real) or isinstance(given, bool):
        raise TypeError(f"{name}={given!r} must be a probability, a number from 0 to less than 1")
    rate = float(given)
    if not 0 <= rate < 1:  # a NaN is not either
        raise ValueError(f"{name}={given} must be a probability, from 0 to less than 1")
    return rate
