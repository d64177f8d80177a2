"""The network: each window and target by itself, with shared weights.

    x - shift                      the last value or the mean of the window; then the window's scale, if that is wanted
    -> segments of N steps         linear, ReLU (segments of one step: as they are)
    -> recurrent layers            h after the last segment, and the numbers that describe the series
    -> dropout -> linear           the mean of all M steps at once, and the distance of each quantile from it
     + linear of the window        a direct way from each step that is read to each that is predicted
     + what is known for the future, step by step through a small network

Letters: B windows, C targets, R = B C rows, L steps that are read, M steps that are predicted, F columns, K of them
known for the future, S numbers that describe a series, H hidden units, Q quantiles.

Segments and direct prediction of all steps: Lin et al. 2023, "SegRNN: Segment Recurrent Neural Network for Long-Term
Time Series Forecasting". Taking the last value away and a linear way: Zeng et al. 2023, "Are Transformers Effective
for Time Series Forecasting?".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from carrousel.errors import UserError
from carrousel.tasks.forecasting.static import count_static
from carrousel.tasks.forecasting.windows import Inputs
from carrousel.tasks.network import MOST, NetworkOptions, new_layers
from carrousel.training.options import MODEL, WEIGHTS, option

SMALLEST = 1e-2  # deviation of a window, of that of the training data, below which it is not scaled up further
FIRST_SPREAD = 0.5  # deviation of the errors that the quantiles are those of before training, in normal distribution


def take_last(x: Tensor) -> Tensor:
    """The last value of each window [R, 1]."""
    return x[:, -1:]


def take_mean(x: Tensor) -> Tensor:
    """The mean of each window [R, 1]."""
    return x.mean(1, keepdim=True)


def take_nothing(x: Tensor) -> Tensor:
    """Zeros [R, 1]."""
    return torch.zeros_like(x[:, :1])


SHIFTS: dict[str, Callable[[Tensor], Tensor]] = {"last": take_last, "mean": take_mean, "none": take_nothing}
SMALL, LARGE, MANY = 32, 128, 1000  # units of a layer, and the training windows from which on it is the larger number
LOSSES = {"mse": "se", "mae": "ae", "huber": "huber"}  # and the name of their sum in `Errors`
Self = TypeVar("Self", bound="ForecasterOptions")


@dataclass(frozen=True)
class ForecasterOptions(NetworkOptions):
    """The options of a network that forecasts."""

    hidden: int | None = option(  # type: ignore[assignment]
        None,
        f"Units of a layer (H) (default: {LARGE}, below {MANY:,} training windows {SMALL}).",
        MODEL,
        **MOST,
        enlarges=WEIGHTS,
    )
    layers: int = option(1, "Recurrent layers.", MODEL, **MOST, enlarges=WEIGHTS)
    dropout: float | None = option(
        0.3, "Dropout of each layer's outputs.", MODEL, least=0, below=1, range="at least 0 and below 1"
    )
    segment: int | None = option(
        None, "Steps that the recurrent layers read at a time (default: a part of a season).", MODEL, least=1
    )
    remove: str = option("last", f"What is taken away from each window: {', '.join(SHIFTS)}.", MODEL, choices=SHIFTS)
    rescale: bool = option(False, "Divide each window by its deviation: for series of very different sizes.", MODEL)
    no_linear: bool = option(
        False, "Leave out the linear way from each step that is read to each that is predicted.", MODEL
    )
    quantiles: str = option("0.1,0.5,0.9", "Quantiles to predict beside the mean, with commas between.", MODEL)
    loss: str = option("huber", f"Loss of the forecast: {', '.join(LOSSES)}.", MODEL, choices=LOSSES)

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open."""
        parse_quantiles(self.quantiles)
        return replace(super().complete())

    def sizes(self, enlarges: str) -> dict[str, int]:
        """The options, by name, that enlarge the weights or a step, without those that the data decide."""
        return {name: size for name, size in super().sizes(enlarges).items() if size is not None}


def choose_hidden(hidden: int | None, windows: int) -> int:
    """The units of a layer: those that were given, or fewer for few windows to train on."""
    return hidden or (LARGE if windows >= MANY else SMALL)


