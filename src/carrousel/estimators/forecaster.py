"""The next steps of series."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from carrousel.data.libraries import load_library
from carrousel.data.scaling import IMPUTE
from carrousel.data.series import Series, read_series
from carrousel.estimators.base import SequenceEstimator
from carrousel.estimators.frames import Form, FrameTable, open_frame
from carrousel.estimators.histories import Continued, continue_series, copy, keep_ends
from carrousel.estimators.isolation import limit_threads, name_parameters, rename_options
from carrousel.tasks.forecast import ForecastTask
from carrousel.tasks.forecasting.evaluate import MODEL, forecast, measure
from carrousel.tasks.forecasting.future import window_future
from carrousel.tasks.forecasting.held_out import HeldOut
from carrousel.tasks.forecasting.model import Forecaster as Network
from carrousel.tasks.forecasting.model import ForecasterOptions
from carrousel.tasks.forecasting.sizes import Sizes, choose_sizes
from carrousel.tasks.forecasting.sources import (
    Plan,
    Split,
    cut_rows,
    naive_errors,
    split_series,
    window_series,
)
from carrousel.tasks.forecasting.units import Units
from carrousel.tasks.forecasting.windows import Windows
from carrousel.training.options import Options
from carrousel.training.task import Data, Task

Self = TypeVar("Self", bound="Forecaster")
CPU = torch.device("cpu")


class ForecastSeries(ForecastTask):
    """The task `forecast` without the options of files."""

    options: ClassVar[type[Options]] = ForecasterOptions


class Forecaster(SequenceEstimator):
    """A recurrent network that forecasts series at even steps of time, with quantiles.

    X is a frame of pandas with its times in the index, whose columns are all predicted unless `target` names some; or
    in long form, with the columns unique_id (only for several series), ds and y; or an array [T] or [T, C], whose rows
    are steps. There is no y. All steps of the horizon are predicted at once, from a window of steps before them.

    Args:
        horizon: steps to predict. Default: a season.
        window: steps that are read before them. Default: whole seasons, up to 336 steps and a third of the longest
            series.
        season: steps of a season. Default: by the step of time, 24 for hours, 7 for days, 12 for months.
        target: the column to predict, or a list of them. Default: y in long form, otherwise all without another part.
        known: columns that are known for the future too, such as prices and holidays.
        static: columns that describe a series: numbers, or texts as classes.
        ignore: columns to leave out.
        id: the column that says to which series a row belongs, in a frame that has it.
        time: the column of times, in a frame that has it.
        step: resample to means over this step ("15min", "1d", "1mo"); "row": rows are steps, whatever their times.
        time_format: how dates that are texts are written, as for `strptime`. Default: found.
        log: forecast the logarithm of the targets: for series that grow by factors.
        hidden: units of a layer (H). Default: 128, below 1,000 windows 32.
        layers: recurrent layers.
        cell: "lstm", "gru", "rnn", "peephole" or "lstm1997".
        dropout: of each layer's outputs.
        segment: steps that the recurrent layers read at a time. Default: a part of a season.
        remove: what is taken away from each window, "last", "mean" or "none".
        rescale: divide each window by its deviation: for series of very different sizes.
        no_linear: leave out the linear way from each step that is read to each that is predicted.
        quantiles: to predict beside the mean; () for none.
        loss: "huber", "mse" or "mae".
        batch: windows in a step.
        optimizer: "adamw", "adam" or "sgd".
        lr: highest learning rate.
        weight_decay: of adamw.
        schedule: of the learning rate, "cosine", "linear" or "constant".
        clip: largest norm of the gradient; 0: no limit.
        steps, epochs, minutes: end after so many steps of training, passes over the windows, or minutes; give one of
            them. Default: 500 steps, or up to 3,000 if 20 epochs are more.
        patience: end after so many validations, of at most 20, without improvement; 0: never. Needs `valid_fraction`.
        valid_fraction: part at the end of each series to validate on, at least a horizon. If it is not 0, the model has
            the weights with the lowest validation loss; else all windows train, and it has the last weights.
        impute: what replaces missing values where they are read, "zero", "mean" or "last"; None: NaN is an error.
        device: to train on, "cpu", "cuda", ...; the trained model is on the CPU.
        random_state: of weights, dropout and the order of the windows; an int gives the same weights each time.

    Attributes:
        model_: the trained network, a torch.nn.Module in evaluation mode; its outputs are scaled.
        horizon_, window_, season_: as above, in steps.
        targets_: the columns that are predicted.
        n_features_in_, feature_names_in_: the columns of X.
        n_steps_: steps of training.
        curve_: losses of training and validation, each with its step.

    The last window of each series is stored with the model, for what is to be continued.

    >>> import numpy as np, pandas as pd
    >>> from carrousel.estimators import Forecaster
    >>> days = pd.date_range("2024-01-01", periods=200)
    >>> sold = pd.DataFrame({"sold": 100 + 20 * np.sin(2 * np.pi * np.arange(200) / 7)}, index=days)
    >>> model = Forecaster(horizon=7, steps=100, random_state=0).fit(sold)
    >>> future = model.predict()
    >>> future.index[0], list(future.columns)
    (Timestamp('2024-07-19 00:00:00'), ['sold', 'q0.1(sold)', 'q0.5(sold)', 'q0.9(sold)'])
    """

    _task: ClassVar[Task] = ForecastSeries()
    _most_steps: ClassVar[float] = 3000

    model_: Network

    def __init__(
        self,
        horizon: int | None = None,
        *,
        window: int | None = None,
        season: int | None = None,
        target: str | Sequence[str] | None = None,
        known: str | Sequence[str] | None = None,
        static: str | Sequence[str] | None = None,
        ignore: str | Sequence[str] | None = None,
        id: str = "unique_id",
        time: str = "ds",
        step: str | None = None,
        time_format: str | None = None,
        log: bool = False,
        hidden: int | None = None,
        layers: int = 1,
        cell: str = "lstm",
        dropout: float | None = 0.3,
        segment: int | None = None,
        remove: str = "last",
        rescale: bool = False,
        no_linear: bool = False,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        loss: str = "huber",
        batch: int = 32,
        optimizer: str = "adamw",
        lr: float | None = 0.001,
        weight_decay: float = 0.01,
        schedule: str = "cosine",
        clip: float = 1.0,
        steps: int | None = None,
        epochs: float | None = None,
        minutes: float | None = None,
        patience: int = 0,
        valid_fraction: float = 0.0,
        impute: str | None = None,
        device: str = "cpu",
        random_state: Any = None,
    ) -> None:
        self.horizon = horizon
        self.window = window
        self.season = season
        self.target = target
        self.known = known
        self.static = static
        self.ignore = ignore
        self.id = id
        self.time = time
        self.step = step
        self.time_format = time_format
        self.log = log
        self.hidden = hidden
        self.layers = layers
        self.cell = cell
        self.dropout = dropout
        self.segment = segment
        self.remove = remove
        self.rescale = rescale
        self.no_linear = no_linear
        self.quantiles = quantiles
        self.loss = loss
        self.batch = batch
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.clip = clip
        self.steps = steps
        self.epochs = epochs
        self.minutes = minutes
        self.patience = patience
        self.valid_fraction = valid_fraction
        self.impute = impute
        self.device = device
        self.random_state = random_state

    def fit(self: Self, X: Any, y: None = None) -> Self:  # type: ignore[override]
        """Train a new model.

        Args:
            X: series, as described; rows after the last target of a series are not used.
            y: not used; scikit-learn passes it.

        Raises:
            ValueError, TypeError: X or a parameter is not allowed, steps are not even, no series is long enough; or the
                loss is no longer finite.
        """
        return super().fit(X, y)

    def partial_fit(self: Self, X: Any, y: None = None) -> Self:
        """Train on each window of X once, from where the last call ended; arguments as for `fit`.

        The first call decides the sizes and how columns are scaled. `predict` continues the series of the last call.
        """
        return self._train_on(X, y, None)

    def predict(self, X: Any = None, horizon: int | None = None) -> Any:
        """Mean and quantiles of the steps after the end of each series, as a frame of the form that X had in `fit`.

        Args:
            X: None: after the end of the series of the fit. Otherwise after the last target of each series of X: other
                series, or rows that continue those of the fit, such as later ones, or those with what is known for the
                future, with targets missing.
            horizon: steps, at most those that the model predicts. Default: all.

        Returns:
            For each target y the columns y (the mean), q0.1(y), ...; with the times in the index, or in long form.
        """
        check_is_fitted(self, "model_")
        horizon = self._check_horizon(horizon)
        with name_parameters(), torch.inference_mode(False), limit_threads():
            series = copy(self._ends) if X is None else self._continue_ends(X, may_lack_targets=True).series
            facts = self._facts
            found, ends, notes = window_future(copy(series), "X", facts, self._get("impute"), CPU)
            warn(notes)
            return self._to_frame(series, ends, found, horizon)

    def score(self, X: Any, y: None = None) -> float:
        """Minus the mean absolute scaled error: 0 is perfect, -1 as good as repeating the last season.

        The errors of all windows of X whose targets lie after the end of the fit; of series without such steps, all
        windows. Each series' mean absolute error is divided by that of repeating the last season in what it was fitted
        on (a series that is new: in X); the score is the mean over series and targets.

        Raises:
            ValueError: no series is long enough, or no series has a season that was repeated.
        """
        check_is_fitted(self, "model_")
        with name_parameters(), torch.inference_mode(False), limit_threads():
            continued = self._continue_ends(X)
            series, first = continued
            naive = naive_errors(series, series.lengths, self.season_)
            held_out = window_series(copy(series), "X", self._facts, self._get("impute"), self._form.id, CPU)
            begin = np.where(first < series.lengths, first, 0)
            windows = Windows.between(
                held_out.windows.source, self.window_, self.horizon_, begin, held_out.windows.source.lengths.numpy()
            )
            if not len(windows):
                raise ValueError(
                    f"X has {(series.lengths - first).max():,} steps after the end of the fit, and {self.horizon_:,} "
                    "are predicted: give more steps"
                )
            scales = np.where(np.isnan(held_out.naive), np.array(naive, np.float64), held_out.naive)
            errors = measure(self.model_, replace(held_out, windows=windows))[0][MODEL].mase(scales)
        if not np.isfinite(errors).any():
            raise ValueError("there is no score: no series has steps with targets a season apart that differ")
        return -float(np.mean(errors[np.isfinite(errors)]))

    # ---- what is learned of the data ----

    @property
    def horizon_(self) -> int:
        """Steps that are predicted."""
        return self._facts["horizon"]

    @property
    def window_(self) -> int:
        """Steps that are read."""
        return self._facts["window"]

    @property
    def season_(self) -> int:
        """Steps of a season."""
        return self._facts["season"]

    @property
    def targets_(self) -> tuple[str, ...]:
        """The columns that are predicted."""
        return tuple(self._facts["targets"])

    # ---- data ----

    def _get(self, name: str) -> Any:
        """A parameter, as the task has it."""
        value = super()._get(name)
        if name == "quantiles" and not isinstance(value, str):
            return ",".join(f"{level}" for level in value)
        return value

    def _names(self, name: str) -> tuple[str, ...]:
        """The columns that a parameter names."""
        value = getattr(self, name)
        return (value,) if isinstance(value, str) else tuple(map(str, value or ()))

    def _read(self, X: Any, y: Any, lengths: Any, is_first: bool, is_new: bool) -> tuple[Series, NDArray[Any]]:
        """X as series up to their last targets; there is no y."""
        series = self._read_series(X, is_first)
        series, notes = cut_rows(series, None, "X")
        warn(notes)
        facts = None if is_first or is_new else self._facts
        self._ends: Series = keep_ends(series, self._choose_sizes(series, facts).window)
        return series, np.zeros(0)

    def _read_series(self, X: Any, is_first: bool, may_lack_targets: bool = False) -> Series:
        """X as series."""
        if self.impute is not None and self.impute not in IMPUTE:
            raise ValueError(f"impute={self.impute!r} is not one of {', '.join(IMPUTE)}")
        index = None if is_first or not self._form.is_index else self._form.time
        frame, form = open_frame(X, self.id, self.time, index)
        if is_first:
            self._form: Form = form
            names = [name for name in frame.columns if not (form.is_index and name == form.time)]
            self.n_features_in_: int = len(names)
            self.feature_names_in_: NDArray[Any] = np.array(names, object)
        else:
            frame = self._select_columns(frame, form, may_lack_targets)
        parts = {name: self._names(name) for name in ("known", "static", "ignore")}
        targets = self._names("target") if is_first else self.targets_
        if not targets and (form.id or not form.is_index) and "y" in frame.columns:
            targets = ("y",)
        return read_series(FrameTable(frame), targets=targets, id=form.id, time=form.time, step=self.step,
                             time_format=self.time_format, **parts)  # fmt: skip

    def _select_columns(self, frame: Any, form: Form, may_lack_targets: bool) -> Any:
        """The columns of the fit in their order; those that are not known for the future may be missing in it."""
        had, has = (f"{each.id or 'no ids'}, {'index' if each.is_index else each.time}" for each in (self._form, form))
        if had != has:
            raise ValueError(f"X has another form than in fit: {has} instead of {had} (ids, times); give the same")
        names = [*self.feature_names_in_, *([form.time] if form.is_index else [])]
        future = {*self.targets_, *self._facts["others"]} if may_lack_targets else set[str]()
        unseen = [name for name in frame.columns if name not in names]
        missing = [name for name in names if name not in frame.columns and name not in future]
        if unseen or missing:
            raise ValueError(
                f"The feature names should match those that were passed during fit: unseen {unseen}, missing {missing}"
            )
        return frame.reindex(columns=names)

    def _continue_ends(self, X: Any, may_lack_targets: bool = False) -> Continued:
        """The series of X, with the steps before them if they continue those of the fit."""
        series = self._read_series(X, False, may_lack_targets)
        if self._form.is_array:
            return Continued(series, np.zeros_like(series.lengths))
        return continue_series(self._ends, series)

    def _choose_sizes(self, series: Series, facts: dict[str, Any] | None) -> Sizes:
        """Season, horizon, window and segment: those of the first call, or by the parameters."""
        names = ("season", "horizon", "window", "segment")
        if facts is not None:
            return Sizes(*(facts[name] for name in names))
        values = [self._get(name) for name in names]
        for name, value in zip(names, values):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"{name}={value!r} is not allowed: it must be a whole number, at least 1, or None")
        return choose_sizes(series.step, int(series.lengths.max()), *values)

    def _count(self, sequences: Series, facts: dict[str, Any] | None) -> int:
        """How many windows there are."""
        sizes = self._choose_sizes(sequences, facts)
        return max(1, int(np.maximum(sequences.lengths - sizes.window - sizes.horizon + 1, 0).sum()))

    def _new_data(self, sequences: Series, targets: NDArray[Any], options: Options, device: torch.device,
                  fraction: float, facts: dict[str, Any] | None) -> Data:  # fmt: skip
        """Windows, scaled and split by time."""
        if facts is None:
            found = split_series(sequences, "X", self._plan(fraction), device)
        else:
            held_out: HeldOut = window_series(sequences, "X", facts, self._get("impute"), self._form.id, device)
            nothing = held_out.windows.pick(torch.zeros(0, dtype=torch.int64, device=device))
            found = Split(held_out.windows, replace(held_out, windows=nothing), facts, "", held_out.notes)
        warn(found.notes)
        return found.to_data(options.batch, options.seed)

    def _plan(self, fraction: float) -> Plan:
        """What becomes of the series."""
        names = ("hidden", "season", "horizon", "window", "segment", "impute", "log")
        reading = {"id": self._form.id}
        values = {name: self._get(name) for name in names}
        return Plan(files=(), valid=None, valid_fraction=fraction, rows=None, reading=reading, **values)

    def _check_horizon(self, horizon: int | None) -> int:
        """How many steps to predict."""
        if horizon is None:
            return self.horizon_
        if not isinstance(horizon, (int, np.integer)) or not 1 <= horizon <= self.horizon_:
            raise ValueError(
                f"horizon={horizon!r} is not allowed: this model predicts 1 to {self.horizon_} steps; for more fit "
                "Forecaster(horizon=...)"
            )
        return int(horizon)

    # ---- forecasts ----

    def _to_frame(self, series: Series, ends: NDArray[np.int64], windows: Windows, horizon: int) -> Any:
        """The forecasts of windows as a frame: long, or with the times in the index."""
        pandas: Any = load_library("pandas", "Forecaster", "sklearn")
        units, form, parts = Units.of(self._facts), self._form, list[Any]()
        levels = self.model_.quantiles
        for found in forecast(self.model_, windows, has_truth=False):
            means = units.restore(found.mean).numpy()
            quantiles = units.restore(found.quantiles.transpose(2, 3)).numpy()  # [W, M, Q, C]
            for index, mean, around in zip(found.series.tolist(), means, quantiles):
                end = int(ends[index])
                times = series.step.times(series.starts[index].item(), end + horizon)[end:]
                columns: dict[str, Any] = {form.id: series.names[index]} if form.id else {}
                columns[form.time] = form.restore_times(times, series.is_date)
                for c, target in enumerate(self.targets_):
                    columns[target] = mean[:horizon, c]
                    columns |= {f"q{level:g}({target})": around[:horizon, q, c] for q, level in enumerate(levels)}
                parts.append(pandas.DataFrame(columns))
        joined = pandas.concat(parts, ignore_index=True)
        if not form.is_index:
            return joined
        return joined.set_index(form.time).rename_axis(form.name)

    def __sklearn_tags__(self) -> Tags:
        """What X may be."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.input_tags.one_d_array = True
        return tags


def warn(notes: Sequence[str]) -> None:
    """Warn of what was left out or changed."""
    for note in notes:
        warnings.warn(rename_options(note), UserWarning, stacklevel=3)
