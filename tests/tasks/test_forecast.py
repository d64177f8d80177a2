"""`train forecast`: the network, its windows and measurements, and every option that people give it."""

from __future__ import annotations

import csv
import io
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import SHARED, needs
from evenly import series_text, write_series
from torch import nn

from carrousel import checkpoint
from carrousel.cli import run
from carrousel.data.steps import Step, parse_step
from carrousel.errors import UserError
from carrousel.tasks import ALL
from carrousel.tasks.forecast import TASK, ForecastOptions
from carrousel.tasks.forecasting.baselines import repeat_last, repeat_season
from carrousel.tasks.forecasting.columns import split_names
from carrousel.tasks.forecasting.errors import Errors
from carrousel.tasks.forecasting.evaluate import forecast, pinball
from carrousel.tasks.forecasting.model import SHIFTS, Forecaster, parse_quantiles
from carrousel.tasks.forecasting.rows import find_bounds, parse_rows
from carrousel.tasks.forecasting.sizes import Sizes, choose_sizes, guess_season
from carrousel.tasks.forecasting.static import encode_static, measure_static
from carrousel.tasks.forecasting.units import Units
from carrousel.tasks.forecasting.windows import Inputs, Source, Windows
from carrousel.tasks.network import CELLS
from carrousel.training.options import BUDGETS
from carrousel.training.run import train as train_task
from carrousel.training.trained import load

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'carrousel[tasks]'")

AIR_PASSENGERS = SHARED / "airpassengers" / "AirPassengers.csv"
ETT = SHARED / "ett" / "ETTh1.csv.gz"
COLUMNS = {"id": "shop", "target": "sold", "known": "price", "static": "city"}
SIZES = {"hidden": 8, "batch": 8, "steps": 12, "horizon": 3}
CPU = torch.device("cpu")


def words(options: dict) -> list[str]:
    """Options as they are typed."""
    return [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]


def train(file: Path, out: Path, **options) -> dict:
    """A small run in this process."""
    return train_task(TASK, ForecastOptions(files=(str(file),), **{**SIZES, **COLUMNS, **options}), out, quiet=True)


def facts(**changes) -> dict:
    """Of data with two targets, and windows of 12 steps."""
    sizes = {"window": 12, "horizon": 5, "segment": 3, "season": 3, "hidden": 6}
    names = {"targets": ["a", "b"], "known": [], "others": [], "static": {}}
    return {**sizes, **names, **changes}


def new_model(about: dict, **options) -> Forecaster:
    """A small network in evaluation mode, without weights that are 0."""
    model = Forecaster(about, ForecastOptions(files=("x",), **options).complete())
    for weight in model.parameters():
        nn.init.uniform_(weight, -0.3, 0.3)
    return model.eval()


