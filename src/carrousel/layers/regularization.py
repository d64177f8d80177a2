"""Regularisation of recurrent layers by random masks: recurrent and variational dropout, zoneout, DropConnect.

Recurrent dropout and zoneout are masks of the cells (carrousel.cells.regularized), sampled at each step. Variational
dropout multiplies x, and the h that R multiplies, by one mask for all steps of a sequence; DropConnect multiplies
weight_hh by one for a whole call. A dropout divides the rest by 1 - p, so that the mean stays the same.

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

# The cells with masks, by the name of the plain cell.
REGULARIZED = {"lstm": ALL["regularized_lstm"], "gru": ALL["regularized_gru"]}


class Regularization(NamedTuple):
    """The probabilities of a layer's masks; pairs are of x and h, and of c and h."""

    recurrent_dropout: float = 0.0
    variational_dropout: tuple[float, float] = (0.0, 0.0)
    zoneout: tuple[float, float] = (0.0, 0.0)
    drop_connect: float = 0.0

    def choose_cell(self, plain: Cell, training: bool) -> Cell:
        """The cell to run: the plain one if it needs no masks of its own."""
        has_masks = any(self.zoneout) or (training and self.recurrent_dropout)
        return REGULARIZED[plain.name] if has_masks else plain

    def describe(self) -> list[str]:
        """The options for repr: those that are not zero; two equal numbers as one."""
        options = [(name, value) for name, value in self._asdict().items() if value not in (0.0, (0.0, 0.0))]
        return [f"{name}={v[0] if isinstance(v, tuple) and v[0] == v[1] else v}" for name, v in options]


class LayerMasks(NamedTuple):
    """How to sample the masks of a layer; None: no mask."""

    of_cell: tuple[Mask, ...]
    of_x: Mask | None
    fed_back: Mask | None
    of_weights: Mask | None


@mark_constant  # otherwise dynamo looks past the cache, and warns of it
def make_masks(rates: Regularization, cell: str, training: bool) -> LayerMasks:
    """How to sample the masks of a layer that runs this cell: in evaluation, those of the cell are their means."""
    return _make_masks(rates, cell, training)


@cache  # making them takes a noticeable part of a small network's time
def _make_masks(rates: Regularization, cell: str, training: bool) -> LayerMasks:
    zoneout = zoneout_mask if training else constant_mask
    by_name = {
        "candidate": dropout_mask(rates.recurrent_dropout if training else 0.0),
        "zoneout_c": zoneout(rates.zoneout[0]),
        "zoneout_h": zoneout(rates.zoneout[1]),
    }
    dropouts = (*rates.variational_dropout, rates.drop_connect)
    others = [dropout_mask(rate) if training and rate else None for rate in dropouts]
    return LayerMasks(tuple(by_name[name] for name, _ in ALL[cell].masks), *others)


class CallMasks(NamedTuple):
    """The random masks of one call of a layer."""

    rates: Regularization
    plain: Cell  # the layer's
    cell: Cell  # the one to run
    training: bool
    seed: Tensor | None
    rows: Tensor | None  # [B] the caller's rows of a packed batch, int64

    def mask(self, place: int, x: Tensor, rows: Rows) -> tuple[Tensor, Masks]:
        """Mask the input of a layer and direction, the place-th of L*D; return it, and the other masks."""
        masks, of_x, fed_back, of_weights = make_masks(self.rates, self.cell.name, self.training)
        of_call = Masks(self.seed, place, masks, fed_back, of_weights, self.rows)
        x = x if of_x is None else _mask_x(of_call, of_x, x, rows)
        return x, of_call


def make_call_masks(
    layer: str, rates: Regularization | None, plain: Cell, training: bool, seed: Any, rows: Tensor | None
) -> CallMasks | None:
    """The masks of a call of a layer, or None.

    Args:
        layer: the name of its class, for the error message.
        rates: the probabilities of its masks.
        plain: the layer's cell.
        training: its mode.
        seed: of the call, or None for a random one.
        rows: [B] the caller's rows of a packed batch. None: in order.

    Raises:
        TypeError, ValueError: as `make_seed`; or a seed is given to a layer without masks.
    """
    if rates is None:
        if seed is not None:
            raise ValueError(
                f"{layer}: seed={seed} is given, and the layer has no random masks: leave it out, or "
                "make the layer with recurrent_dropout, variational_dropout, zoneout or drop_connect"
            )
        return None
    # In evaluation a seed is checked, but not used: the same call works in both modes.
    sampled = make_seed(seed) if training or seed is not None else None
    cell = rates.choose_cell(plain, training)
    if not training and cell is plain:
        return None
    rows = None if rows is None else rows.to("cpu", torch.int64)
    return CallMasks(rates, plain, cell, training, sampled, rows)


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


def make_seed(seed: Any) -> Tensor:
    """A seed for one call: the caller's, or a random number from torch's default generator.

    Raises:
        TypeError, ValueError: the seed is not an integer of 64 bits.
    """
    if seed is None:
        return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device="cpu")
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise TypeError(f"seed={seed!r} must be an int, or None for a random one from torch's generator")
    if not -(2**63) <= int(seed) < 2**64:
        raise ValueError(f"seed={seed} must have 64 bits: use one from 0 to 2**64 - 1")
    return torch.tensor(wrap_int64(int(seed)), dtype=torch.int64, device="cpu")


def check_rates(
    cell: Cell, proj_size: int, recurrent_dropout: Any, variational_dropout: Any, zoneout: Any, drop_connect: Any
) -> Regularization | None:
    """Check the rates of a layer; return None if all are zero.

    Raises:
        TypeError, ValueError: an option is not a probability below 1 or a pair of them, or does not fit the layer.
    """
    has_c = len(cell.states) > 1
    found = Regularization(
        _check_probability("recurrent_dropout", recurrent_dropout),
        _check_pair("variational_dropout", variational_dropout, "x and h"),
        _check_pair("zoneout", zoneout, "c and h") if has_c else (0.0, _check_probability("zoneout", zoneout)),
        _check_probability("drop_connect", drop_connect),
    )
    if proj_size and found.zoneout[1]:
        raise ValueError(
            f"zoneout={zoneout} of h does not go with proj_size={proj_size}: it keeps units as they are before the "
            "projection, and only the projected h is fed back. Zoneout of c works: "
            f"zoneout=({found.zoneout[0]}, 0)"
        )
    return None if found == Regularization() else found


def _check_pair(name: str, value: Any, of: str) -> tuple[float, float]:
    if not isinstance(value, (tuple, list)):
        value = value, value
    if len(value) != 2:
        raise ValueError(f"{name}={value} has {len(value)} numbers: give one number, or two, for {of}")
    return _check_probability(name, value[0]), _check_probability(name, value[1])


def _check_probability(name: str, value: Any) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r} must be a probability, a number from 0 to less than 1")
    rate = float(value)
    if not 0 <= rate < 1:  # also false for a NaN
        raise ValueError(f"{name}={value} must be a probability, from 0 to less than 1")
    return rate