def parse_quantiles(text: str) -> tuple[float, ...]:
    """Quantiles in increasing order.

    Raises:
        UserError: one is not a number between 0 and 1, or stands there twice.
    """
    try:
        found = tuple(float(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        found = (2.0,)
    if not all(0 < quantile < 1 for quantile in found) or len(set(found)) != len(found):
        raise UserError(
            f"--quantiles {text!r} is not allowed: give different numbers between 0 and 1, with commas between, for "
            "example 0.1,0.5,0.9"
        )
    return tuple(sorted(found))


class Forecaster(nn.Module):
    """Predicts the targets of the next steps.

    Args:
        facts: `Data.facts`: names of the columns, and sizes.
        options: complete.
    """

    def __init__(self, facts: dict[str, Any], options: ForecasterOptions) -> None:
        super().__init__()
        C, K, H = len(facts["targets"]), len(facts["known"]), facts["hidden"]
        self.horizon: int = facts["horizon"]
        self.segment: int = facts["segment"]
        self.targets: int = C
        self.quantiles: tuple[float, ...] = parse_quantiles(options.quantiles)
        self.shift: Callable[[Tensor], Tensor] = SHIFTS[options.remove]
        self.rescale: bool = options.rescale
        self.kind: str = options.loss
        inputs = self.segment * (1 + K + len(facts["others"]))
        width = H if self.segment > 1 else inputs
        self.embed: nn.Module = nn.Sequential(nn.Linear(inputs, H), nn.ReLU()) if self.segment > 1 else nn.Identity()
        self.recurrent: nn.Module = new_layers(replace(options, hidden=H), width)
        self.dropout: nn.Dropout = nn.Dropout(options.dropout or 0.0)
        features = H + count_static(facts["static"])
        self.head: nn.Linear = nn.Linear(features, self.horizon)
        self.quantile_head: nn.Linear | None = None
        if self.quantiles:
            self.quantile_head = nn.Linear(features, self.horizon * len(self.quantiles))
            nn.init.zeros_(self.quantile_head.weight)
            start = [FIRST_SPREAD * NormalDist().inv_cdf(level) for level in self.quantiles]
            with torch.no_grad():
                self.quantile_head.bias.copy_(torch.tensor(start).repeat(self.horizon))
        self.direct: nn.Linear | None = None
        if not options.no_linear:
            self.direct = nn.Linear(facts["window"], self.horizon, bias=False)
            nn.init.zeros_(self.direct.weight)
        self.ahead: nn.Module | None = None
        if K:
            self.ahead = nn.Sequential(nn.Linear(features + K, H), nn.ReLU(), nn.Linear(H, 1))

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Forecast some windows.

        Returns:
            The mean [B, M, C], and the quantiles [B, M, C, Q], in increasing order in evaluation mode; both scaled as
            the inputs are.
        """
        B, C, Q = len(inputs.past), self.targets, len(self.quantiles)
        x = inputs.past[:, :, :C].transpose(1, 2).flatten(0, 1)  # [R, L]
        shift = self.shift(x)
        x = x - shift
        scale = (x.var(1, correction=0, keepdim=True) + SMALLEST**2).sqrt() if self.rescale else torch.ones_like(shift)
        x = x / scale
        h = torch.cat([self.read(x, inputs.past[:, :, C:]), inputs.static.repeat_interleave(C, 0)], 1)
        h = self.dropout(h)
        mean = self.head(h)
        if self.direct is not None:
            mean = mean + self.direct(x)
        if self.ahead is not None:
            mean = mean + self.look_ahead(h, inputs.known)
        mean = mean * scale + shift
        quantiles = mean.detach()[..., None].expand(-1, -1, Q)
        if self.quantile_head is not None:  # it learns from the features of the mean, and does not change them
            quantiles = quantiles + self.quantile_head(h.detach()).view(quantiles.shape) * scale[..., None]
        if not self.training:
            quantiles = quantiles.sort(-1).values
        return mean.view(B, C, -1).transpose(1, 2), quantiles.reshape(B, C, self.horizon, Q).transpose(1, 2)

    def read(self, x: Tensor, others: Tensor) -> Tensor:
        """The state of the last layer after the window [R, H].

        Args:
            x: each target of each window [R, L].
            others: the columns that are not predicted [B, L, F - C].
        """
        steps = x[:, :, None]
        if others.shape[2]:
            steps = torch.cat([steps, others.repeat_interleave(self.targets, 0)], 2)
        segments = steps.reshape(len(x), -1, self.segment * steps.shape[2]).transpose(0, 1)
        _, hx = self.recurrent(self.embed(segments.contiguous()))
        return (hx if isinstance(hx, Tensor) else hx[0])[-1]

    def look_ahead(self, h: Tensor, known: Tensor) -> Tensor:
        """What the columns that are known for the future add to each step [R, M].

        Args:
            h: the features of each row [R, H + S].
            known: of each window [B, M, K].
        """
        assert self.ahead is not None
        steps = known.repeat_interleave(self.targets, 0)
        rows = torch.cat([h[:, None].expand(-1, self.horizon, -1), steps], 2)
        return self.ahead(rows)[:, :, 0]
