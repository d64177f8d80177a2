"""`carrousel train forecast`: the next steps of series, from the steps before them.

Data: columns of tables over even steps of time, one series or many, split by time, scaled by the training part. Model:
recurrent layers over segments of a window, all steps of the horizon at once, with quantiles. Loss: Huber's, and
beside it the loss of the quantiles. Metrics: MSE, MAE, MASE, NSE and KGE, beside two baselines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor

from carrousel import results
from carrousel.data.scaling import IMPUTE
from carrousel.tasks.files import FileOptions
from carrousel.tasks.forecasting.columns import split_names
from carrousel.tasks.forecasting.errors import compute_huber
from carrousel.tasks.forecasting.evaluate import evaluate, forecast, measure, pinball
from carrousel.tasks.forecasting.future import predict_future
from carrousel.tasks.forecasting.held_out import HeldOut
from carrousel.tasks.forecasting.model import Forecaster, ForecasterOptions
from carrousel.tasks.forecasting.pictures import choose_panels, draw_errors, draw_forecasts
from carrousel.tasks.forecasting.rows import parse_rows
from carrousel.tasks.forecasting.sources import Plan, Split, read_held_out, read_split
from carrousel.tasks.forecasting.windows import Inputs
from carrousel.training.options import DATA, STEP, Options, option
from carrousel.training.ranks import Ranks
from carrousel.training.task import Data, Score, State, Task
from carrousel.training.trained import Trained

ERRORS: dict[str, Callable[[Tensor], Tensor]] = {"mse": torch.square, "mae": torch.abs, "huber": compute_huber}
Self = TypeVar("Self", bound="ForecastOptions")


@dataclass(frozen=True)
class ForecastOptions(FileOptions, ForecasterOptions):
    """The options of `carrousel train forecast`."""

    default_budget: ClassVar[dict[str, float]] = {"steps": 3000, "minutes": 12}

    files: tuple[str, ...] = option(
        (), "Tables, CSV (plain or gzip) or Parquet; several are joined.", DATA, metavar="FILE", may_change=True
    )
    valid: str | None = option(None, "File to validate on, instead of the end of each series.", DATA, may_change=True)
    valid_fraction: float = option(
        0.1, "Part at the end of each series to validate on.", DATA, least=0, below=1, range="at least 0 and below 1"
    )
    target: str | None = option(
        None, "Columns to predict, with commas between (default: all that have no other part).", DATA
    )
    horizon: int | None = option(None, "Steps to predict (default: a season).", DATA, least=1)
    window: int | None = option(
        None, "Steps that are read before them (default: whole seasons, up to 336 steps).", DATA, least=1
    )
    season: int | None = option(
        None,
        "Steps of a season (default: by the step of time, 24 for hours, 7 for days, 12 for months).",
        DATA,
        least=1,
    )
    id: str | None = option(None, "The column that says to which series a row belongs; without it there is one.", DATA)
    time: str | None = option(None, "The column of times (default: found; without one rows are steps).", DATA)
    known: str | None = option(None, "Columns that are known for the future, with commas between.", DATA)
    static: str | None = option(None, "Columns that describe a series, with commas between.", DATA)
    ignore: str | None = option(None, "Columns to leave out, with commas between.", DATA)
    step: str | None = option(
        None, "Resample to means over this step (15min, 1d, 1mo); row: rows are steps, whatever their times.", DATA
    )
    time_format: str | None = option(None, "How dates are written, as for strptime (default: found).", DATA)
    decimal: str = option(".", "The decimal point of CSV files: . or ,", DATA, choices=(".", ","))
    rows: str | None = option(
        None, "Use only these rows of each series: START:END, from the end if negative (:-48).", DATA
    )
    impute: str | None = option(
        None, f"What replaces missing values: {', '.join(IMPUTE)}. Without it they are an error.", DATA, choices=IMPUTE
    )
    log: bool = option(False, "Forecast the logarithm of the targets: for series that grow by factors.", DATA)
    batch: int = option(32, "Windows in a step (B).", least=1, enlarges=STEP)
    lr: float | None = option(0.001, "Highest learning rate.", least=math.ulp(0.0), range="above 0")
    weight_decay: float = option(0.01, "Weight decay of AdamW.", least=0)

    def complete(self: Self) -> Self:
        """Check these options and fill in those that are open.

        Raises:
            UserError: a value is not allowed.
        """
        for name in ("target", "known", "static", "ignore"):
            split_names(getattr(self, name), f"--{name}")
        if self.rows is not None:
            parse_rows(self.rows)
        return replace(super().complete())

    @property
    def reading(self) -> dict[str, Any]:
        """The options of `read_file`."""
        names = {key: split_names(getattr(self, key), f"--{key}") for key in ("known", "static", "ignore")}
        rest = {key: getattr(self, key) for key in ("encoding", "decimal", "id", "time", "step", "time_format")}
        return {"targets": split_names(self.target, "--target"), **names, **rest}

    @property
    def plan(self) -> Plan:
        """What becomes of the files."""
        names = [each.name for each in fields(Plan) if each.name != "reading"]
        return Plan(**{name: getattr(self, name) for name in names}, reading=self.reading)


class ForecastTask(Task):
    """The task `forecast`."""

    name = "forecast"
    summary = "Train a forecaster of one series or many, with quantiles."
    examples: ClassVar[tuple[tuple[str, str], ...]] = (
        ("AirPassengers.csv --log --out runs/air", "predicts the next 12 months, and validates on the last ones"),
        (
            "sales.parquet --id shop --target sold --known price,holiday --horizon 28 --out runs/sold",
            "predicts each shop's next four weeks; prices and holidays are known in advance",
        ),
    )
    unit = "windows"
    loss_unit = "(scaled)"
    sample = 1000
    less_data = "train on fewer or shorter series"
    batch_axes: ClassVar[tuple[int, ...]] = (0, 0, 0, 0)
    options: ClassVar[type[Options]] = ForecastOptions

    def data(self, options: ForecastOptions, device: torch.device) -> Data:
        """The files that the options name: read, split by time, scaled."""
        found: Split = read_split(options.plan, device)
        return found.to_data(options.batch, options.seed)

    def model(self, options: ForecastOptions, facts: dict[str, Any]) -> Forecaster:
        """A model with new weights for these columns and sizes."""
        return Forecaster(facts, options)

    def loss(self, model: Forecaster, batch: tuple[Inputs, Tensor], state: State) -> tuple[Tensor, State]:
        """The mean error of the mean over all targets that are not missing.

        The gradient is that of this loss and of the loss of the quantiles; the value is that of this loss alone: a
        number that people know.
        """
        inputs, truth = batch
        mean, quantiles = model(inputs)
        is_known = ~truth.isnan()
        count, truth = is_known.sum().clamp(min=1), truth.nan_to_num()
        error = (mean - truth) * is_known
        loss = ERRORS[model.kind](error).sum() / count
        if model.quantiles:
            levels = truth.new_tensor(model.quantiles)
            beside = (pinball(quantiles, truth, levels).mean(-1) * is_known).sum() / count
            loss = loss + beside - beside.detach()
        return loss, ()

    def share(self, batch: tuple[Inputs, Tensor], ranks: Ranks) -> tuple[tuple[Inputs, Tensor], float]:
        """The windows of a batch that one of several processes trains on, and their part of the known targets."""
        inputs, truth = batch
        (own, *parts), _ = super().share((truth, *inputs), ranks)
        known = [(~each.isnan()).sum().item() for each in (own, truth)]
        return (Inputs(*parts), own), known[0] / max(known[1], 1)

    def measure(self, model: Forecaster, valid: HeldOut, sample: int | None = None) -> Score:
        """All errors of a model, and those of the baselines."""
        return evaluate(model, valid, sample)

    def numbers_in_step(self, options: ForecastOptions, facts: dict[str, Any]) -> int:
        """The inputs, the outputs of each layer, and the forecasts."""
        steps = facts["window"] // facts["segment"]
        columns = 1 + len(facts["known"]) + len(facts["others"])
        of_row = facts["window"] * columns + steps * options.layers * facts["hidden"] + facts["horizon"]
        return options.units * len(facts["targets"]) * of_row

    def describe(self, numbers: dict[str, float]) -> str:
        """What `numbers` returned, in a few words for people."""
        if "mse" not in numbers:
            return f"loss {numbers['loss']:.4f} {self.loss_unit}"
        words = [f"MSE {numbers['mse']:.4f}  MAE {numbers['mae']:.4f} (scaled)"]
        units = [name for name in numbers if name.startswith("rmse(")]
        if len(units) == 1:
            target = units[0].removeprefix("rmse(").removesuffix(")")
            words.append(f"{target}: RMSE {numbers[units[0]]:.5g}  MAE {numbers[f'mae({target})']:.5g}")
        words += [f"{name.upper()} {numbers[name]:.3f}" for name in ("mase", "nse", "kge") if name in numbers]
        if "inside" in numbers:
            words.append(f"{numbers['inside']:.0%} between the outer quantiles")
        names = {"last": "repeat the last value", "season": "repeat the last season"}
        baselines = [
            f"{what} {numbers[f'{name}_mse']:.4f} and {numbers[f'{name}_mae']:.4f}"
            for name, what in names.items()
            if f"{name}_mse" in numbers
        ]
        return "  ".join([*words, *([f"(baselines, MSE and MAE: {', '.join(baselines)})"] if baselines else [])])

    def pictures(self, model: Forecaster, data: Data) -> dict[str, bytes]:
        """Forecasts of some windows of the validation data, and the error by horizon."""
        held_out = data.valid
        if not isinstance(held_out, HeldOut) or not len(held_out):
            return {}
        windows = held_out.windows
        few = replace(held_out, windows=windows.sample(min(self.sample, len(windows))))
        errors = {name: part.rmse_by_step() for name, part in measure(model, few)[0].items()}
        panels = choose_panels(windows, len(held_out.targets))
        chosen = [windows.pick(torch.tensor(panel.windows, device=windows.first.device)) for panel in panels]
        found = [next(forecast(model, part, piece=len(part))) for part in chosen]
        forecasts = draw_forecasts(found, panels, held_out, model.quantiles)
        return {"forecast.png": forecasts, "error_by_horizon.png": draw_errors(errors)}

    def read(self, trained: Trained, file: str, encoding: str, device: torch.device) -> HeldOut:
        """All windows of a file.

        Raises:
            UserError: it cannot be read, does not fit the model, or no series is long enough.
        """
        options: Any = trained.options
        return read_held_out(file, trained.facts, options.impute, {**options.reading, "encoding": encoding}, device)

    def select_rows(self, data: HeldOut, rows: str) -> HeldOut:
        """The windows whose targets lie in a range of each series' rows.

        Raises:
            UserError: it is not a range, or no window fits.
        """
        return data.select(rows)

    def predict(self, trained: Trained, file: str, encoding: str, device: torch.device) -> Iterator[dict[str, Any]]:
        """For each series of a file the steps after its end: mean and quantiles of each target."""
        options: Any = trained.options
        reading, model = {**options.reading, "encoding": encoding}, cast(Forecaster, trained.model.to(device))
        notes, rows = predict_future(model, file, trained.facts, options.impute, reading, device)
        for note in notes:
            results.say(note)
        yield from rows


TASK = ForecastTask()