# ---- the network ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remove", SHIFTS)
@pytest.mark.parametrize(("segment", "layers", "is_linear", "rescale"), [(3, 1, True, False), (1, 2, False, True)])
def test_the_network_is_that_of_torch(remove, segment, layers, is_linear, rescale):
    """Each target of each window by itself, through torch.nn.LSTM."""
    about = facts(segment=segment)
    model = new_model(about, remove=remove, no_linear=not is_linear, rescale=rescale, layers=layers, quantiles="0.5")
    lstm = nn.LSTM(6 if segment > 1 else 1, 6, layers)
    lstm.load_state_dict(model.recurrent.state_dict())
    past = torch.randn(4, 12, 2)
    mean, quantiles = model(Inputs(past, torch.empty(4, 5, 0), torch.empty(4, 0)))
    for b in range(4):
        for c in range(2):
            x = past[b, :, c]
            shift = {"last": x[-1], "mean": x.mean(), "none": torch.tensor(0.0)}[remove]
            x = x - shift
            scale = (x.var(correction=0) + 1e-4).sqrt() if rescale else torch.tensor(1.0)
            x = x / scale
            h = lstm(model.embed(x.view(12 // segment, segment)))[1][0][-1]
            expected = model.head(h)
            if is_linear:
                expected = expected + model.direct.weight @ x
            torch.testing.assert_close(mean[b, :, c], expected * scale + shift, rtol=1e-4, atol=1e-5)
            median = (expected + model.quantile_head(h)) * scale + shift
            torch.testing.assert_close(quantiles[b, :, c, 0], median, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_forecasts_each_window_by_itself(cell):
    about = facts(known=["k"], others=["o"], static={"size": {"mean": 0, "deviation": 1}})
    model = new_model(about, cell=cell, layers=2)
    inputs = Inputs(torch.randn(7, 12, 4), torch.randn(7, 5, 1), torch.randn(7, 1))
    mean, quantiles = model(inputs)
    assert (mean.shape, quantiles.shape) == ((7, 5, 2), (7, 5, 2, 3))
    assert (quantiles.diff(dim=-1) >= 0).all()
    one = model(Inputs(*(part[3:4] for part in inputs)))
    torch.testing.assert_close(one[0][0], mean[3])
    torch.testing.assert_close(one[1][0], quantiles[3])


@pytest.mark.parametrize("part", ["past", "known", "static", "others"])
def test_every_input_counts(part):
    about = facts(known=["k"], others=["o"], static={"size": {"mean": 0, "deviation": 1}})
    model = new_model(about)
    inputs = Inputs(torch.randn(2, 12, 4), torch.randn(2, 5, 1), torch.randn(2, 1))
    mean, _ = model(inputs)
    changed = {name: value.clone() for name, value in inputs._asdict().items()}
    if part == "others":
        changed["past"][:, :, 3] += 1
    else:
        changed[part] += torch.randn_like(changed[part])
    assert not torch.allclose(model(Inputs(**changed))[0], mean)


def test_what_is_known_changes_only_its_own_step():
    model = new_model(facts(known=["k"]))
    known = torch.zeros(1, 5, 1)
    inputs = Inputs(torch.randn(1, 12, 3), known, torch.empty(1, 0))
    changed = inputs._replace(known=known.index_fill(1, torch.tensor(2), 1.0))
    difference = (model(changed)[0] - model(inputs)[0]).abs().amax((0, 2))
    assert (difference > 1e-4).tolist() == [False, False, True, False, False]


def test_quantiles_do_not_change_the_weights_of_the_mean():
    batch = Inputs(torch.randn(4, 12, 2), torch.empty(4, 5, 0), torch.empty(4, 0)), torch.randn(4, 5, 2)
    grads = []
    for quantiles in ("0.1,0.9", ""):
        torch.manual_seed(1)
        model = Forecaster(facts(), ForecastOptions(files=("x",), quantiles=quantiles, dropout=0.0).complete())
        loss, _ = TASK.loss(model, batch, ())
        loss.backward()
        grads.append((loss.item(), model.embed[0].weight.grad, model.head.weight.grad))
    assert grads[0][0] == pytest.approx(grads[1][0])
    torch.testing.assert_close(grads[0][1:], grads[1][1:])


def test_targets_that_are_missing_do_not_count_in_the_loss():
    model = new_model(facts(), quantiles="", loss="mse")
    inputs = Inputs(torch.randn(4, 12, 2), torch.empty(4, 5, 0), torch.empty(4, 0))
    truth = torch.randn(4, 5, 2)
    truth[0, :, 1] = truth[2, 3:] = torch.nan
    error = (model(inputs)[0] - truth)[~truth.isnan()]
    assert TASK.loss(model, (inputs, truth), ())[0].item() == pytest.approx(error.square().mean().item(), rel=1e-5)
    model.kind = "huber"
    twice = 2 * nn.functional.smooth_l1_loss(error, torch.zeros_like(error))
    assert TASK.loss(model, (inputs, truth), ())[0].item() == pytest.approx(twice.item(), rel=1e-5)
    model.kind = "mae"
    assert TASK.loss(model, (inputs, truth), ())[0].item() == pytest.approx(error.abs().mean().item(), rel=1e-5)


def test_the_pinball_loss_is_least_at_the_quantile():
    values = torch.arange(101.0)
    losses = [pinball(torch.tensor([float(q)]).expand(101, 1), values, torch.tensor([0.9])).sum() for q in range(101)]
    assert int(torch.stack(losses).argmin()) == 90


# ---- sizes, rows, names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "season"),
    [("1h", 24), ("15min", 96), ("1d", 7), ("1w", 52), ("1mo", 12), ("3mo", 4), ("1y", 1), ("5mo", 1), ("7h", 1)],
)
def test_the_season_is_that_of_the_step(step, season):
    assert guess_season(parse_step(step, True)) == season
    assert guess_season(Step("number", 1)) == guess_season(Step("row", 1)) == 1


@pytest.mark.parametrize(
    ("step", "longest", "given", "expected"),
    [
        ("1h", 17_420, {}, Sizes(24, 24, 336, 24)),
        ("1h", 17_420, {"horizon": 96}, Sizes(24, 96, 336, 24)),
        ("1mo", 96, {"horizon": 1}, Sizes(12, 1, 24, 2)),
        ("1mo", 96, {"window": 13}, Sizes(12, 12, 13, 1)),
        ("1d", 2000, {"segment": 5}, Sizes(7, 7, 335, 5)),
        ("1y", 40, {}, Sizes(1, 1, 13, 1)),
        ("1h", 3, {}, Sizes(24, 24, 1, 1)),
    ],
)
def test_sizes_that_are_not_given(step, longest, given, expected):
    options = {**dict.fromkeys(("season", "horizon", "window", "segment")), **given}
    assert choose_sizes(parse_step(step, True), longest, **options) == expected


def test_ranges_of_rows_are_those_of_python():
    lengths = np.array([10, 3, 0])
    for text in (":", "2:", ":-2", "-3:", "1:2", "0:100", "-100:-1"):
        start, end = parse_rows(text)
        first, stop = find_bounds(text, lengths)
        for length, one, other in zip(lengths, first, stop, strict=True):
            assert list(range(length))[one:other] == list(range(length))[start:end]
    with pytest.raises(UserError, match="--rows '5' is not a range: give START:END"):
        parse_rows("5")
    with pytest.raises(UserError, match="--rows 10: has no rows: the longest series has 10"):
        find_bounds("10:", lengths)


def test_names_of_columns_may_have_commas():
    assert split_names('a, "b, c" ,d', "--target") == ("a", "b, c", "d")
    for bad in ("", "a,,b", "a,a"):
        with pytest.raises(UserError, match=r"--target .* is not a list of columns"):
            split_names(bad, "--target")


def test_quantiles_are_sorted_and_checked():
    assert parse_quantiles("0.9, 0.1") == (0.1, 0.9)
    assert parse_quantiles("") == ()
    for bad in ("0", "1", "a", "0.5,0.5", "0.1,", "nan"):
        with pytest.raises(UserError, match=r"--quantiles .* is not allowed: give different numbers between 0 and 1"):
            parse_quantiles(bad)


def test_static_columns_are_numbers_or_classes():
    measured = measure_static({"size": ("1", "3", ""), "city": ("Ulm", "Bonn", "")})
    encoded, notes = encode_static({"size": ("1", "", "5"), "city": ("Bonn", "Rome", "")}, measured, 3, "f")
    assert encoded.tolist() == [[-1, 1, 0], [0, 0, 0], [3, 0, 0]]
    assert notes == [
        "f: 1 series have no known value in size (--static), and count as average",
        "f: 2 series have no known value in city (--static), and count as average",
    ]
    with pytest.raises(UserError, match="f, column 'size': 'large' is not a number, and in training all were"):
        encode_static({"size": ("large",), "city": ("",)}, measured, 1, "f")


# ---- windows --------------------------------------------------------------------------------------------------------


def some_source(lengths=(9, 2, 14), missing=()) -> Source:
    """Series whose values count from 0: a target, a known column and another one."""
    total = sum(lengths)
    values = torch.arange(total * 3.0).view(total, 3)
    mask = torch.zeros(total, 1, dtype=torch.bool)
    mask[list(missing)] = True
    sizes = torch.tensor(lengths)
    return Source(values, mask if missing else None, torch.eye(len(lengths)), sizes.cumsum(0) - sizes, sizes, 1, 1)


def test_windows_are_all_places_whose_targets_lie_in_the_range():
    source = some_source(missing=(20,))
    first, stop = np.array([5, 0, 3]), np.array([9, 2, 12])
    windows = Windows.between(source, 4, 2, first, stop)
    expected = []
    for series, length in enumerate(source.lengths.tolist()):
        for start in range(length - 5):
            if start + 4 >= first[series] and start + 6 <= stop[series]:
                expected.append((int(source.starts[series]) + start, series))
    starts, series = windows.locate(torch.arange(len(windows)))
    assert list(zip(starts.tolist(), series.tolist(), strict=True)) == expected
    inputs, truth = windows.inputs(starts, series), windows.truth(starts)
    for k, (start, number) in enumerate(expected):
        assert torch.equal(inputs.past[k], source.values[start : start + 4])
        assert torch.equal(inputs.known[k], source.values[start + 4 : start + 6, 1:2])
        assert torch.equal(inputs.static[k], source.static[number])
        for step in (4, 5):
            is_missing = start + step == 20
            assert truth[k, step - 4].isnan() if is_missing else truth[k, step - 4] == source.values[start + step, 0]
    assert torch.equal(windows.sample(3).locate(torch.arange(3))[0], starts[torch.arange(3) * len(starts) // 3])


# ---- measurements ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log", [False, True])
def test_errors_are_those_of_a_loop(log):
    """Two series, two targets, values far from 0, some missing; in three batches."""
    generator = np.random.default_rng(0)
    units = Units((4.0, 2.0), (0.5, 2.0), log) if log else Units((1000.0, -3.0), (20.0, 0.5), log)
    scaled = torch.from_numpy(generator.normal(size=(30, 4, 2)).astype(np.float32))
    guess = scaled + torch.from_numpy(generator.normal(size=(30, 4, 2)).astype(np.float32)) * 0.5
    scaled[generator.random((30, 4, 2)) < 0.2] = torch.nan
    series = torch.from_numpy(generator.integers(0, 2, 30))
    errors = Errors(3, 2, 4, units, CPU)
    for rows in (slice(0, 10), slice(10, 11), slice(11, 30)):
        errors.add(guess[rows], scaled[rows], series[rows])
    p, t = units.restore(guess).numpy(), units.restore(scaled).numpy()
    known = ~np.isnan(t)
    difference = (guess - scaled).double().numpy()
    assert errors.mean("se") == pytest.approx(np.nanmean(difference**2), rel=1e-6)
    assert errors.mean("ae") == pytest.approx(np.nanmean(abs(difference)), rel=1e-6)
    smooth = nn.functional.smooth_l1_loss(guess.double(), scaled.double(), reduction="none")
    assert errors.mean("huber") == pytest.approx(2 * smooth.nanmean().item(), rel=1e-6)
    assert errors.mean_by_target("unit_se") == pytest.approx(np.nanmean((p - t) ** 2, (0, 1)), rel=1e-6)
    np.testing.assert_allclose(errors.rmse_by_step() ** 2, np.nanmean(difference**2, (0, 2)), rtol=1e-6)
    naive = np.array([[2.0, 3.0], [np.nan, 1.0], [1.0, 1.0]])
    nse, kge, mase = errors.nse(), errors.kge(), errors.mase(naive)
    for b in range(2):
        for c in range(2):
            chosen = (series.numpy() == b)[:, None] & known[:, :, c]
            x, y = p[..., c][chosen], t[..., c][chosen]
            assert nse[b, c] == pytest.approx(1 - ((x - y) ** 2).sum() / ((y - y.mean()) ** 2).sum(), rel=1e-6)
            terms = np.corrcoef(x, y)[0, 1], x.std() / y.std(), x.mean() / y.mean()
            assert kge[b, c] == pytest.approx(1 - sum((term - 1) ** 2 for term in terms) ** 0.5, rel=1e-5)
            np.testing.assert_allclose(mase[b, c], abs(x - y).mean() / naive[b, c], rtol=1e-6)
    assert np.isnan([nse[2], kge[2], mase[2]]).all()  # a series without a window


def test_a_truth_that_never_changes_has_no_nse():
    errors = Errors(1, 1, 1, Units((5.0,), (2.0,), False), CPU)
    errors.add(torch.randn(20, 1, 1), torch.full((20, 1, 1), 0.3), torch.zeros(20, dtype=torch.long))
    assert np.isnan([errors.nse(), errors.kge()]).all()


def test_baselines_repeat():
    past = torch.arange(12.0).view(1, 6, 2)
    assert repeat_last(past, 3)[0].tolist() == [[10, 11]] * 3
    assert repeat_season(past, 5, 3)[0, :, 0].tolist() == [6, 8, 10, 6, 8]
    assert repeat_season(past, 1, 6)[0, :, 0].tolist() == [0]


# ---- data -----------------------------------------------------------------------------------------------------------


def read_data(file: Path, **options):
    """What a run trains on."""
    chosen = {**SIZES, **COLUMNS, **options}
    return TASK.data(ForecastOptions(files=(str(file),), **chosen).complete(), CPU)


def write_line(folder: Path, values, header: str = "x") -> Path:
    """A table of one column, without times."""
    path = folder / "line.csv"
    path.write_text("\n".join([header, *map(str, values), ""]))
    return path


LINE = {"id": None, "target": None, "known": None, "static": None}


def test_split_by_time_and_scaled_by_the_training_part(tmp_path):
    values = np.arange(100) ** 1.5
    data = read_data(write_line(tmp_path, values), **LINE, window=6, horizon=4, valid_fraction=0.2)
    mean, deviation = values[:80].mean(), values[:80].std()
    assert data.facts["scaling"]["mean"] == pytest.approx((mean,))
    assert data.facts["scaling"]["deviation"] == pytest.approx((deviation,))
    scaled = torch.from_numpy((values - mean) / deviation).float()
    assert data.size == 80 - 10 + 1
    assert len(data.valid) == 20 - 4 + 1
    seen = set()
    for step in range(9):
        inputs, truth = data.batch(step)
        for past, future in zip(inputs.past[:, :, 0], truth[:, :, 0], strict=True):
            start = int((scaled - past[0]).abs().argmin())
            torch.testing.assert_close(past, scaled[start : start + 6])
            torch.testing.assert_close(future, scaled[start + 6 : start + 10])
            seen.add(start)
    assert seen == set(range(71))
    starts, _ = data.valid.windows.locate(torch.arange(17))
    assert starts.tolist() == list(range(74, 91))  # the first target is that of row 80


def test_rows_are_used_as_if_there_were_no_others(tmp_path):
    values = np.random.default_rng(0).normal(size=60).cumsum()
    whole = read_data(write_line(tmp_path, values), **LINE, window=6, rows="10:-20")
    (tmp_path / "other").mkdir()
    part = read_data(write_line(tmp_path / "other", values[10:-20]), **LINE, window=6)
    assert whole.facts == part.facts
    assert torch.equal(whole.batch(0)[0].past, part.batch(0)[0].past)
    assert whole.size == part.size


def test_missing_values_are_an_error_or_replaced_and_never_a_target(tmp_path):
    values = [*range(20), "", *range(21, 60)]
    file = write_line(tmp_path, [f"{value},1" for value in values], "x,y")
    options = {**LINE, "target": "x", "window": 6}
    with pytest.raises(UserError, match=r"line.csv: x missing at step 21; choose .* --impute zero, mean, last"):
        read_data(file, **options)
    data = read_data(file, **options, impute="last")
    (note,) = [note for note in data.notes if "--impute" in note]
    assert note.endswith("line.csv: 1 missing values were replaced where they are read (--impute last); the 1 of them "
                         "that are targets do not count where they are predicted")  # fmt: skip
    truths = torch.cat([data.batch(step)[1] for step in range(6)])
    assert truths.isnan().sum() == 3  # the windows in which it is one of three steps
    assert not any(data.batch(step)[0].past.isnan().any() for step in range(6))


def test_short_series_are_counted(tmp_path):
    data = read_data(write_series(tmp_path))
    assert data.notes[0].endswith("sales.csv: 1 of 3 series have fewer than 17 steps and no windows that train")
    assert data.notes[1] == "1 series are too short to be validated: all of their steps train"
    assert data.facts["static"] == {"city": {"classes": ["city 0", "city 1"]}}


@pytest.mark.parametrize(
    ("encode", "options"),
    [
        (lambda text: b"\xef\xbb\xbf" + text.encode(), {}),
        (lambda text: text.replace("\n", "\r\n").encode(), {}),
        (
            lambda text: text.replace(",", ";").replace(".", ",").encode("latin-1"),
            {"decimal": ",", "encoding": "latin-1"},
        ),
        (lambda text: text.replace("city 0", '"city, ""0"""').encode(), {}),
    ],
    ids=["BOM", "CRLF", "semicolons", "quoted"],
)
def test_the_same_series_in_other_forms(encode, options, tmp_path):
    plain = read_data(write_series(tmp_path))
    (tmp_path / "other.csv").write_bytes(encode(series_text()))
    other = read_data(tmp_path / "other.csv", **options)
    assert torch.equal(plain.batch(3)[0].past, other.batch(3)[0].past)
    assert plain.size == other.size


def test_several_files_are_joined(tmp_path):
    one = write_series(tmp_path, "one.csv", shops={"a": 40})
    two = write_series(tmp_path, "two.csv", shops={"b": 50}, seed=2)
    options = ForecastOptions(files=(str(one), str(two)), **SIZES, **COLUMNS).complete()
    data = TASK.data(options, CPU)
    assert data.valid.names == ("a", "b")
    assert data.valid.windows.source.lengths.tolist() == [40, 50]
    again = ForecastOptions(files=(str(one), str(one)), **SIZES, **COLUMNS).complete()
    with pytest.raises(UserError, match="the series 'a' is in two files"):
        TASK.data(again, CPU)


# ---- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    return write_series(tmp_path)


@pytest.mark.slow
def test_a_run_learns_and_leaves_its_report_and_pictures(file, tmp_path, capsys):
    out = tmp_path / "out"
    options = {**SIZES, **COLUMNS, "steps": 400, "hidden": 16, "lr": 0.01}
    assert run(["train", "forecast", str(file), "--out", str(out), *words(options)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.search(
        r"MSE \d\.\d{4}  MAE .* sold: RMSE .* MASE .* NSE .* KGE .* between the outer quantiles", lines[-2]
    )
    assert lines[-1].endswith("best.safetensors, loss.png, forecast.png, error_by_horizon.png, run.json")
    for name in ("loss.png", "forecast.png", "error_by_horizon.png"):
        assert struct.unpack(">8s8xII", (out / name).read_bytes()[:24])[0] == b"\x89PNG\r\n\x1a\n"
    valid = json.loads((out / "run.json").read_text())["result"]["valid"]
    assert valid["mse"] < 0.5 * valid["season_mse"] < valid["last_mse"]
    assert valid["nse"] > 0.5


@pytest.mark.slow
def test_eval_of_rows_is_that_of_a_file_with_these_rows(file, tmp_path, capsys):
    train(file, tmp_path / "out")
    header, *rows = series_text(seed=3, shops={"north": 60}).splitlines()
    window = load(tmp_path / "out", ALL).facts["window"]
    for name, part in {"whole.csv": rows, "part.csv": rows[40 - window : 52]}.items():
        (tmp_path / name).write_text("\n".join([header, *part, ""]))
    found = []
    for words_ in (["whole.csv", "--rows", "40:52"], ["part.csv"]):
        assert run(["eval", str(tmp_path / "out"), str(tmp_path / words_[0]), *words_[1:], "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == pytest.approx(found[1])
    assert found[0]["windows"] == 10


@pytest.mark.slow
def test_predict_continues_each_series(file, tmp_path, capsys):
    """What is predicted is what the model gives for the last window; known columns come from the rows after it."""
    train(file, tmp_path / "out", steps=30)
    lines = series_text(shops={"north": 40, "new": 5}).splitlines()
    after = [f"north,2024-02-{day:02},,{price},city 0" for day, price in ((10, 1), (11, 2), (12, 1), (13, 1))]
    (tmp_path / "now.csv").write_text("\n".join([*lines, *after, ""]))
    command = ["predict", str(tmp_path / "out"), str(tmp_path / "now.csv")]
    assert run(command) == 0
    stdout, stderr = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(stdout)))
    assert list(rows[0]) == ["shop", "time", "sold", "q0.1(sold)", "q0.5(sold)", "q0.9(sold)"]
    assert [(row["shop"], row["time"]) for row in rows] == [("north", f"2024-02-{day}") for day in (10, 11, 12)]
    assert re.fullmatch(r"\S+now.csv: 1 series have fewer than \d+ steps and are not predicted: new\n", stderr)
    trained = load(tmp_path / "out", ALL)
    filled = [line.replace(",,", ",1,") for line in after[:3]]
    (tmp_path / "filled.csv").write_text("\n".join([*lines[:41], *filled, ""]))
    held_out = TASK.read(trained, str(tmp_path / "filled.csv"), "utf-8", CPU).select("-3:")
    (found,) = forecast(trained.model, held_out.windows)
    expected = held_out.units.restore(found.mean)[0, :, 0].tolist()
    assert [float(row["sold"]) for row in rows] == pytest.approx(expected, rel=1e-5)
    assert run([*command, "--json"]) == 0
    assert [float(row["q0.9(sold)"]) for row in json.loads(capsys.readouterr().out)] == [
        float(row["q0.9(sold)"]) for row in rows
    ]


@pytest.mark.slow
def test_columns_may_stand_in_another_order(tmp_path, capsys):
    for name, header in (("a.csv", "x,y"), ("b.csv", "y,x")):
        rows = [f"{t},{t % 5}" if name == "a.csv" else f"{t % 5},{t}" for t in range(60)]
        (tmp_path / name).write_text("\n".join([header, *rows, ""]))
    train(tmp_path / "a.csv", tmp_path / "out", **LINE)
    found = []
    for name in ("a.csv", "b.csv"):
        assert run(["predict", str(tmp_path / "out"), str(tmp_path / name)]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert found[0].startswith("time,x,q0.1(x),q0.5(x),q0.9(x),y,q0.1(y)")
    assert found[0].splitlines()[1].startswith("60,")


@pytest.mark.slow
def test_predict_needs_what_is_known(file, tmp_path, capsys):
    train(file, tmp_path / "out")
    assert run(["predict", str(tmp_path / "out"), str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "north, the first of 2: 0 rows after the last sold, and 3 are needed: add rows with price and an" in line


OTHER = {  # another value for every option, and what else it takes for the option to matter
    "valid_fraction": (0.3, {}),
    "impute": ("zero", {"impute": "mean"}),
    "log": (True, {}),
    "rows": (":-5", {}),
    "window": (9, {}),
    "horizon": (2, {}),
    "season": (3, {}),
    "segment": (2, {"window": 14}),
    "known": (None, {"target": "sold"}),
    "static": (None, {"ignore": "city"}),
    "ignore": ("price,city", {"known": None, "static": None, "ignore": "city"}),
    "target": ("sold,price", {"known": None}),
    "remove": ("mean", {}),
    "rescale": (True, {}),
    "no_linear": (True, {}),
    "quantiles": ("0.2,0.8", {}),
    "loss": ("mse", {}),
    "cell": ("gru", {}),
    "hidden": (9, {}),
    "layers": (2, {}),
    "dropout": (0.2, {}),
    "batch": (5, {}),
    "optimizer": ("adam", {"weight_decay": 0.5}),
    "lr": (0.01, {}),
    "weight_decay": (0.5, {}),
    "schedule": ("linear", {}),
    "clip": (0.01, {"optimizer": "sgd"}),
    "steps": (13, {}),
    "seed": (2, {}),
}
READING = {"files", "encoding", "decimal", "valid", "id", "time", "step", "time_format"}
ELSEWHERE = {*BUDGETS, *READING, "patience", "device", "save_every"}  # have tests of their own


def test_every_option_has_a_test():
    assert {*OTHER, *ELSEWHERE} == set(ForecastOptions.describe())


@pytest.mark.parametrize("name", OTHER)
def test_every_option_changes_the_weights(name, tmp_path):
    value, others = OTHER[name]
    if name == "ignore":
        others = {**others, "target": "sold"}
    text = series_text().replace("2024-01-09,", "2024-01-09,,1,city 0\n#", 1) if name == "impute" else series_text()
    (tmp_path / "a.csv").write_text(re.sub(r"#.*\n", "", text))
    outs = tmp_path / "one", tmp_path / "other"
    for out, options in zip(outs, (others, {**others, name: value}), strict=True):
        train(tmp_path / "a.csv", out, **options)
    one, other = (checkpoint.read(out / "last.safetensors", "")[1] for out in outs)
    assert any(
        name not in other or one[name].shape != other[name].shape or not torch.equal(one[name], other[name])
        for name in {**one, **other}
        if name.startswith("model.") and name in one
    ) or len(one) != len(other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "options", "step"),
    [
        ("when,x\n" + "".join(f"{day}/1/24,{day}\n" for day in range(13, 32)), {"time_format": "%d/%m/%y"}, "1 day"),
        ("a,b,x\n" + "".join(f"{t},{t},{t % 3}\n" for t in range(20)), {"time": "b", "ignore": "a"}, "1"),
        (
            "t,x\n" + "".join(f"2024-01-01 {t // 2:02}:{t % 2 * 20:02},{t}\n" for t in range(40)),
            {"step": "1h"},
            "1 hour",
        ),
        ("t,x\n" + "".join(f"2024-01-{d:02},{d}\n" for d in (1, 2, 3, 5, 8, 9, 10, 11)), {"step": "row"}, "1"),
    ],
)
def test_times_are_found_named_or_made_even(content, options, step, tmp_path):
    (tmp_path / "a.csv").write_text(content)
    train(tmp_path / "a.csv", tmp_path / "out", **LINE, **options, window=2, horizon=1)
    assert load(tmp_path / "out", ALL).facts["step"] == step


BAD = {
    "column": (
        series_text(),
        {"target": "sales"},
        "a.csv has no column 'sales' .--target.: .*its columns are shop, day",
    ),
    "twice": (series_text(), {"target": "sold,price"}, "column 'price' is named by --target and by --known price"),
    "text": (series_text(), {"static": None}, "a.csv line 2, column 'city': 'city 0' is not a number"),
    "long": (
        series_text(),
        {"window": 90},
        "no series is long enough: the longest has .* .--window 90, --horizon 3.: l",
    ),
    "uneven": (
        series_text().replace("north,2024-01-09", "north,2023-01-09", 1),
        {},
        "a.csv: the steps are not even: .* or resample with --step 1d",
    ),
    "no rows": ("shop,day,sold,price,city\n", {}, "a.csv has no rows after its header"),
    "no target": (
        "shop,day,sold,price,city\n" + "".join(f"a,2024-01-{d},,1,c\n" for d in range(10, 30)),
        {},
        "a.csv has no value of sold",
    ),
    "log": (
        series_text().replace("\nnorth,2024-01-09,", "\nnorth,2024-01-09,-"),
        {"log": None},
        "sold is -.* at step 9",
    ),
    "segment": (
        series_text(),
        {"window": 14, "segment": 4},
        "--window 14 is not a multiple of --segment 4: give --window",
    ),
    "rows": (series_text(), {"rows": "5"}, "--rows '5' is not a range"),
    "empty rows": (series_text(), {"rows": "100:"}, "--rows 100: has no rows: the longest series has 60"),
    "quantiles": (
        series_text(),
        {"quantiles": "10,90"},
        "--quantiles '10,90' is not allowed: give different numbers b",
    ),
    "impute": (series_text(), {"impute": "mode"}, "--impute mode is not one of zero, mean, last"),
    "typo": (series_text(), {"horizont": 3}, "--horizont"),
    "valid": (series_text(), {"valid": "{tmp}/c.csv"}, "c.csv does not exist"),
    "valid columns": (series_text(), {"valid": "{tmp}/b.csv"}, "b.csv has no column 'shop'"),
    "valid step": (
        series_text(),
        {"valid": "{tmp}/hours.csv"},
        "hours.csv has a step of 1 hour, the model was trained",
    ),
    "loss": (series_text(), {"loss": "rmse"}, "--loss rmse is not one of mse, mae, huber"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_is_one_line(case, tmp_path, capsys):
    text, options, message = BAD[case]
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_text("x,y\n1,2\n3,4\n")
    hours = "".join(f"a,2024-01-01 {hour:02}:00,1,1,c\n" for hour in range(24))
    (tmp_path / "hours.csv").write_text("shop,day,sold,price,city\n" + hours)
    chosen = {name: value for name, value in {**SIZES, **COLUMNS, **options}.items() if value is not None}
    command = [word.format(tmp=tmp_path) for word in words(chosen)] + ["--log"] * ("log" in options)
    assert run(["train", "forecast", str(tmp_path / "a.csv"), "--out", str(tmp_path / "out"), *command]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert re.fullmatch(rf"carrousel: [^\n]*{message}[^\n]*\n", stderr), stderr
    assert not (tmp_path / "out").exists()


def test_rows_of_other_tasks_are_refused(tmp_path):
    with pytest.raises(UserError, match="--rows 1:2 does not fit a model of the task classify: leave it out"):
        ALL["classify"].select_rows(None, "1:2")


@needs(AIR_PASSENGERS)
@pytest.mark.slow
def test_air_passengers_are_forecast(tmp_path):
    """Four years that never trained, one month ahead: half the error of the same month of the year before."""
    options = {"log": True, "rows": ":-48", "horizon": 1, "steps": 400}
    train_task(TASK, ForecastOptions(files=(str(AIR_PASSENGERS),), **options), tmp_path, quiet=True)
    trained = load(tmp_path, ALL)
    held_out = TASK.read(trained, str(AIR_PASSENGERS), "utf-8", CPU)
    score = TASK.measure(trained.model, TASK.select_rows(held_out, "-48:"))
    assert score.count == 48
    assert score.more["rmse(Passengers)"] < 0.6 * score.more["season_rmse(Passengers)"]
    assert score.more["season_rmse(Passengers)"] == pytest.approx(41.9, abs=0.1)
    assert score.more["last_rmse(Passengers)"] == pytest.approx(48.0, abs=0.1)
